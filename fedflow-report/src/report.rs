//! `Report`: what is known of a run, its groups and its tasks.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use fedflow_core::{Device, DeviceInfo, Dict, Failure, FailureKind, Name, RunOutcome, Stage};

use crate::attempt::{Attempt, Measured};
use crate::item::ItemSeries;
use crate::task_places::TaskPlaces;
use crate::telemetry::Telemetry;

/// All that was told of a run. It starts empty; [`Report::apply`] takes one event after the other.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub(crate) flow: String,
    pub(crate) workdir: String,
    pub(crate) seed: Option<u64>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) devices: Vec<DeviceInfo>,
    pub(crate) groups: Vec<GroupReport>,
    pub(crate) telemetry: Telemetry,
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

/// What is known of a group.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupReport {
    /// Its name.
    pub name: Name,
    /// Its place in the order of execution, from 1; 0 if it was never told.
    pub index: u32,
    /// Its directory.
    pub workdir: String,
    /// When it began, in seconds since the Unix epoch.
    pub started: Option<f64>,
    /// When every task had its outcome, in seconds since the Unix epoch.
    pub finished: Option<f64>,
    pub(crate) fingerprint: Option<u64>,
    pub(crate) tasks: Vec<TaskReport>,
    /// Invariant: each task's place in `tasks`.
    pub(crate) places: TaskPlaces,
}

/// What is known of a task.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskReport {
    /// Its identifier.
    pub id: Name,
    /// The highest number of an attempt that was told; 0 if it was never started.
    pub attempts: u32,
    /// The device that it trained on, last.
    pub device: Option<Device>,
    /// How long `load` took.
    pub load_seconds: Option<f64>,
    /// How long `train` took.
    pub train_seconds: Option<f64>,
    /// How it ended; none if it did not.
    pub outcome: Option<Outcome>,
    /// Every try at it, those of earlier sessions included.
    pub tries: Vec<Attempt>,
    /// What it told while it trained, in the latest try.
    pub items: Vec<ItemSeries>,
    pub(crate) workdir: Workdir,
}

/// Where a task works. Nearly all work in the directory of their group that has their name: it is not kept.
#[derive(Debug, Clone, Default)]
pub(crate) enum Workdir {
    /// Nowhere yet.
    #[default]
    None,
    /// In its group's directory, under its own name.
    InGroup,
    /// Somewhere else.
    Elsewhere(Box<str>),
}

// There may be a million of them.
const _: () = assert!(size_of::<TaskReport>() <= 160, "what is kept of a task grows: box what is rare");

/// How a task ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With a result.
    Finished(Dict),
    /// Without one: it failed for good or was cancelled.
    Failed(Box<Failure>),
}

/// How a task ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// It failed for good.
    Exception,
    /// It was cancelled.
    Cancelled,
    /// It has not ended.
    Open,
    /// It has its result.
    Finished,
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exception => "exception",
            Self::Cancelled => "cancelled",
            Self::Open => "open",
            Self::Finished => "finished",
        })
    }
}

/// How many tasks came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// All tasks.
    pub tasks: usize,
    /// Those with a result.
    pub finished: usize,
    /// Those that failed for good.
    pub failed: usize,
    /// Those that were cancelled.
    pub cancelled: usize,
    /// Those that have not ended.
    pub open: usize,
    /// Those that failed at least once and were given another try.
    pub retried: usize,
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
}

impl Session {
    /// How long it lasted, or has lasted so far, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.last - self.started).max(0.0)
    }
}

impl GroupReport {
    pub(crate) fn new(name: Name) -> Self {
        Self {
            name,
            index: 0,
            workdir: String::new(),
            started: None,
            finished: None,
            fingerprint: None,
            tasks: Vec::new(),
            places: TaskPlaces::default(),
        }
    }

    /// Its tasks, in the order in which they were added.
    #[must_use]
    pub fn tasks(&self) -> &[TaskReport] {
        &self.tasks
    }

    /// A task by its identifier.
    #[must_use]
    pub fn task(&self, id: &Name) -> Option<&TaskReport> {
        self.tasks.get(self.places.find(&self.tasks, id)?)
    }

    /// The directory of one of its tasks, once it was started.
    #[must_use]
    pub fn workdir_of<'a>(&self, task: &'a TaskReport) -> Option<Cow<'a, str>> {
        match &task.workdir {
            Workdir::None => None,
            Workdir::InGroup => Some(format!("{}/{}", self.workdir, task.id).into()),
            Workdir::Elsewhere(path) => Some(Cow::Borrowed(path)),
        }
    }

    /// How many of its tasks came to what.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(self.tasks.iter())
    }
}

impl TaskReport {
    pub(crate) fn new(id: Name) -> Self {
        Self {
            id,
            workdir: Workdir::None,
            attempts: 0,
            device: None,
            load_seconds: None,
            train_seconds: None,
            outcome: None,
            tries: Vec::new(),
            items: Vec::new(),
        }
    }

    /// How it ended, in one word.
    #[must_use]
    pub fn kind(&self) -> OutcomeKind {
        match &self.outcome {
            None => OutcomeKind::Open,
            Some(Outcome::Finished(_)) => OutcomeKind::Finished,
            Some(Outcome::Failed(failure)) if failure.kind == FailureKind::Cancelled => {
                OutcomeKind::Cancelled
            }
            Some(Outcome::Failed(_)) => OutcomeKind::Exception,
        }
    }

    /// Its result, if it has one.
    #[must_use]
    pub fn result(&self) -> Option<&Dict> {
        if let Some(Outcome::Finished(result)) = &self.outcome { Some(result) } else { None }
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        if let Some(Outcome::Failed(failure)) = &self.outcome { Some(failure) } else { None }
    }

    /// The tries that failed and after which another one followed. One that only made room for another task before
    /// it could train did not fail.
    pub fn retries(&self) -> impl Iterator<Item = &Attempt> {
        let made_room = |attempt: &Attempt| {
            attempt.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Cancelled)
        };
        self.tries.iter().filter(move |attempt| attempt.retry.is_some() && !made_room(attempt))
    }

    /// What was measured of the last try of which any use of memory was.
    #[must_use]
    pub fn measured(&self) -> Option<&Measured> {
        self.tries.iter().rev().find_map(|attempt| attempt.measured.as_deref())
    }

    /// The stage that a task without an outcome had reached.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.tries.last() {
            Some(attempt) if attempt.training.is_some() => Stage::Train,
            Some(attempt) if attempt.loaded.is_some() => Stage::Wait,
            Some(attempt) if attempt.loading.is_some() => Stage::Load,
            _ => Stage::Start,
        }
    }
}

impl Counts {
    fn of<'a>(tasks: impl Iterator<Item = &'a TaskReport>) -> Self {
        let mut counts = Self::default();
        for task in tasks {
            counts.tasks += 1;
            match task.kind() {
                OutcomeKind::Finished => counts.finished += 1,
                OutcomeKind::Exception => counts.failed += 1,
                OutcomeKind::Cancelled => counts.cancelled += 1,
                OutcomeKind::Open => counts.open += 1,
            }
            counts.retried += usize::from(task.retries().next().is_some());
        }
        counts
    }
}
