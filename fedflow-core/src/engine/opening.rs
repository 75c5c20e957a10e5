//! How a group is opened: where it works, what was recorded of it, whether it can be run, its place in the schedule.

use std::path::PathBuf;

use super::{Flow, FlowError};
use crate::model::identity::TaskKey;
use crate::model::name::Name;
use crate::model::run_event::RunEvent;
use crate::ports::{DevicePool, Observer, Workers};
use crate::scheduler::{ScheduledTask, SchedulerInput};
use crate::work::fingerprint::fingerprint;
use crate::work::group::TaskGroup;

/// A group that was opened.
pub(super) struct Opening {
    pub(super) name: Name,
    pub(super) index: u32,
    /// Whether all its outcomes were recorded: there is nothing to run.
    pub(super) complete: bool,
    /// What is told as soon as its first task starts, at the latest when its turn begins.
    announcement: Option<RunEvent>,
}

impl<W: Workers, P: DevicePool, O: Observer> Flow<W, P, O> {
    /// Opens a group: from now on its tasks are in the schedule.
    pub(super) fn open(&mut self, group: &mut TaskGroup, index: u32) -> Result<Opening, FlowError> {
        group.begin(index, PathBuf::new());
        let name = group.group_name();
        let workdir = if self.config.task.directory_grouping {
            self.settings.workdir.join(name.as_str())
        } else {
            self.settings.workdir.clone()
        };
        group.begin(index, workdir.clone());
        let fingerprint = fingerprint(group);
        let recorded = self.history.take(&name, fingerprint)?;
        let complete = recorded.as_ref().is_some_and(|recorded| recorded.finished);
        if let Some(recorded) = recorded {
            recorded.restore(group)?;
        }
        let tasks = ScheduledTask::of_group(group, &self.config);
        self.check(&tasks)?;
        if complete && group.finished() {
            return Ok(Opening { name, index, complete: true, announcement: None });
        }
        if let Some(sample) = self.ports.workers.host() {
            self.scheduler.handle(self.now, SchedulerInput::Host(sample));
        }
        let input = SchedulerInput::GroupAdded { index, name: name.clone(), tasks };
        self.scheduler.handle(self.now, input);
        let announcement = RunEvent::GroupStarted {
            group: name.clone(),
            index,
            workdir: workdir.display().to_string(),
            fingerprint,
            tasks: group.tasks().map(|task| task.task_id().clone()).collect(),
        };
        Ok(Opening { name, index, complete: false, announcement: Some(announcement) })
    }

    /// Tasks of a group that loaded ahead can turn out to be broken when it is their turn.
    pub(super) fn fail_broken(&mut self, group: &TaskGroup) {
        for (place, task) in (0..).zip(group.tasks()) {
            if let Some(message) = task.broken().filter(|_| !task.status().is_over()) {
                let task = TaskKey { group: group.index(), place };
                let input = SchedulerInput::Broken { task, message: message.to_owned() };
                self.scheduler.handle(self.now, input);
            }
        }
    }

    pub(super) fn announce_opening(&mut self, opening: &mut Opening) {
        if let Some(event) = opening.announcement.take() {
            self.tell(event);
        }
    }

    /// A task of the group that loads ahead starts: the group has begun.
    pub(super) fn announce_ahead(&mut self, task: TaskKey) {
        let event = match &mut self.ahead {
            Some(opening) if opening.index == task.group => opening.announcement.take(),
            _ => None,
        };
        if let Some(event) = event {
            self.tell(event);
        }
    }

    /// Every request is one that can be met, before anything is started.
    fn check(&self, tasks: &[ScheduledTask]) -> Result<(), FlowError> {
        let mut last = None;
        for (place, task) in (0..).zip(tasks) {
            let asks = (task.needs(), task.pin());
            // Tasks of a group mostly ask for the same.
            if task.is_over() || last == Some(asks) {
                continue;
            }
            let request = task.lease_request(TaskKey { group: 0, place }, &self.config);
            let fits = self.ports.pool.check(&request);
            fits.map_err(|source| FlowError::Unleasable { task: task.task_id.clone(), source })?;
            last = Some(asks);
        }
        Ok(())
    }
}
