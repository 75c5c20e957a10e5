//! `GroupReport`: what is known of a group, and how its tasks ended.

use std::borrow::Cow;

use fedflow_core::Name;

use crate::report::task::{OutcomeKind, TaskReport, Workdir};
use crate::report::task_index::TaskPlaces;

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

impl Counts {
    pub(crate) fn of<'a>(tasks: impl Iterator<Item = &'a TaskReport>) -> Self {
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
