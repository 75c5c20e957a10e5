//! `BookedMemory`: the memory that a run has booked of each device. Leasing writes it, telemetry reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fedflow_core::{Device, LeaseTable, Size};

/// The memory that a run's leases have booked of each device. Neither reading nor writing blocks. Clones share the
/// numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct BookedMemory(Arc<[(Device, AtomicU64)]>);

impl BookedMemory {
    /// For the devices of a table that have memory.
    pub(crate) fn of_table(table: &LeaseTable) -> Self {
        let devices = table.devices().into_iter().filter(|info| info.memory.is_some());
        Self(devices.map(|info| (info.device, AtomicU64::new(0))).collect())
    }

    /// Notes what the table has booked now.
    pub(crate) fn note(&self, table: &LeaseTable) {
        for (device, bytes) in self.0.iter() {
            bytes.store(table.booked(*device).bytes(), Ordering::Relaxed);
        }
    }

    /// What is booked of a device; `None` if it has no memory.
    pub(super) fn of(&self, device: Device) -> Option<Size> {
        let (_, bytes) = self.0.iter().find(|(known, _)| *known == device)?;
        Some(Size::from_bytes(bytes.load(Ordering::Relaxed)))
    }
}
