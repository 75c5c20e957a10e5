//! `GroupProgress`: how far a group has come.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::model::chosen_order::ChosenOrder;
use crate::model::name::Name;
use crate::model::name_index::{NameIndex, Named};
use crate::model::run_event::RunEvent;
use crate::model::value::Dict;
use crate::progress::task_progress::{Moment, OutcomeKind, TaskNotes, TaskProgress, Workdir};

/// How far a group has come.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupProgress<N = ()> {
    /// Its name.
    pub name: Name,
    /// Its place in the order of execution, from 1; 0 if the group was never announced.
    pub index: u32,
    /// Its directory, an absolute path; empty if the group was never announced.
    pub workdir: String,
    /// What it was made of; `None` if the group was never announced, or it is open again and may be made of something else
    /// when it begins.
    pub fingerprint: Option<u64>,
    /// The order in which its tasks start, if one was chosen for it.
    pub order: Option<ChosenOrder>,
    /// When it began, in seconds since the Unix epoch.
    pub started: Option<f64>,
    /// When every task had its outcome, in seconds since the Unix epoch.
    pub finished: Option<f64>,
    /// The session in which it began, or began again, as its place among those of the run.
    pub session: Option<usize>,
    tasks: Vec<TaskProgress<N>>,
    /// Invariant: each task's place in `tasks`.
    places: NameIndex,
    /// What each task was made of, by its place, or nothing. `None` if the task is open again.
    fingerprints: Vec<Option<u64>>,
}

/// How many tasks came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskCounts {
    /// All tasks.
    pub tasks: usize,
    /// Those with a result.
    pub finished: usize,
    /// Those that failed for good.
    pub failed: usize,
    /// Those that were cancelled.
    pub cancelled: usize,
    /// Those that were skipped, which is no failure.
    pub skipped: usize,
    /// Those that have not ended.
    pub open: usize,
    /// Those that have a process.
    pub running: usize,
    /// Those that failed at least once and were tried again.
    pub retried: usize,
}

impl<N> GroupProgress<N> {
    /// Its tasks, in the order in which they were added.
    #[must_use]
    pub fn tasks(&self) -> &[TaskProgress<N>] {
        &self.tasks
    }

    /// A task by its identifier.
    #[must_use]
    pub fn task(&self, id: &Name) -> Option<&TaskProgress<N>> {
        self.tasks.get(self.places.find(id.as_str(), &self.tasks)?)
    }

    /// What one of its tasks was made of; see [`task_fingerprint`](crate::task_fingerprint). `None` if it is open again, and
    /// may be made of something else when it begins, or in a journal of format 1.
    #[must_use]
    pub fn fingerprint_of(&self, id: &Name) -> Option<u64> {
        *self.fingerprints.get(self.places.find(id.as_str(), &self.tasks)?)?
    }

    /// Whether it is known of its tasks, and not only of the group, what they were made of.
    #[must_use]
    pub fn has_task_fingerprints(&self) -> bool {
        !self.fingerprints.is_empty()
    }

    /// The directory of one of its tasks; `None` if the task was never started.
    #[must_use]
    pub fn workdir_of<'a>(&self, task: &'a TaskProgress<N>) -> Option<Cow<'a, str>> {
        match task.workdir() {
            Workdir::None => None,
            Workdir::InGroup => Some(format!("{}/{}", self.workdir, task.id).into()),
            Workdir::Elsewhere(path) => Some(Cow::Borrowed(path)),
        }
    }

    /// How many of its tasks came to what.
    #[must_use]
    pub fn counts(&self) -> TaskCounts {
        TaskCounts::of(&self.tasks)
    }

    /// Whether every task has its outcome.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.finished.is_some()
    }

    /// Groups come in the order of execution; those that were never announced come last.
    pub(super) fn order(&self) -> u32 {
        if self.index == 0 { u32::MAX } else { self.index }
    }
}

impl<N: TaskNotes> GroupProgress<N> {
    pub(super) fn new(name: Name) -> Self {
        Self {
            name,
            index: 0,
            workdir: String::new(),
            fingerprint: None,
            order: None,
            started: None,
            finished: None,
            session: None,
            tasks: Vec::new(),
            places: NameIndex::default(),
            fingerprints: Vec::new(),
        }
    }

    /// The group begins, or begins again in a later session, with these tasks. What is known of its tasks stays if
    /// the group is made of the same; else only the numbers of their attempts do, as their directories are there.
    pub(super) fn begin(&mut self, fingerprint: u64, fingerprints: &[u64], ids: &[Name], params: &[Dict]) {
        let is_other = self.fingerprint.is_some_and(|known| known != fingerprint);
        if is_other {
            self.started = None;
        }
        self.fingerprint = Some(fingerprint);
        self.finished = None;
        let same_tasks =
            ids.len() == self.tasks.len() && ids.iter().eq(self.tasks.iter().map(|task| &task.id));
        if is_other || !same_tasks {
            self.make_tasks(ids, is_other);
        }
        let is_told = fingerprints.len() == ids.len();
        self.fingerprints =
            if is_told { fingerprints.iter().copied().map(Some).collect() } else { Vec::new() };
        for (id, params) in ids.iter().zip(params) {
            if let Some(place) = self.places.find(id.as_str(), &self.tasks) {
                self.tasks[place].params = params.clone();
            }
        }
    }

    /// Puts the tasks in the order in which they were added. Tasks of the same group that were not announced come last.
    fn make_tasks(&mut self, ids: &[Name], is_other: bool) {
        let earlier = std::mem::take(&mut self.tasks);
        let unannounced: Vec<Name> =
            if is_other { Vec::new() } else { earlier.iter().map(|task| task.id.clone()).collect() };
        let mut known: HashMap<Name, TaskProgress<N>> =
            earlier.into_iter().map(|task| (task.id.clone(), task)).collect();
        self.places = NameIndex::default();
        self.tasks.reserve_exact(ids.len().max(unannounced.len()));
        self.places.reserve(ids.len(), self.tasks.as_slice());
        for id in ids.iter().chain(&unannounced) {
            if self.places.find(id.as_str(), &self.tasks).is_some() {
                continue;
            }
            self.tasks.push(match known.remove(id) {
                Some(task) if is_other => task.begin_anew(),
                Some(task) => task,
                None => TaskProgress::new(id.clone()),
            });
            self.places.add_last(&self.tasks);
        }
    }

    /// Takes an event of one of the tasks, which is added if it was not announced.
    pub(super) fn apply(&mut self, moment: Moment, id: &Name, attempt: u32, event: &RunEvent) {
        let place = self.places.find(id.as_str(), &self.tasks).unwrap_or_else(|| {
            self.tasks.push(TaskProgress::new(id.clone()));
            self.places.add_last(&self.tasks);
            self.tasks.len() - 1
        });
        self.tasks[place].apply(moment, attempt, event, &self.workdir);
    }

    /// Opens the group again, and of its tasks these.
    pub(super) fn reopen(&mut self, ids: &[Name]) {
        (self.fingerprint, self.finished) = (None, None);
        for id in ids {
            if let Some(place) = self.places.find(id.as_str(), &self.tasks) {
                self.tasks[place].outcome = None;
                if let Some(fingerprint) = self.fingerprints.get_mut(place) {
                    *fingerprint = None;
                }
            }
        }
    }

    pub(super) fn stop(&mut self) {
        self.tasks.iter_mut().for_each(TaskProgress::stop);
    }

    pub(super) fn end_session(&mut self, time: f64) {
        self.tasks.iter_mut().for_each(|task| task.end_session(time));
    }
}

impl<N> Named for GroupProgress<N> {
    fn name(&self) -> &Name {
        &self.name
    }
}

impl TaskCounts {
    /// Counts tasks.
    pub fn of<'a, N: 'a>(tasks: impl IntoIterator<Item = &'a TaskProgress<N>>) -> Self {
        let mut counts = Self::default();
        for task in tasks {
            counts.tasks += 1;
            match task.kind() {
                OutcomeKind::Finished => counts.finished += 1,
                OutcomeKind::Exception => counts.failed += 1,
                OutcomeKind::Cancelled => counts.cancelled += 1,
                OutcomeKind::Skipped => counts.skipped += 1,
                OutcomeKind::Open => counts.open += 1,
            }
            counts.running += usize::from(task.phase.is_some());
            counts.retried += usize::from(task.was_retried());
        }
        counts
    }
}
