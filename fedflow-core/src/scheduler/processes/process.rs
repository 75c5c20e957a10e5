//! `Process`: what of a worker outlives its task.

use std::time::Duration;

use crate::leasing::lease::LeaseId;
use crate::model::device::Device;
use crate::model::quantity::Size;

/// A process, whether it has a task or is kept for one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(in crate::scheduler) struct Process {
    /// How many tasks it has served before.
    pub(in crate::scheduler) served: u32,
    /// What stays booked for it of its card until it is gone: the end of `train` leaves its context there.
    pub(in crate::scheduler) resident: Option<LeaseId>,
    /// The card to which it is tied because it has trained there: what it holds of a card cannot be moved.
    pub(in crate::scheduler) card: Option<Device>,
    /// The most host memory that it was seen to use for its task, or for earlier ones whose data it still has.
    pub(in crate::scheduler) memory: Size,
    pub(in crate::scheduler) start_cost: StartCost,
}

/// What it takes to bring a new process as far as this one is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(in crate::scheduler) struct StartCost {
    pub(in crate::scheduler) startup_time: Duration,
    pub(in crate::scheduler) load_time: Duration,
}

impl StartCost {
    pub(in crate::scheduler) fn time(self) -> Duration {
        self.startup_time.saturating_add(self.load_time)
    }
}
