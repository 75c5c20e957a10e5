//! `Flow`: a run of task groups, one after the other.

use super::active_groups::ActiveGroups;
use super::drive::{Drive, Ports};
use super::flow_error::FlowError;
use super::history::History;
use super::opening::{self, Opening};
use crate::learning::estimates::Estimates;
use crate::model::config::{Config, OnFailure};
use crate::model::name::Name;
use crate::model::outcome::failure::FailureKind;
use crate::model::outcome::status::TaskStatus;
use crate::model::run_event::{RunEvent, RunOutcome};
use crate::ports::{DevicePool, Observer, RunSettings, StopLevel, Workers};
use crate::scheduler::SchedulerInput;
use crate::work::group::TaskGroup;

/// A run: executes task groups, one after the other, over its ports.
///
/// Dropping it ends nothing by itself: whatever is behind the port to the workers ends them.
pub struct Flow<W, P, O> {
    drive: Drive<W, P, O>,
    config: Config,
    history: History,
    /// How many groups were activated.
    groups: u32,
    /// The group after these, if it loads ahead.
    ahead: Option<Ahead>,
    any_failed: bool,
}

/// A group that was opened ahead.
struct Ahead {
    name: Name,
    is_complete: bool,
}

/// What became of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupSummary {
    /// How many tasks have a result.
    pub finished: u64,
    /// How many failed.
    pub failed: u64,
    /// How many were cancelled.
    pub cancelled: u64,
    /// How many were skipped, which is no failure.
    pub skipped: u64,
}

impl<W: Workers, P: DevicePool, O: Observer> Flow<W, P, O> {
    /// Begins a run, or with a history a session that resumes it.
    pub fn new(ports: Ports<W, P, O>, settings: RunSettings, config: Config, history: History) -> Self {
        let started = RunEvent::RunStarted {
            flow: settings.flow.clone(),
            workdir: settings.workdir.display().to_string(),
            session: settings.session,
            devices: ports.pool.devices(),
            seed: settings.seed,
            reopened: history.reopened.clone(),
            setup: settings.setup.clone().map(Box::new),
        };
        let mut drive = Drive::new(ports, settings, config.clone());
        drive.tell(started);
        Self { drive, config, history, groups: 0, ahead: None, any_failed: false }
    }

    /// Executes a group: blocks until every task has its outcome and every outcome is on disk. What an earlier
    /// session of the run recorded of it is taken from there.
    ///
    /// # Errors
    /// A task asks for what no device can give (then nothing was started), the run was stopped, or its records
    /// cannot be written.
    pub fn execute(&mut self, group: &mut TaskGroup) -> Result<GroupSummary, FlowError> {
        self.execute_group(group, None)
    }

    /// Executes a group as [`Self::execute`] does, while the tasks of the one that will be executed next start and
    /// load. None of them trains before it is executed. Processes of this group whose tasks have their outcome may
    /// still be exiting when it returns.
    ///
    /// # Errors
    /// As for [`Self::execute`], of either group.
    pub fn execute_and_load(
        &mut self,
        group: &mut TaskGroup,
        next: &mut TaskGroup,
    ) -> Result<GroupSummary, FlowError> {
        self.execute_group(group, Some(next))
    }

    /// Begins with what earlier runs have learned of tasks' memory. It counts only with `scheduler.auto-adjust`.
    #[must_use]
    pub fn with_estimates(mut self, estimates: Estimates) -> Self {
        self.drive.handle(SchedulerInput::Estimates(estimates));
        self
    }

    /// What is known of tasks' memory: as it was given, and with what this run has learned.
    #[must_use]
    pub fn estimates(&self) -> &Estimates {
        self.drive.scheduler().estimates()
    }

    /// Whether the run was asked to stop.
    #[must_use]
    pub fn stopped(&self) -> Option<StopLevel> {
        self.drive.stopped
    }

    /// Ends the run, or this session of it, and gives the ports back. Blocks until every process is gone that was
    /// kept for later tasks.
    pub fn finish(mut self, outcome: RunOutcome) -> Ports<W, P, O> {
        if outcome != RunOutcome::Complete || self.ahead.is_some() {
            // A run that is over has no use for what was loaded ahead.
            self.drive.handle(SchedulerInput::Stop(StopLevel::Graceful));
        }
        // Nothing but an event that fits no group can go wrong, and there is no group here.
        let _ = self.drive.run_down();
        self.drive.tell(RunEvent::RunFinished { outcome });
        // The run is over either way; that its last record is not safe was told when it happened.
        let _ = self.drive.settle(&mut ActiveGroups::none());
        self.drive.ports
    }

    fn execute_group(
        &mut self,
        group: &mut TaskGroup,
        next: Option<&mut TaskGroup>,
    ) -> Result<GroupSummary, FlowError> {
        if self.drive.stopped.is_some() {
            return Err(FlowError::Stopped);
        }
        if self.any_failed && self.config.task.on_failure == OnFailure::Stop {
            return Err(FlowError::EarlierFailure);
        }
        let index = self.groups + 1;
        let opened = match self.ahead.take() {
            None => self.open(group, index)?,
            Some(ahead) if ahead.name == group.group_name() => {
                opening::not_run(group).for_each(|input| self.drive.handle(input));
                ahead
            }
            Some(ahead) => {
                let name = ahead.name.clone();
                self.ahead = Some(ahead);
                return Err(FlowError::OutOfOrder(name));
            }
        };
        let mut groups = ActiveGroups { active: Some(group), next };
        if let Some(next) = &mut groups.next {
            match self.open(next, index + 1) {
                Ok(ahead) => self.ahead = Some(ahead),
                Err(error) => {
                    // This group is scheduled, and nothing of it was started: the next call may execute it.
                    self.ahead = Some(opened);
                    return Err(error);
                }
            }
        }
        self.groups = index;
        let Ahead { name, is_complete } = opened;
        let open_tasks = if is_complete { 0 } else { self.drive.run_group(index, &mut groups)? };
        if open_tasks > 0 {
            self.drive.settle(&mut groups)?;
            return Err(FlowError::Stopped);
        }
        let Some(group) = &mut groups.active else { return Ok(GroupSummary::default()) };
        if is_complete {
            return Ok(self.summarise(group));
        }
        group.leave_processes();
        let summary = self.summarise(group);
        let GroupSummary { finished, failed, cancelled, skipped } = summary;
        self.drive.tell(RunEvent::GroupFinished { group: name, finished, failed, cancelled, skipped });
        self.drive.settle(&mut groups)?;
        Ok(summary)
    }

    /// Opens a group. Unless it is complete, its tasks are scheduled from now on.
    fn open(&mut self, group: &mut TaskGroup, index: u32) -> Result<Ahead, FlowError> {
        let opening = opening::open(group, index, &self.drive.settings, &self.config, &mut self.history)?;
        let Opening { name, tasks, is_complete, start } = opening;
        opening::check(&tasks, &self.drive.ports.pool, &self.config)?;
        if !is_complete {
            self.drive.sample_host();
            let order = group.chosen_order.map(|chosen| chosen.order);
            self.drive.handle(SchedulerInput::GroupAdded { index, name: name.clone(), tasks, order });
            self.drive.announce_later(index, start);
        }
        Ok(Ahead { name, is_complete })
    }

    fn summarise(&mut self, group: &TaskGroup) -> GroupSummary {
        let mut summary = GroupSummary::default();
        for task in group.tasks() {
            match (task.status(), task.failure()) {
                (TaskStatus::Exception, Some(failure)) if failure.kind == FailureKind::Cancelled => {
                    summary.cancelled += 1;
                }
                (TaskStatus::Exception, Some(failure)) if failure.kind == FailureKind::Skipped => {
                    summary.skipped += 1;
                }
                (TaskStatus::Exception, _) => summary.failed += 1,
                _ => summary.finished += 1,
            }
        }
        self.any_failed |= summary.failed + summary.cancelled > 0;
        summary
    }
}
