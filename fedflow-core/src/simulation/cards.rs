//! `SimulatedCards`: the memory that simulated tasks really use on simulated cards.

use std::collections::BTreeMap;

use crate::leasing::lease::{Lease, LeaseId};
use crate::model::device::Device;
use crate::model::identity::WorkerId;
use crate::model::quantity::Size;

/// How much memory each worker uses on which cards.
#[derive(Debug, Default)]
pub(super) struct SimulatedCards {
    uses: BTreeMap<WorkerId, (Vec<Device>, Size)>,
    peaks: BTreeMap<LeaseId, Size>,
}

impl SimulatedCards {
    /// Makes a worker use `size` on each card of its lease, in place of what it used before. If that does not fit, the
    /// worker is out of memory and uses nothing.
    pub(super) fn occupy(&mut self, worker: WorkerId, lease: &Lease, size: Size) -> Result<(), String> {
        self.uses.remove(&worker);
        let free = lease.shares.iter().filter_map(|share| Some((share.info.device, share.info.memory?)));
        let free = free.map(|(device, memory)| (device, memory.saturating_sub(self.used(device))));
        let least = free.min_by_key(|(_, free)| *free);
        self.peaks.insert(lease.id, least.map_or(size, |(_, free)| free.min(size)));
        if let Some((device, free)) = least.filter(|(_, free)| *free < size) {
            return Err(format!("{device} is out of memory: {size} are used, {free} are free"));
        }
        let devices = lease.shares.iter().map(|share| share.info.device).collect();
        self.uses.insert(worker, (devices, size));
        Ok(())
    }

    /// The worker's process is gone, or was handed another task.
    pub(super) fn vacate(&mut self, worker: WorkerId) {
        self.uses.remove(&worker);
    }

    /// The most memory that a worker has used on a card under a lease.
    pub(super) fn peak(&self, lease: LeaseId) -> Option<Size> {
        self.peaks.get(&lease).copied()
    }

    fn used(&self, device: Device) -> Size {
        self.uses.values().filter(|(devices, _)| devices.contains(&device)).map(|(_, size)| *size).sum()
    }
}
