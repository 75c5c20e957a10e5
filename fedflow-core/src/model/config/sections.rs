//! The sections of the configuration, and what their values mean.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::limits::Limits;
use crate::model::quantity::Size;

/// Which card is taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GpuPriority {
    /// The order.
    pub strategy: GpuStrategy,
    /// Whether the order is reversed.
    pub reverse: bool,
}

/// An order of cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GpuStrategy {
    /// By their place on the PCI bus.
    #[default]
    Pci,
    /// The largest memory first.
    TotalMem,
    /// The most free memory first.
    RemainMem,
    /// The fastest first.
    Performance,
}

/// The fractions of the machine that a run may use; 1.0 is all of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UtilizationLimit {
    /// Of the processors. Above it no task starts or loads. 1.0 is no limit.
    pub cpu: f64,
    /// Of the host's memory.
    pub memory: f64,
    /// Of each card's memory.
    pub cuda_memory: f64,
}

/// The amounts of memory that a run leaves free. `None` is the default, which depends on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemainLimit {
    /// Of the host's memory.
    pub memory: Option<Size>,
    /// Of each card's memory.
    pub cuda_memory: Option<Size>,
}

impl RemainLimit {
    /// The memory that is left free on a host: by default the smaller of 4 GB and a tenth of `total`.
    #[must_use]
    pub fn memory_of(&self, total: Size) -> Size {
        self.memory.unwrap_or_else(|| Size::from_gb(4).min(total.scaled(0.1)))
    }

    /// The memory that is left free on a card: by default the smaller of 2 GB and a tenth of `total`.
    #[must_use]
    pub fn cuda_memory_of(&self, total: Size) -> Size {
        self.cuda_memory.unwrap_or_else(|| Size::from_gb(2).min(total.scaled(0.1)))
    }
}

/// How tasks are kept and judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskConfig {
    /// Whether a task's directory lies in its group's.
    pub directory_grouping: bool,
    /// Whether two groups may have tasks with the same identifier.
    pub allow_duplicate_id: bool,
    /// What a failed task means for the groups after its own.
    pub on_failure: OnFailure,
}

/// What a failed task means for the groups after its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The next groups run.
    #[default]
    Continue,
    /// The next groups do not run.
    Stop,
}

/// How tasks are started.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SchedulerConfig {
    /// The host memory of a task without an estimate.
    pub default_memory: Size,
    /// The memory on a card of a task without an estimate.
    pub default_cuda_memory: Size,
    /// Whether estimates are learned from what tasks have used.
    pub auto_adjust: bool,
    /// The load depth: how many workers may load or wait ahead of the devices.
    pub max_waiting: u32,
    /// How many workers may live at the same time.
    pub max_process: u32,
    /// How many tasks without an estimate may share a card.
    pub max_per_device: u32,
    /// How often CPU and memory are sampled. Starts do not wait for it.
    pub interval: Duration,
    /// How often a task is tried again after it was out of memory in `load`.
    pub load_nretry: u32,
    /// How often a task is tried again after it was out of memory in `train`.
    pub train_nretry: u32,
    /// The order in which the tasks of a group start.
    pub order: StartOrder,
}

/// The order in which the tasks of a group start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartOrder {
    /// In the order in which they were added.
    #[default]
    Added,
    /// In a random order, drawn from the run's seed.
    Random,
    /// The tasks that are expected to take longest first.
    LongestFirst,
    /// The tasks that need most of a card first.
    LargestFirst,
    /// The tasks first that need most of a card for longest: memory × time. Where no time is known, by memory.
    Packed,
    /// The one of these with which the group is forecast to end first. It is tried out before the group starts.
    Auto,
}

impl fmt::Display for StartOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl StartOrder {
    /// The orders that are made by one rule.
    pub const SINGLE: [Self; 5] =
        [Self::Added, Self::Packed, Self::LongestFirst, Self::LargestFirst, Self::Random];

    /// Whether it depends on how long tasks are expected to take.
    #[must_use]
    pub const fn asks_for_durations(self) -> bool {
        matches!(self, Self::LongestFirst | Self::Packed | Self::Auto)
    }
}

/// How processes are watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SupervisionConfig {
    /// The time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Limits for tasks whose description and group have none. `None`: no limit, no retry.
    pub limits: Limits,
    /// How large each of a task's two logs may grow.
    pub log_limit: Size,
    /// How large a task's result may be.
    pub result_limit: Size,
    /// Whether the directory of a failed attempt is kept when the task is tried again.
    pub keep_failed_attempts: bool,
}

/// How devices are sampled while a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// The time between two samples; `None`: the devices are not sampled.
    pub interval: Option<Duration>,
}

/// Mail about a run.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpConfig {
    /// Whether mail is sent.
    pub enable: bool,
    /// The server's name.
    pub server_host: String,
    /// The server's port.
    pub server_port: u16,
    /// The account.
    pub user: String,
    /// The account's password; never shown.
    pub password: String,
    /// The addresses that receive the mail.
    pub receiver: Vec<String>,
    /// The minimum time between two mails.
    pub min_interval: Duration,
    /// How many mails a run sends at most.
    pub max_numbers: u32,
}

// Written by hand, as the password must not appear in a log.
impl std::fmt::Debug for SmtpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpConfig")
            .field("enable", &self.enable)
            .field("server_host", &self.server_host)
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_free_depends_on_the_machine() {
        let remain = RemainLimit::default();
        assert_eq!(remain.memory_of(Size::from_gb(100)), Size::from_gb(4));
        assert_eq!(remain.memory_of(Size::from_gb(10)), Size::from_gb(1));
        assert_eq!(remain.cuda_memory_of(Size::from_gb(80)), Size::from_gb(2));
    }
}
