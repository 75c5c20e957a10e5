//! `StageTimes`: how long the parts of an attempt take, and how sure that is.

use std::time::Duration;

/// How long each part of an attempt takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageTimes {
    /// From the start of the process until it is told to load.
    pub start: Duration,
    /// The load phase.
    pub load: Duration,
    /// What comes before the training when the task is given to a process that has served others; `None` if that was
    /// never seen.
    pub handed_over: Option<Lead>,
    /// The train phase: how long its devices are held.
    pub train: Duration,
    /// From the end of `train` until the process is gone, if it is not kept for another task.
    pub exit: Duration,
}

/// How long it takes until a task can train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lead {
    /// Until the process is told to load.
    pub start: Duration,
    /// The load phase.
    pub load: Duration,
}

/// What an estimate of times rests on, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// This very task of this very group has finished before.
    Recorded,
    /// The task's description says so.
    Declared,
    /// Similar tasks have finished: their groups and ids differ from its own in numbers only.
    Alike,
    /// The task has only ever failed, after this time.
    Failed,
    /// The mean of the other tasks of its group of which something is known.
    Group,
    /// Nothing is known; the task counts as instantaneous.
    Unknown,
}

impl StageTimes {
    /// How long the task takes in a process of its own until it can train.
    #[must_use]
    pub fn before_train(&self) -> Duration {
        self.start.saturating_add(self.load)
    }
}

/// The seconds of a journal as a length of time; zero if they are none.
pub(super) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
