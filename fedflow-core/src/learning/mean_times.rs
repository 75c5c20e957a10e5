//! `MeanTimes`: the means of what attempts took, one observation after the other.

use std::time::Duration;

use crate::learning::stage_times::{Lead, duration};

/// What an attempt took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AttemptTimes {
    pub(super) lead: Lead,
    /// Whether its process had served other tasks.
    pub(super) reused: bool,
    pub(super) train: Duration,
    /// `None` while the process is there, and if it was kept for another task.
    pub(super) exit: Option<Duration>,
}

/// A mean of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Mean {
    sum: f64,
    count: f64,
}

/// The means of each part of some attempts. Some began in a process of their own, others in one that had served
/// before; fewer have told how long they took to exit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct MeanTimes {
    own: MeanLead,
    handed_over: MeanLead,
    train: Mean,
    exit: Mean,
}

/// The means of what comes before the training.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct MeanLead {
    start: Mean,
    load: Mean,
}

impl Mean {
    pub(super) fn add(&mut self, seconds: f64) {
        if seconds.is_finite() {
            self.sum += seconds.max(0.0);
            self.count += 1.0;
        }
    }

    /// The mean; none of nothing.
    pub(super) fn get(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

impl MeanLead {
    fn get(self) -> Option<Lead> {
        Some(Lead { start: duration(self.start.get()?), load: duration(self.load.get()?) })
    }
}

impl MeanTimes {
    /// Takes an attempt whose exit is still to be told.
    pub(super) fn add(&mut self, seen: AttemptTimes) {
        let lead = if seen.reused { &mut self.handed_over } else { &mut self.own };
        lead.start.add(seen.lead.start.as_secs_f64());
        lead.load.add(seen.lead.load.as_secs_f64());
        self.train.add(seen.train.as_secs_f64());
    }

    pub(super) fn add_exit(&mut self, exit: Duration) {
        self.exit.add(exit.as_secs_f64());
    }

    /// How those began that had a process of their own, if any had.
    pub(super) fn own(&self) -> Option<Lead> {
        self.own.get()
    }

    /// How those began that were given a process that had served others, if any were.
    pub(super) fn handed_over(&self) -> Option<Lead> {
        self.handed_over.get()
    }

    pub(super) fn train(&self) -> Duration {
        duration(self.train.get().unwrap_or_default())
    }

    /// How long they took to exit, as far as their processes did.
    pub(super) fn exit(&self) -> Option<Duration> {
        self.exit.get().map(duration)
    }
}
