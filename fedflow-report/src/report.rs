//! `Report`: what is known of a run, its groups and its tasks.

pub(crate) mod attempt;
pub(crate) mod item_series;
mod task_history;
mod telemetry_log;

use std::ops::Deref;

use fedflow_core::{GroupProgress, RunEvent, RunProgress, TaskProgress, TelemetrySample};
pub use fedflow_core::{
    OutcomeKind, SessionProgress as Session, TaskCounts as Counts, TaskOutcome as Outcome,
};

pub use self::task_history::TaskHistory;
use self::telemetry_log::TelemetryLog;

/// What is known of a run. It starts empty; [`Report::apply`] takes one event after the other.
///
/// A report is the run's [progress](RunProgress), read as if it stood in here, with the history of each task and the
/// telemetry of the devices.
#[derive(Debug, Clone, Default)]
pub struct Report {
    progress: RunProgress<TaskHistory>,
    pub(crate) telemetry: TelemetryLog,
}

/// What is known of a group.
pub type GroupReport = GroupProgress<TaskHistory>;

/// What is known of a task.
pub type TaskReport = TaskProgress<TaskHistory>;

impl Report {
    /// An empty report.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one event. `unix_time` is when it happened, in seconds since the Unix epoch.
    ///
    /// The events may be those of several sessions, one after the other, as after a resume. None is refused: a group
    /// or a task that was not announced is added, and what contradicts itself does no harm.
    pub fn apply(&mut self, unix_time: f64, event: &RunEvent) {
        self.progress.apply(unix_time, event);
    }

    /// Takes a sample of the devices. Samples come in order of time, those of earlier sessions first. A sample with
    /// impossible times is left out.
    pub fn add_telemetry(&mut self, sample: TelemetrySample) {
        if sample.time.is_finite() && !sample.duration.is_zero() {
            self.telemetry.push(sample);
        }
    }
}

impl Deref for Report {
    type Target = RunProgress<TaskHistory>;

    fn deref(&self) -> &Self::Target {
        &self.progress
    }
}
