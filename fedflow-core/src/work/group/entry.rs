//! A task of a group, as it stands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::GroupError;
use crate::model::device::Device;
use crate::model::failure::Failure;
use crate::model::name::Name;
use crate::model::status::{TaskStatus, Transition};
use crate::model::value::Dict;
use crate::work::spec::TaskSpec;

/// A task of a group: what was asked, and what has become of it.
#[derive(Debug, Clone)]
pub struct TaskEntry {
    pub(super) spec: TaskSpec,
    pub(super) result: Option<Dict>,
    /// The group's directory, in which it has its own; none until it was started.
    pub(super) started_in: Option<Arc<Path>>,
    trouble: Option<Box<Trouble>>,
    pub(super) attempt: u32,
    pub(super) device: Option<Device>,
    pub(super) status: TaskStatus,
}

/// What most tasks never have.
#[derive(Debug, Clone, Default)]
struct Trouble {
    failure: Option<Failure>,
    broken: Option<Box<str>>,
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

    pub(super) fn set_failure(&mut self, failure: Failure) {
        self.trouble.get_or_insert_default().failure = Some(failure);
    }

    pub(super) fn set_broken(&mut self, message: String) {
        self.trouble.get_or_insert_default().broken = Some(message.into());
    }

    pub(super) fn step(&mut self, step: Transition) -> Result<(), GroupError> {
        self.status = self
            .status
            .after(step)
            .map_err(|source| GroupError::Illegal { task: self.spec.task_id.clone(), source })?;
        Ok(())
    }

    /// Its identifier.
    #[must_use]
    pub fn task_id(&self) -> &Name {
        &self.spec.task_id
    }

    /// What was asked.
    #[must_use]
    pub fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    /// The device that it was leased for `train`; `None` until then.
    #[must_use]
    pub fn device(&self) -> Option<Device> {
        self.device
    }

    /// Its directory, an absolute path; `None` until it was started.
    #[must_use]
    pub fn workdir(&self) -> Option<PathBuf> {
        Some(self.started_in.as_ref()?.join(self.spec.task_id.as_str()))
    }

    /// What `train` returned; `None` until then.
    #[must_use]
    pub fn result(&self) -> Option<&Dict> {
        self.result.as_ref()
    }

    /// Where it is in its life.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        self.status
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.trouble.as_ref()?.failure.as_ref()
    }

    /// Why it cannot be run, if it cannot.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.trouble.as_ref()?.broken.as_deref()
    }

    /// Which attempt it is in, from 1; 0 until it was started.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}
