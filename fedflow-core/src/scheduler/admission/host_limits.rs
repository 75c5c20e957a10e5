//! Whether the host has room for one more task to load.

use crate::model::config::{RemainLimit, UtilizationLimit};
use crate::model::quantity::Size;
use crate::ports::HostSample;

/// The limits on the host's memory and processors, and its last sample.
///
/// What a task is expected to need is reserved from its admission, less what it was seen to use. What its flow says
/// holds until the task is over, as a command loads its data while it trains. A guess, learned or not, holds until
/// the task has loaded; from then on what is measured counts, as the task is part of it.
#[derive(Debug, Clone)]
pub(super) struct HostLimits {
    utilization: UtilizationLimit,
    remain: RemainLimit,
    sample: Option<HostSample>,
}

impl HostLimits {
    pub(super) fn new(
        utilization: UtilizationLimit,
        remain: RemainLimit,
        sample: Option<HostSample>,
    ) -> Self {
        Self { utilization, remain, sample }
    }

    pub(super) fn observe(&mut self, sample: HostSample) {
        self.sample = Some(sample);
    }

    /// Whether a task that needs so much memory may load, beside what is reserved. Before the first sample it may.
    pub(super) fn has_memory(&self, memory: Size, reserved: Size) -> bool {
        self.memory().is_none_or(|(available, kept_free)| available >= kept_free + reserved + memory)
    }

    /// How much memory is available, and how much of that has to stay free; `None` before the first sample.
    pub(super) fn memory(&self) -> Option<(Size, Size)> {
        let sample = self.sample?;
        let left = self.remain.memory_of(sample.memory_total);
        let kept_free = sample.memory_total.scaled(1.0 - self.utilization.memory).max(left);
        Some((sample.memory_available, kept_free))
    }

    /// How busy the processors are, and how busy they may be; `None` before the first sample.
    pub(super) fn processors(&self) -> Option<(f64, f64)> {
        Some((self.sample?.cpu, self.utilization.cpu))
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

    fn limits(available: u64) -> HostLimits {
        let sample = HostSample {
            memory_total: Size::from_gb(100),
            memory_available: Size::from_gb(available),
            cpu: 0.9,
        };
        let utilization = UtilizationLimit { cpu: 0.8, memory: 0.8, cuda_memory: 0.8 };
        HostLimits::new(utilization, RemainLimit::default(), Some(sample))
    }

    #[test]
    fn reserved_memory_is_not_given_twice() {
        let limits = limits(30);
        let has_memory = |memory, reserved| limits.has_memory(Size::from_gb(memory), Size::from_gb(reserved));
        assert!(has_memory(10, 0), "80 GB may be used and 70 are");
        assert!(!has_memory(11, 0));
        assert!(!has_memory(7, 4));
    }

    #[test]
    fn busy_processors_delay_only_below_the_full_limit() {
        let mut limits = limits(50);
        assert!(!limits.processors_free());
        limits.utilization.cpu = 1.0;
        assert!(limits.processors_free());
    }
}
