//! `Report`: what is known of a run, its groups and its tasks.

pub(crate) mod attempt;
mod fold;
mod group;
pub(crate) mod item_series;
mod task;
mod task_index;
mod telemetry_log;

use std::collections::HashMap;

use fedflow_core::{DeviceInfo, Name, RunOutcome, TelemetrySample};

pub use self::group::{Counts, GroupReport};
pub(crate) use self::task::Workdir;
pub use self::task::{Outcome, OutcomeKind, TaskReport};
use self::telemetry_log::TelemetryLog;

/// All that was told of a run. It starts empty; [`Report::apply`] takes one event after the other.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub(crate) flow: String,
    pub(crate) workdir: String,
    pub(crate) seed: Option<u64>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) devices: Vec<DeviceInfo>,
    pub(crate) groups: Vec<GroupReport>,
    pub(crate) telemetry: TelemetryLog,
    /// Invariant: each group's place in `groups`.
    pub(crate) places: HashMap<Name, usize>,
}

/// A session of a run: from its start, or from a resume, until it ended or was cut off.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Session {
    /// Its number, from 1, as the run told it.
    pub number: u32,
    /// When it began, in seconds since the Unix epoch.
    pub started: f64,
    /// When the last thing happened in it, in seconds since the Unix epoch.
    pub last: f64,
    /// How it ended; none while it goes on, or if it was cut off.
    pub outcome: Option<RunOutcome>,
}

impl Report {
    /// An empty report.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The flow's name.
    #[must_use]
    pub fn flow(&self) -> &str {
        &self.flow
    }

    /// The run directory.
    #[must_use]
    pub fn workdir(&self) -> &str {
        &self.workdir
    }

    /// The seed of every random choice, once it was told.
    #[must_use]
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// The sessions of the run, in order.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// The devices that the latest session could lease.
    #[must_use]
    pub fn devices(&self) -> &[DeviceInfo] {
        &self.devices
    }

    /// The groups that were started, in order of execution.
    #[must_use]
    pub fn groups(&self) -> &[GroupReport] {
        &self.groups
    }

    /// A group by name.
    #[must_use]
    pub fn group(&self, name: &Name) -> Option<&GroupReport> {
        self.places.get(name).and_then(|&place| self.groups.get(place))
    }

    /// How the latest session ended; none while it goes on, or if it was cut off.
    #[must_use]
    pub fn outcome(&self) -> Option<&RunOutcome> {
        self.sessions.last().and_then(|session| session.outcome.as_ref())
    }

    /// How many tasks of all groups came to what.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(self.tasks().map(|(_, task)| task))
    }

    /// Every task beside its group, in order.
    pub fn tasks(&self) -> impl Iterator<Item = (&GroupReport, &TaskReport)> {
        self.groups.iter().flat_map(|group| group.tasks.iter().map(move |task| (group, task)))
    }

    /// Takes what was seen of the devices at one time. Samples come in order of time, those of earlier sessions
    /// first. Values that cannot be are left out.
    pub fn add_telemetry(&mut self, sample: TelemetrySample) {
        if sample.time.is_finite() && sample.seconds.is_finite() && sample.seconds > 0.0 {
            self.telemetry.push(sample);
        }
    }
}

impl Session {
    /// How long it lasted, or has lasted so far, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.last - self.started).max(0.0)
    }
}
