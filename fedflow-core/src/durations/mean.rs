//! Means of lengths of time, one observation after the other.

use std::time::Duration;

use super::{StageTimes, duration};

/// A mean of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Mean {
    sum: f64,
    count: f64,
}

/// The means of each part of some attempts. Fewer have told how long they took to exit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct MeanTimes {
    start: Mean,
    load: Mean,
    train: Mean,
    exit: Mean,
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

impl MeanTimes {
    /// Takes an attempt whose exit is still to be told.
    pub(super) fn add(&mut self, times: StageTimes) {
        self.start.add(times.start.as_secs_f64());
        self.load.add(times.load.as_secs_f64());
        self.train.add(times.train.as_secs_f64());
    }

    pub(super) fn add_exit(&mut self, exit: Duration) {
        self.exit.add(exit.as_secs_f64());
    }

    pub(super) fn get(&self) -> StageTimes {
        let mean = |mean: Mean| duration(mean.get().unwrap_or_default());
        StageTimes {
            start: mean(self.start),
            load: mean(self.load),
            train: mean(self.train),
            exit: mean(self.exit),
        }
    }
}
