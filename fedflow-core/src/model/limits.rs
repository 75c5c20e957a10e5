//! `Limits`: how long the parts of an attempt may take, and how often a task is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time limits and retries. A field that is `None` comes from the group, the worker or the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// From the start of the process until its hello.
    pub start_timeout: Option<Duration>,
    /// For the load phase.
    pub load_timeout: Option<Duration>,
    /// For the train phase.
    pub train_timeout: Option<Duration>,
    /// For an attempt's start, load and train phases together. What it waits in between does not count.
    pub timeout: Option<Duration>,
    /// From the result, or from the request to exit, until the process is gone.
    pub exit_timeout: Option<Duration>,
    /// How often the task is tried again after a failure of its own.
    pub retries: Option<u32>,
}

impl Limits {
    /// These limits, with those that are `None` taken from `fallback`.
    #[must_use]
    pub fn or(self, fallback: Self) -> Self {
        Self {
            start_timeout: self.start_timeout.or(fallback.start_timeout),
            load_timeout: self.load_timeout.or(fallback.load_timeout),
            train_timeout: self.train_timeout.or(fallback.train_timeout),
            timeout: self.timeout.or(fallback.timeout),
            exit_timeout: self.exit_timeout.or(fallback.exit_timeout),
            retries: self.retries.or(fallback.retries),
        }
    }
}
