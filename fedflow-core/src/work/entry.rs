//! `TaskEntry`: a task of a group, from what was asked to what has become of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::device::Device;
use crate::model::name::Name;
use crate::model::name_index::Named;
use crate::model::outcome::failure::{Failure, FailureKind, Stage};
use crate::model::outcome::status::{IllegalTransition, TaskStatus, Transition};
use crate::model::run_event::RunEvent;
use crate::model::value::Dict;
use crate::work::spec::TaskSpec;

/// A task of a group: its description, and what has become of it so far.
#[derive(Debug, Clone)]
pub struct TaskEntry {
    pub(super) spec: TaskSpec,
    result: Option<Dict>,
    /// The directory of the group, in which the task has its own; `None` until the task is started.
    started_in: Option<Arc<Path>>,
    trouble: Option<Box<Trouble>>,
    pub(super) attempt: u32,
    device: Option<Device>,
    status: TaskStatus,
}

/// What most tasks never have.
#[derive(Debug, Clone, Default)]
struct Trouble {
    failure: Option<Failure>,
    broken: Option<Box<str>>,
    skipped: Option<Box<str>>,
}

/// The outcome of a task, as an earlier session of the run recorded it.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedOutcome {
    /// The attempt that brought the outcome.
    pub attempt: u32,
    /// The device that the task trained on; `None` if it never trained.
    pub device: Option<Device>,
    /// The result, or why there is none.
    pub result: Result<Dict, Failure>,
}

// A group may have a million of them.
const _: () = assert!(size_of::<TaskEntry>() <= 128, "an entry grows: share, derive or box what is rare");

impl TaskEntry {
    pub(super) fn new(spec: TaskSpec) -> Self {
        Self {
            spec,
            result: None,
            started_in: None,
            trouble: None,
            attempt: 0,
            device: None,
            status: TaskStatus::Init,
        }
    }

    /// The task's identifier.
    #[must_use]
    pub fn task_id(&self) -> &Name {
        &self.spec.task_id
    }

    /// The task as it was added.
    #[must_use]
    pub fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    /// The device that was leased for `train`; `None` until then.
    #[must_use]
    pub fn device(&self) -> Option<Device> {
        self.device
    }

    /// The task's directory, an absolute path; `None` until the task is started.
    #[must_use]
    pub fn workdir(&self) -> Option<PathBuf> {
        Some(self.started_in.as_ref()?.join(self.spec.task_id.as_str()))
    }

    /// What `train` returned; `None` until then.
    #[must_use]
    pub fn result(&self) -> Option<&Dict> {
        self.result.as_ref()
    }

    /// Where the task is in its life.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        self.status
    }

    /// Why the task failed; `None` unless it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.trouble.as_ref()?.failure.as_ref()
    }

    /// Why the task cannot be run; `None` if it can.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.trouble.as_ref()?.broken.as_deref()
    }

    /// Why the task is not to be run, though it could be; `None` if it is.
    #[must_use]
    pub fn skipped(&self) -> Option<&str> {
        self.trouble.as_ref()?.skipped.as_deref()
    }

    /// The current attempt, from 1; 0 until the task is started.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(super) fn set_broken(&mut self, message: String) {
        self.trouble.get_or_insert_default().broken = Some(message.into());
    }

    pub(super) fn set_skipped(&mut self, reason: &str) {
        self.trouble.get_or_insert_default().skipped = Some(reason.into());
    }

    /// Applies what an event of an attempt says of this task, whose group lies in a directory.
    pub(super) fn apply(
        &mut self,
        event: &RunEvent,
        attempt: u32,
        group_workdir: Option<Arc<Path>>,
    ) -> Result<(), IllegalTransition> {
        use Transition as T;
        match event {
            RunEvent::TaskStarted { .. } => {
                if self.status == TaskStatus::Interrupt {
                    self.step(T::Restart)?;
                }
                self.attempt = attempt;
                self.started_in = group_workdir;
                self.device = None;
            }
            RunEvent::TaskLoading { .. } => {
                self.step(T::Start)?;
                self.step(T::StartLoad)?;
            }
            RunEvent::TaskLoaded { .. } => self.step(T::Loaded)?,
            RunEvent::TaskTraining { device, .. } => {
                self.step(T::StartTrain)?;
                self.device = Some(*device);
            }
            RunEvent::TaskFinished { result, .. } => self.finish(result.clone())?,
            RunEvent::TaskFailed { error, .. } => self.fail(error.clone())?,
            RunEvent::TaskSkipped { reason, .. } => {
                self.fail(Failure::new(Stage::Start, FailureKind::Skipped, reason))?;
            }
            RunEvent::TaskRetried { data_kept, .. } => {
                self.step(T::Interrupt)?;
                if *data_kept {
                    self.step(T::Rewait)?;
                }
            }
            RunEvent::TaskExited { .. } if self.status == TaskStatus::Finished => self.step(T::Exit)?,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, result: Dict) -> Result<(), IllegalTransition> {
        self.step(Transition::Trained)?;
        self.result = Some(result);
        Ok(())
    }

    pub(super) fn fail(&mut self, failure: Failure) -> Result<(), IllegalTransition> {
        self.step(Transition::Fail)?;
        self.set_failure(failure);
        Ok(())
    }

    /// Takes the outcome that an earlier session recorded, instead of running the task.
    pub(super) fn restore(&mut self, outcome: RecordedOutcome, group_workdir: Option<Arc<Path>>) {
        self.attempt = outcome.attempt;
        self.started_in = group_workdir;
        self.device = outcome.device;
        match outcome.result {
            Ok(result) => {
                self.status = TaskStatus::Exited;
                self.result = Some(result);
            }
            Err(failure) => {
                self.status = TaskStatus::Exception;
                self.set_failure(failure);
            }
        }
    }

    /// The process of a task that has finished is not waited for any more.
    pub(super) fn leave_process(&mut self) {
        if self.status == TaskStatus::Finished {
            self.status = TaskStatus::Exited;
        }
    }

    fn set_failure(&mut self, failure: Failure) {
        self.trouble.get_or_insert_default().failure = Some(failure);
    }

    fn step(&mut self, step: Transition) -> Result<(), IllegalTransition> {
        self.status = self.status.after(step)?;
        Ok(())
    }
}

impl Named for TaskEntry {
    fn name(&self) -> &Name {
        &self.spec.task_id
    }
}
