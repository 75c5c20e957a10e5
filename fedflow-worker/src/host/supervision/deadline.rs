//! `Deadline`: what a worker has to do by when, beside the engine's own time limits.

use std::time::Duration;

use fedflow_core::Time;

/// How long a reader may still wait for its channel to close after the process was reaped: only processes that left
/// the worker's group can hold it open.
const DRAIN: Duration = Duration::from_millis(500);
/// How often that is put off while the reader still works on what the worker had sent.
const DRAINS: u32 = 60;
/// How long a process may live on after it closed its channel unasked.
const LINGER: Duration = Duration::from_secs(1);

/// A time, and what is overdue when it passes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) time: Time,
    pub(crate) overdue: Overdue,
}

/// What is overdue when a deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// The process is gone and its reader should be too; how often it was put off.
    Reader(u32),
    /// The channel is closed and the process should have ended.
    Process,
    /// The process was given another task and should have taken it.
    Task,
}

impl Deadline {
    /// For the reader of a process that is gone.
    pub(crate) fn of_reader(now: Time) -> Self {
        Self { time: now + DRAIN, overdue: Overdue::Reader(0) }
    }

    /// The next deadline of a reader that still works on what its worker had sent; `None` if that takes too long.
    pub(crate) fn put_off(self, now: Time) -> Option<Self> {
        match self.overdue {
            Overdue::Reader(times) if times < DRAINS => {
                Some(Self { time: now + DRAIN, overdue: Overdue::Reader(times + 1) })
            }
            _ => None,
        }
    }

    /// For the process that has closed its channel.
    pub(crate) fn of_process(now: Time) -> Self {
        Self { time: now + LINGER, overdue: Overdue::Process }
    }

    /// For the process that was given another task.
    pub(crate) fn of_task(time: Time) -> Self {
        Self { time, overdue: Overdue::Task }
    }

    pub(crate) fn is_of_task(&self) -> bool {
        self.overdue == Overdue::Task
    }

    pub(crate) fn is_of_reader(&self) -> bool {
        matches!(self.overdue, Overdue::Reader(_))
    }
}
