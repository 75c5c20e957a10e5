//! Whether the host has room for one more task to start or to load.

use crate::model::config::{RemainLimit, UtilizationLimit};
use crate::model::quantity::Size;
use crate::ports::HostSample;

/// The host's memory and processors, as far as they limit starting and loading.
///
/// What a task is estimated to need is reserved from its start until it has loaded; from then on what was
/// measured counts, as the task is in it.
#[derive(Debug, Clone)]
pub(super) struct HostBudget {
    utilization: UtilizationLimit,
    remain: RemainLimit,
    sample: Option<HostSample>,
    reserved: Size,
}

impl HostBudget {
    pub(super) fn new(
        utilization: UtilizationLimit,
        remain: RemainLimit,
        sample: Option<HostSample>,
    ) -> Self {
        Self { utilization, remain, sample, reserved: Size::ZERO }
    }

    pub(super) fn observe(&mut self, sample: HostSample) {
        self.sample = Some(sample);
    }

    pub(super) fn reserve(&mut self, memory: Size) {
        self.reserved = self.reserved + memory;
    }

    pub(super) fn unreserve(&mut self, memory: Size) {
        self.reserved = self.reserved.saturating_sub(memory);
    }

    /// Whether a task that needs so much memory may start. Before the first sample everything may.
    pub(super) fn has_room(&self, memory: Size) -> bool {
        let Some(sample) = self.sample else { return true };
        let left = self.remain.memory_of(sample.memory_total);
        let keep = sample.memory_total.scaled(1.0 - self.utilization.memory).max(left);
        sample.memory_available >= keep + self.reserved + memory
    }

    /// Whether the processors are free enough to start or load.
    pub(super) fn processors_free(&self) -> bool {
        // At 1.0 there is no limit: a task that uses its processors fully is no reason to wait.
        self.utilization.cpu >= 1.0 || self.sample.is_none_or(|sample| sample.cpu <= self.utilization.cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(available: u64) -> HostBudget {
        let sample = HostSample {
            memory_total: Size::from_gb(100),
            memory_available: Size::from_gb(available),
            cpu: 0.9,
        };
        let utilization = UtilizationLimit { cpu: 0.8, memory: 0.8, cuda_memory: 0.8 };
        HostBudget::new(utilization, RemainLimit::default(), Some(sample))
    }

    #[test]
    fn reserved_memory_is_not_given_twice() {
        let mut budget = budget(30);
        assert!(budget.has_room(Size::from_gb(10)), "80 GB may be used and 70 are");
        assert!(!budget.has_room(Size::from_gb(11)));
        budget.reserve(Size::from_gb(4));
        assert!(!budget.has_room(Size::from_gb(7)));
        budget.unreserve(Size::from_gb(4));
        assert!(budget.has_room(Size::from_gb(10)));
    }

    #[test]
    fn busy_processors_delay_only_below_the_full_limit() {
        let mut budget = budget(50);
        assert!(!budget.processors_free());
        budget.utilization.cpu = 1.0;
        assert!(budget.processors_free());
    }
}
