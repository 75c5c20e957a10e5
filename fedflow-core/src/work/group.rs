//! `TaskGroup`: tasks that may run side by side, and what has become of each of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::chosen_order::ChosenOrder;
use crate::model::device::Pin;
use crate::model::limits::Limits;
use crate::model::name::{IntoName, Name, NameError};
use crate::model::name_index::NameIndex;
use crate::model::outcome::failure::{Failure, FailureKind, Stage};
use crate::model::outcome::status::{IllegalTransition, TaskStatus};
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;
use crate::model::value::Dict;
use crate::work::entry::{RecordedOutcome, TaskEntry};
use crate::work::spec::{ExpectedTimes, TaskSpec};

/// Tasks that may run side by side. The groups of a flow run strictly one after the other.
///
/// A group keeps its tasks in the order in which they were added, and finds them by their identifiers. While a run goes
/// on, [`TaskGroup::apply`] brings them up to date.
#[derive(Debug, Clone)]
pub struct TaskGroup {
    name: Option<Name>,
    index: u32,
    device: Option<Pin>,
    workdir: Option<Arc<Path>>,
    tasks: Vec<TaskEntry>,
    places: NameIndex,
    over: usize,
    /// The estimate of host memory for each task that has none of its own; `None`: a learned one, or the default.
    pub estimate_memory: Option<Size>,
    /// The estimate of memory on a card for each task that has none of its own; `None`: a learned one, or the default.
    pub estimate_cuda_memory: Option<Size>,
    /// Time limits and retries, where a task has none of its own.
    pub limits: Limits,
    /// Whether its tasks may start and load while the group before it is the active one; see
    /// [`Flow::execute_and_load`](crate::Flow::execute_and_load). Parameters for `train` may then be set until the
    /// group is executed, and are no part of its fingerprint.
    pub load_ahead: bool,
    /// The order that was chosen for it, with `scheduler.order = "auto"`; `None`: that of the configuration. It is no part
    /// of its fingerprint.
    pub chosen_order: Option<ChosenOrder>,
}

/// Why a group refuses a task, or an outcome of a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The group already has a task of this name.
    #[error("the group already has a task {0:?}; task ids are unique in their group")]
    DuplicateId(Name),
    /// The group has no task of this name.
    #[error("the group has no task {0:?}")]
    NoSuchTask(Name),
    /// The identifier breaks a rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The life cycle does not allow it.
    #[error("task {task:?}: {source}")]
    Illegal {
        /// The task.
        task: Name,
        /// The step that was tried.
        source: IllegalTransition,
    },
}

impl TaskGroup {
    /// An empty group with a name.
    ///
    /// # Errors
    /// The name breaks a rule.
    pub fn new(group_name: impl IntoName) -> Result<Self, GroupError> {
        Ok(Self { name: Some(group_name.into_name()?), ..Self::unnamed() })
    }

    /// An empty group that is named `group-{index}` when it is executed.
    #[must_use]
    pub fn unnamed() -> Self {
        Self {
            name: None,
            index: 0,
            device: None,
            workdir: None,
            tasks: Vec::new(),
            places: NameIndex::default(),
            over: 0,
            estimate_memory: None,
            estimate_cuda_memory: None,
            limits: Limits::default(),
            load_ahead: false,
            chosen_order: None,
        }
    }

    /// Pins every task that is not pinned itself to a device.
    #[must_use]
    pub fn with_device(mut self, pin: Pin) -> Self {
        self.device = Some(pin);
        self
    }

    /// Adds a task.
    ///
    /// # Errors
    /// There is a task of this name already.
    pub fn add_task(&mut self, spec: TaskSpec) -> Result<(), GroupError> {
        self.add(TaskEntry::new(spec))
    }

    /// Adds a task that cannot be run, such as one whose parameters could not be made. It becomes an exception with
    /// this message when the group is executed.
    ///
    /// # Errors
    /// There is a task of this name already.
    pub fn add_broken_task(&mut self, spec: TaskSpec, message: String) -> Result<(), GroupError> {
        let mut entry = TaskEntry::new(spec);
        entry.set_broken(message);
        self.add(entry)
    }

    /// Marks a task that cannot be run after all. It becomes an exception with this message when the group is executed.
    ///
    /// # Errors
    /// There is no such task.
    pub fn break_task(&mut self, task_id: &Name, message: String) -> Result<(), GroupError> {
        self.entry(task_id)?.set_broken(message);
        Ok(())
    }

    /// Has a task not be run, for this reason. When the group is executed it becomes an exception of kind
    /// [`FailureKind::Skipped`], which is no failure. A task that has its outcome keeps it.
    ///
    /// # Errors
    /// There is no such task.
    pub fn skip_task(&mut self, task_id: &Name, reason: &str) -> Result<(), GroupError> {
        self.entry(task_id)?.set_skipped(reason);
        Ok(())
    }

    /// Has none of its tasks be run, as [`TaskGroup::skip_task`] does for one.
    pub fn skip_all(&mut self, reason: &str) {
        self.tasks.iter_mut().for_each(|task| task.set_skipped(reason));
    }

    /// A group of the same name, device and estimates without tasks, to simulate some of them with.
    pub(crate) fn without_tasks(&self) -> Result<Self, GroupError> {
        let mut group = Self::new(self.group_name())?;
        group.device.clone_from(&self.device);
        group.estimate_memory = self.estimate_memory;
        group.estimate_cuda_memory = self.estimate_cuda_memory;
        Ok(group)
    }

    /// Makes room for so many more tasks.
    pub fn reserve(&mut self, additional: usize) {
        self.tasks.reserve_exact(additional);
        self.places.reserve(additional, &self.tasks);
    }

    /// Sets the parameters that a task is given when it begins to train.
    ///
    /// # Errors
    /// There is no such task.
    pub fn set_train_params(&mut self, task_id: &Name, params: Dict) -> Result<(), GroupError> {
        self.entry(task_id)?.spec.train_params = params;
        Ok(())
    }

    /// Sets how long a task is expected to take, for example from what an earlier run has shown.
    ///
    /// # Errors
    /// There is no such task.
    pub fn set_expected(
        &mut self,
        task_id: &Name,
        expected: Option<ExpectedTimes>,
    ) -> Result<(), GroupError> {
        self.entry(task_id)?.spec.terms_mut().expected = expected;
        Ok(())
    }

    /// The task of this name.
    #[must_use]
    pub fn get_task(&self, task_id: &str) -> Option<&TaskEntry> {
        self.tasks.get(self.places.find(task_id, &self.tasks)?)
    }

    /// The tasks, in the order in which they were added.
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = &TaskEntry> {
        self.tasks.iter()
    }

    /// The task at a place in the order of adding, from 0.
    #[must_use]
    pub fn task_at(&self, place: usize) -> Option<&TaskEntry> {
        self.tasks.get(place)
    }

    /// The place of a task in the order of adding, from 0.
    #[must_use]
    pub fn place_of(&self, task_id: &Name) -> Option<usize> {
        self.places.find(task_id.as_str(), &self.tasks)
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is no task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Its place in the order of execution, from 1; 0 until Fedflow sets it.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its name; `group-{index}` if none was given.
    #[must_use]
    pub fn group_name(&self) -> Name {
        match &self.name {
            Some(name) => name.clone(),
            None => Name::new(format!("group-{}", self.index)).unwrap_or_else(|_| Name::from(self.index)),
        }
    }

    /// The device that its tasks are pinned to, unless they have a pin of their own; `None`: any device.
    #[must_use]
    pub fn device(&self) -> Option<&Pin> {
        self.device.as_ref()
    }

    /// Its directory, an absolute path; `None` until the group is executed.
    #[must_use]
    pub fn workdir(&self) -> Option<&Path> {
        self.workdir.as_deref()
    }

    /// The results of all tasks that have one, by task, in the order of adding.
    #[must_use]
    pub fn result(&self) -> Dict {
        self.tasks.iter().filter_map(|task| Some((task.task_id().as_str(), task.result()?.clone()))).collect()
    }

    /// Whether every task has its outcome.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.over == self.tasks.len()
    }

    /// Any one task in a status, chosen at random by a seeded generator; `None` if no task is in it. It looks at every
    /// task: the scheduler has ordered queues of its own.
    #[must_use]
    pub fn retrieve_task(&self, status: TaskStatus, random: &mut fastrand::Rng) -> Option<&TaskEntry> {
        let candidates = self.tasks.iter().filter(|task| task.status() == status);
        // Each candidate replaces the choice with the probability that makes all equally likely.
        candidates.enumerate().fold(
            None,
            |chosen, (before, task)| {
                if random.usize(..=before) == 0 { Some(task) } else { chosen }
            },
        )
    }

    /// Takes a task's result.
    ///
    /// # Errors
    /// There is no such task, or it is not training.
    pub fn report_finish(&mut self, task_id: &Name, data: Dict) -> Result<(), GroupError> {
        self.change(task_id, |entry| entry.finish(data))
    }

    /// Takes a task's failure, of the kind [`FailureKind::Error`].
    ///
    /// # Errors
    /// There is no such task, or it has its outcome already.
    pub fn report_exception(
        &mut self,
        task_id: &Name,
        stage: Stage,
        message: impl Into<String>,
    ) -> Result<(), GroupError> {
        self.change(task_id, |entry| entry.fail(Failure::new(stage, FailureKind::Error, message)))
    }

    /// Sets its place in the order of execution, and where it works.
    pub fn begin(&mut self, index: u32, workdir: PathBuf) {
        self.index = index;
        self.workdir = Some(workdir.into());
    }

    /// Brings a task up to date with an event of the run. Events of other groups, and those that change no status, have
    /// no effect.
    ///
    /// # Errors
    /// The event does not fit the status of the task.
    pub fn apply(&mut self, event: &RunEvent) -> Result<(), GroupError> {
        let Some((group, task, attempt)) = event.task() else { return Ok(()) };
        let moves_none = matches!(
            event,
            RunEvent::TaskProgress { .. }
                | RunEvent::TaskItem { .. }
                | RunEvent::TaskReleased { .. }
                | RunEvent::TaskMemory { .. }
                | RunEvent::TaskLeftRunning { .. }
        );
        if moves_none || *group != self.group_name() {
            return Ok(());
        }
        let workdir = self.workdir.clone();
        self.change(task, |entry| entry.apply(event, attempt, workdir))
    }

    /// The processes of tasks that have finished are no longer waited for.
    pub(crate) fn leave_processes(&mut self) {
        self.tasks.iter_mut().for_each(TaskEntry::leave_process);
    }

    /// Takes the number of the last attempt of an earlier session.
    pub(crate) fn restore_attempt(&mut self, task_id: &Name, attempt: u32) -> Result<(), GroupError> {
        self.entry(task_id)?.attempt = attempt;
        Ok(())
    }

    /// Takes the outcome that an earlier session recorded, instead of running the task.
    pub(crate) fn restore(&mut self, task_id: &Name, outcome: RecordedOutcome) -> Result<(), GroupError> {
        let workdir = self.workdir.clone();
        self.change(task_id, |entry| {
            entry.restore(outcome, workdir);
            Ok(())
        })
    }

    fn add(&mut self, mut entry: TaskEntry) -> Result<(), GroupError> {
        if self.place_of(entry.task_id()).is_some() {
            return Err(GroupError::DuplicateId(entry.spec.task_id));
        }
        if let Some(last) = self.tasks.last() {
            entry.spec.share_with(&last.spec);
        }
        self.tasks.push(entry);
        self.places.add_last(&self.tasks);
        Ok(())
    }

    /// Changes a task, and counts those that have their outcome.
    fn change(
        &mut self,
        task_id: &Name,
        change: impl FnOnce(&mut TaskEntry) -> Result<(), IllegalTransition>,
    ) -> Result<(), GroupError> {
        let entry = self.entry(task_id)?;
        let was_over = entry.status().is_over();
        change(entry).map_err(|source| GroupError::Illegal { task: task_id.clone(), source })?;
        let is_over = entry.status().is_over();
        self.over += usize::from(is_over && !was_over);
        Ok(())
    }

    fn entry(&mut self, task_id: &Name) -> Result<&mut TaskEntry, GroupError> {
        let place = self.places.find(task_id.as_str(), &self.tasks);
        let entry = place.and_then(|place| self.tasks.get_mut(place));
        entry.ok_or_else(|| GroupError::NoSuchTask(task_id.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> TaskGroup {
        let mut group = TaskGroup::new("train").unwrap();
        for id in 0_u32..3 {
            group.add_task(TaskSpec::command(id, ["true"]).unwrap()).unwrap();
        }
        group
    }

    #[test]
    fn ids_are_unique() {
        let mut group = group();
        let twice = group.add_task(TaskSpec::command("1", ["true"]).unwrap());
        assert_eq!(twice, Err(GroupError::DuplicateId(Name::from(1_u32))));
        assert_eq!(group.len(), 3);
    }

    #[test]
    fn a_name_is_made_from_the_index() {
        let mut group = TaskGroup::unnamed();
        group.begin(7, "/res/group-7".into());
        assert_eq!(group.group_name().as_str(), "group-7");
    }

    #[test]
    fn an_outcome_comes_once() {
        let mut group = group();
        let id = Name::from(0_u32);
        assert!(group.report_finish(&id, Dict::new()).is_err(), "it has not been trained");
        group.report_exception(&id, Stage::Load, "no data").unwrap();
        assert!(group.report_exception(&id, Stage::Load, "again").is_err());
        assert_eq!(group.get_task("0").unwrap().status(), TaskStatus::Exception);
        assert!(!group.finished());
    }

    #[test]
    fn a_task_is_retrieved_by_status_from_a_seeded_generator() {
        let group = group();
        let draw = |seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            group.retrieve_task(TaskStatus::Init, &mut random).unwrap().task_id().clone()
        };
        assert_eq!(draw(5), draw(5));
        let all: std::collections::BTreeSet<_> = (0..64).map(draw).collect();
        assert_eq!(all.len(), 3, "each task has its chance");
        let mut random = fastrand::Rng::with_seed(0);
        assert!(group.retrieve_task(TaskStatus::Training, &mut random).is_none());
    }
}
