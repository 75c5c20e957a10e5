//! The ladder by which every process is ended: asked, terminated, killed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::identity::WorkerId;
use crate::model::time::Time;
use crate::ports::Severity;
use crate::scheduler::interface::outbox::Outbox;
use crate::scheduler::timers::{Due, Timers};

/// The processes that are being ended, whatever for: of tasks that have their result, of attempts that failed, of kept
/// processes that are let go.
#[derive(Debug, Clone)]
pub(in crate::scheduler) struct Ladder {
    /// How long a process has after it was terminated.
    grace: Duration,
    rungs: BTreeMap<WorkerId, Rung>,
}

#[derive(Debug, Clone, Copy)]
struct Rung {
    severity: Severity,
    /// How long the process has after it was asked; `None`: for ever.
    exit_timeout: Option<Duration>,
}

impl Ladder {
    pub(in crate::scheduler) fn new(grace: Duration) -> Self {
        Self { grace, rungs: BTreeMap::new() }
    }

    /// Ends a process, at least this hard. One that is being ended as hard already is left to it.
    pub(in crate::scheduler) fn raise(
        &mut self,
        now: Time,
        id: WorkerId,
        severity: Severity,
        exit_timeout: Option<Duration>,
        timers: &mut Timers,
        outbox: &mut Outbox,
    ) {
        if self.rungs.get(&id).is_some_and(|rung| rung.severity >= severity) {
            return;
        }
        self.rungs.insert(id, Rung { severity, exit_timeout });
        outbox.end(id, severity);
        match severity.patience(exit_timeout, self.grace) {
            Some(patience) => timers.set(Due::Worker(id), now + patience),
            None => timers.clear(Due::Worker(id)),
        }
    }

    /// The patience with a process is over: it is ended harder. False if it is not being ended.
    pub(in crate::scheduler) fn step(
        &mut self,
        now: Time,
        id: WorkerId,
        timers: &mut Timers,
        outbox: &mut Outbox,
    ) -> bool {
        let Some(rung) = self.rungs.get(&id).copied() else { return false };
        if let Some(next) = rung.severity.next() {
            self.raise(now, id, next, rung.exit_timeout, timers, outbox);
        }
        true
    }

    /// A process is gone.
    pub(in crate::scheduler) fn gone(&mut self, id: WorkerId) {
        self.rungs.remove(&id);
    }

    pub(in crate::scheduler) fn contains(&self, id: WorkerId) -> bool {
        self.rungs.contains_key(&id)
    }

    pub(in crate::scheduler) fn len(&self) -> usize {
        self.rungs.len()
    }
}
