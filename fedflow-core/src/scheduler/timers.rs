//! Deadlines of workers, of delayed attempts, of a wait that is to be told, and of the grace after a stop.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::identity::{TaskKey, WorkerId};
use crate::model::time::Time;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A time limit of a worker expires, or the patience with a process that is being ended.
    Worker(WorkerId),
    /// A worker has waited for its card so long that it starts anew if another one is free.
    Move(WorkerId),
    /// A task's delay before its next attempt is over.
    Retry(TaskKey),
    /// The run has waited so long that people are told, or told of a change.
    Wait,
    /// Whatever still runs after a stop is ended at once.
    Grace,
}

/// One deadline for each thing that can be due; setting it again replaces it.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Time, Due)>,
    by_due: BTreeMap<Due, Time>,
}

impl Timers {
    pub(super) fn set(&mut self, due: Due, at: Time) {
        self.clear(due);
        self.by_time.insert((at, due));
        self.by_due.insert(due, at);
    }

    pub(super) fn clear(&mut self, due: Due) {
        if let Some(at) = self.by_due.remove(&due) {
            self.by_time.remove(&(at, due));
        }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Time) -> Option<Due> {
        let (_, due) = *self.by_time.first().filter(|(at, _)| *at <= now)?;
        self.clear(due);
        Some(due)
    }

    /// # Errors
    /// Says that the two indexes do not agree.
    pub(super) fn check(&self) -> Result<(), String> {
        let agrees = |(due, at): (&Due, &Time)| self.by_time.contains(&(*at, *due));
        if self.by_time.len() == self.by_due.len() && self.by_due.iter().all(agrees) {
            Ok(())
        } else {
            Err("the timers by time are not the timers".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_deadline_that_is_set_again_is_due_once() {
        let at = |seconds| Time::after(Duration::from_secs(seconds));
        let retry = Due::Retry(TaskKey { group: 1, place: 1 });
        let mut timers = Timers::default();
        timers.set(retry, at(5));
        timers.set(retry, at(9));
        timers.set(Due::Grace, at(7));
        assert_eq!(timers.next(), Some(at(7)));
        assert_eq!(timers.pop_due(at(6)), None);
        assert_eq!(timers.pop_due(at(10)), Some(Due::Grace));
        assert_eq!(timers.pop_due(at(10)), Some(retry));
        assert_eq!(timers.pop_due(at(10)), None);
    }
}
