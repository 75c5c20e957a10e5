//! What a run's events show of the run as a whole: its length, its attempts, and the pauses between its groups.

use std::time::Duration;

use crate::learning::mean_times::Mean;
use crate::learning::stage_times::duration;
use crate::model::run_event::{RunEvent, RunOutcome};

/// What was recorded of a run as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunTotals {
    /// How long the run went on, over all its sessions. The time between two sessions does not count.
    pub makespan: Duration,
    /// How many sessions it had.
    pub sessions: u32,
    /// How many tasks finished.
    pub finished: u64,
    /// How many attempts failed.
    pub failed_attempts: u64,
    /// How long failed attempts held devices.
    pub failed_training: Duration,
    /// Whether the run came to its end.
    pub complete: bool,
}

/// Follows a run as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct RunHistory {
    pub(super) totals: RunTotals,
    /// When the current session began, and when the last thing happened in it, in seconds.
    session: Option<(f64, f64)>,
    /// The last group that is over, until the next one has begun.
    group_over: Option<GroupOver>,
    between_groups: Mean,
    /// From the end of the last group until the run was over, where processes had been kept until then.
    dismissal: Mean,
}

/// A group that is over.
#[derive(Debug, Clone, Copy)]
struct GroupOver {
    at: f64,
    /// Whether nothing has happened since.
    is_last: bool,
}

impl RunHistory {
    /// Takes an event. `any_kept` tells whether a process is kept now.
    pub(super) fn observe(&mut self, seconds: f64, event: &RunEvent, any_kept: bool) {
        match event {
            RunEvent::RunStarted { .. } => {
                self.session = None;
                self.totals.sessions += 1;
                self.totals.complete = false;
            }
            RunEvent::RunFinished { outcome } => self.totals.complete = *outcome == RunOutcome::Complete,
            _ => {}
        }
        let (began, last) = *self.session.get_or_insert((seconds, seconds));
        let last_now = last.max(seconds);
        self.session = Some((began, last_now));
        self.totals.makespan += duration(last_now - last);
        // Anything else that happens in between comes from a group that loads ahead. The start of that group does not
        // show how long the pause was.
        match (event, &mut self.group_over) {
            (RunEvent::GroupFinished { .. }, over) => *over = Some(GroupOver { at: seconds, is_last: true }),
            (RunEvent::GroupStarted { .. }, Some(GroupOver { at, is_last: true })) => {
                self.between_groups.add(seconds - *at);
                self.group_over = None;
            }
            (RunEvent::RunFinished { .. }, Some(GroupOver { at, is_last: true })) => {
                let mean = if any_kept { &mut self.dismissal } else { &mut self.between_groups };
                mean.add(seconds - *at);
                self.group_over = None;
            }
            (_, Some(over)) => over.is_last = false,
            (_, None) => {}
        }
    }

    /// A task that had loaded at `loaded` begins to train.
    pub(super) fn on_training(&mut self, seconds: f64, loaded: Option<f64>) {
        let over = self.group_over.take();
        // A task that had loaded ahead has only waited for the end of the group before.
        if let (Some(GroupOver { at, .. }), Some(loaded)) = (over, loaded)
            && loaded <= at
        {
            self.between_groups.add(seconds - at);
        }
    }

    pub(super) fn between_groups(&self) -> Option<Duration> {
        self.between_groups.get().map(duration)
    }

    /// How long kept processes took to exit: what the end of the run took longer than the end of a group.
    pub(super) fn exit_of_kept(&self) -> Option<Duration> {
        Some(duration(self.dismissal.get()? - self.between_groups.get().unwrap_or_default()))
    }
}
