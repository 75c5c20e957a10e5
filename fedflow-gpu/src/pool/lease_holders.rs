//! `LeaseHolders`: names the processes that use leases.

use std::sync::Arc;

use fedflow_core::LeaseId;

use crate::cards::MemoryMeter;
use crate::ledger::OwnBookings;

/// Names the process that holds a lease, so that its memory stays booked for other runs if this process dies first.
/// Cheap to clone; may be used from any thread.
#[derive(Debug, Clone)]
pub struct LeaseHolders {
    pub(super) own: Arc<OwnBookings>,
    pub(super) meter: Option<MemoryMeter>,
}

impl LeaseHolders {
    /// Names the process that holds a lease, and its task. Makes a few system calls; never blocks.
    pub fn name(&self, lease: LeaseId, pid: u32, task: &str) {
        self.own.name_holder(lease, pid, task);
        if let Some(meter) = &self.meter {
            meter.name_holder(lease, pid);
        }
    }
}
