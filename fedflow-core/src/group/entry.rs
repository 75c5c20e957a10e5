//! A task of a group, as it stands.

use std::path::{Path, PathBuf};

use super::GroupError;
use crate::device::Device;
use crate::failure::Failure;
use crate::name::Name;
use crate::spec::TaskSpec;
use crate::status::{TaskStatus, Transition};
use crate::value::Dict;

/// A task of a group: what was asked, and what has become of it.
#[derive(Debug, Clone)]
pub struct TaskEntry {
    pub(super) spec: TaskSpec,
    pub(super) status: TaskStatus,
    pub(super) attempt: u32,
    pub(super) device: Option<Device>,
    pub(super) workdir: Option<PathBuf>,
    pub(super) result: Option<Dict>,
    pub(super) failure: Option<Failure>,
    pub(super) broken: Option<Box<str>>,
}

impl TaskEntry {
    pub(super) fn new(spec: TaskSpec) -> Self {
        Self {
            spec,
            status: TaskStatus::Init,
            attempt: 0,
            device: None,
            workdir: None,
            result: None,
            failure: None,
            broken: None,
        }
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
    pub fn workdir(&self) -> Option<&Path> {
        self.workdir.as_deref()
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
        self.failure.as_ref()
    }

    /// Why it cannot be run, if it cannot.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Which attempt it is in, from 1; 0 until it was started.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}
