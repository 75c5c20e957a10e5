//! What observes every run: the journal, the report, what is learned of durations, and the caller's own observer.

use fedflow_core::{DurationLearner, Observer, RunEvent, Time, Wait};
use fedflow_report::ReportWriter;
use fedflow_worker::store::JournalWriter;

use super::wait_board::WaitBoard;
use crate::debug::task_names::TaskNames;

/// All observers of a run.
pub(in crate::run) struct Observers<O> {
    /// Records the run.
    pub(in crate::run) journal: JournalWriter,
    /// Keeps the files of the run directory up to date.
    pub(in crate::run) report: ReportWriter,
    /// Learns how long tasks take; none if the start order does not depend on it.
    pub(in crate::run) learner: Option<DurationLearner>,
    /// Learns the names of groups and tasks for traces.
    pub(in crate::run) names: TaskNames,
    /// Shows what the run waits for.
    pub(in crate::run) waits: WaitBoard,
    /// The caller's.
    pub(in crate::run) own: O,
}

impl<O: Observer> Observer for Observers<O> {
    fn record(&mut self, number: u64, time: Time, event: &RunEvent) {
        self.names.learn(event);
        self.journal.record(number, time, event);
        if let Some(learner) = &mut self.learner {
            learner.record(number, time, event);
        }
        self.own.record(number, time, event);
    }

    fn answers_durable(&self) -> bool {
        self.journal.answers_durable()
    }

    fn flush(&mut self) {
        self.journal.flush();
        self.own.flush();
    }

    fn announce(&mut self, time: Time, event: &RunEvent) {
        self.report.announce(time, event);
        // After the report, which the caller's observer may ask for what it tells.
        self.own.announce(time, event);
    }

    fn waits(&mut self, time: Time, wait: Option<&Wait>) {
        self.waits.show(wait);
        self.own.waits(time, wait);
    }
}

/// A run with no observer of the caller's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
