//! The engine: one loop that drives the scheduler over the three ports.

mod drive;
mod history;
mod opening;
mod records;
mod turn;

pub use history::{History, RecordedGroup};
use opening::Opening;
use records::Records;
use turn::Turn;

use crate::learning::estimates::Estimates;
use crate::leasing::lease::Unleasable;
use crate::model::config::{Config, OnFailure};
use crate::model::failure::FailureKind;
use crate::model::name::Name;
use crate::model::run_event::{RunEvent, RunOutcome};
use crate::model::status::TaskStatus;
use crate::model::time::Time;
use crate::ports::{DevicePool, Observer, RunSettings, StopLevel, Workers};
use crate::scheduler::{Scheduler, SchedulerInput, SchedulerSetup};
use crate::work::group::{GroupError, TaskGroup};

/// The three ports of a flow.
pub struct Ports<W, P, O> {
    /// Starts workers, tells them what to do, and says what arrives.
    pub workers: W,
    /// Leases devices.
    pub pool: P,
    /// Is told everything.
    pub observer: O,
}

/// A run: executes task groups, one after the other, over its ports.
///
/// Dropping it ends nothing by itself: the launcher's owner sees to it that no worker stays.
pub struct Flow<W, P, O> {
    ports: Ports<W, P, O>,
    settings: RunSettings,
    config: Config,
    history: History,
    records: Records,
    scheduler: Scheduler,
    now: Time,
    /// How many groups have had their turn.
    groups: u32,
    /// The group after these, if it was opened ahead of its turn.
    ahead: Option<Opening>,
    stopped: Option<StopLevel>,
    broken: Option<String>,
    any_failed: bool,
    /// How many tasks the active group has left without an outcome, once it is done.
    open_tasks: Option<usize>,
    /// Whether no process is left at the end of the run.
    is_idle: bool,
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
}

/// Why a group was not executed to its end.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// A task asks for what no device can give. Nothing was started.
    #[error("task {task}: {source}")]
    Unleasable {
        /// The task.
        task: Name,
        /// Why not.
        source: Unleasable,
    },
    /// The run was stopped.
    #[error("the run was stopped")]
    Stopped,
    /// A task of an earlier group failed, and `task.on-failure` is `stop`.
    #[error("a task of an earlier group failed")]
    EarlierFailure,
    /// The run's records cannot be written any more.
    #[error("the run's records cannot be written: {0}")]
    Recording(String),
    /// The run has recorded a group of this name that was made of other tasks.
    #[error("the run has recorded a group {0} that was made of other tasks or parameters")]
    Changed(Name),
    /// Another group was given to be executed next.
    #[error("group {0} has loaded ahead and must be executed next")]
    OutOfOrder(Name),
    /// A worker or a record does not fit the life cycle of its task.
    #[error(transparent)]
    Group(#[from] GroupError),
}

impl<W: Workers, P: DevicePool, O: Observer> Flow<W, P, O> {
    /// Begins a run, or with a history a session that resumes it.
    pub fn new(ports: Ports<W, P, O>, settings: RunSettings, config: Config, history: History) -> Self {
        let records = Records::new(ports.observer.answers_durable());
        let setup = SchedulerSetup {
            config: config.clone(),
            seed: settings.seed,
            largest_share: ports.pool.largest_share(),
            devices: ports.pool.devices().into_iter().map(|info| info.device).collect(),
            host: None,
        };
        let mut flow = Self {
            ports,
            settings,
            config,
            history,
            records,
            scheduler: Scheduler::new(setup),
            now: Time::ZERO,
            groups: 0,
            ahead: None,
            stopped: None,
            broken: None,
            any_failed: false,
            open_tasks: None,
            is_idle: false,
        };
        let started = RunEvent::RunStarted {
            flow: flow.settings.flow.clone(),
            workdir: flow.settings.workdir.display().to_string(),
            session: flow.settings.session,
            devices: flow.ports.pool.devices(),
            seed: flow.settings.seed,
        };
        flow.tell(started);
        flow
    }

    /// Executes a group: blocks until every task has its outcome and every outcome is on disk. What an earlier
    /// session of the run recorded of it is taken from there.
    ///
    /// # Errors
    /// A task asks for what no device can give (then nothing was started), the run was stopped, or its records
    /// cannot be written.
    pub fn execute(&mut self, group: &mut TaskGroup) -> Result<GroupSummary, FlowError> {
        self.execute_turn(&mut Turn { group: Some(group), next: None })
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
        self.execute_turn(&mut Turn { group: Some(group), next: Some(next) })
    }

    /// Begins with what earlier runs have learned of tasks' memory. It counts only with `scheduler.auto-adjust`.
    #[must_use]
    pub fn with_estimates(mut self, estimates: Estimates) -> Self {
        self.scheduler.handle(self.now, SchedulerInput::Estimates(estimates));
        self
    }

    /// What is known of tasks' memory: as it was given, and with what this run has learned.
    #[must_use]
    pub fn estimates(&self) -> &Estimates {
        self.scheduler.estimates()
    }

    /// Whether the run was asked to stop.
    #[must_use]
    pub fn stopped(&self) -> Option<StopLevel> {
        self.stopped
    }

    /// Ends the run, or this session of it, and gives the ports back. Blocks until every process is gone that was
    /// kept for later tasks.
    pub fn finish(mut self, outcome: RunOutcome) -> Ports<W, P, O> {
        if outcome != RunOutcome::Complete || self.ahead.is_some() {
            // A run that is over has no use for what was loaded ahead.
            self.scheduler.handle(self.now, SchedulerInput::Stop(StopLevel::Graceful));
        }
        self.scheduler.handle(self.now, SchedulerInput::Finish);
        // Nothing but an event that fits no group can go wrong, and there is no group here.
        let _ = self.drive(&mut Turn::none(), |flow| flow.is_idle);
        self.tell(RunEvent::RunFinished { outcome });
        // The run is over either way; that its last record is not safe was told when it happened.
        let _ = self.settle(&mut Turn::none());
        self.ports
    }

    fn execute_turn(&mut self, turn: &mut Turn<'_>) -> Result<GroupSummary, FlowError> {
        if self.stopped.is_some() {
            return Err(FlowError::Stopped);
        }
        if self.any_failed && self.config.task.on_failure == OnFailure::Stop {
            return Err(FlowError::EarlierFailure);
        }
        let Turn { group, next } = turn;
        let Some(group) = group else { return Ok(GroupSummary::default()) };
        let index = self.groups + 1;
        let mut opening = match self.ahead.take() {
            None => self.open(group, index)?,
            Some(opening) if opening.name == group.group_name() => {
                self.fail_broken(group);
                opening
            }
            Some(opening) => {
                let name = opening.name.clone();
                self.ahead = Some(opening);
                return Err(FlowError::OutOfOrder(name));
            }
        };
        self.groups = index;
        if let Some(next) = next {
            self.ahead = Some(self.open(next, index + 1)?);
        }
        if opening.complete {
            return Ok(self.summarise(group));
        }
        self.announce_opening(&mut opening);
        self.open_tasks = None;
        self.scheduler.handle(self.now, SchedulerInput::GroupActivated(index));
        self.drive(turn, |flow| flow.open_tasks.is_some())?;
        self.scheduler.handle(self.now, SchedulerInput::GroupRemoved(index));
        if self.open_tasks > Some(0) {
            self.settle(turn)?;
            return Err(FlowError::Stopped);
        }
        let Some(group) = &mut turn.group else { return Ok(GroupSummary::default()) };
        group.leave_processes();
        let summary = self.summarise(group);
        self.tell(RunEvent::GroupFinished {
            group: opening.name,
            finished: summary.finished,
            failed: summary.failed,
            cancelled: summary.cancelled,
        });
        self.settle(turn)?;
        Ok(summary)
    }

    fn summarise(&mut self, group: &TaskGroup) -> GroupSummary {
        let mut summary = GroupSummary::default();
        for task in group.tasks() {
            match (task.status(), task.failure()) {
                (TaskStatus::Exception, Some(failure)) if failure.kind == FailureKind::Cancelled => {
                    summary.cancelled += 1;
                }
                (TaskStatus::Exception, _) => summary.failed += 1,
                _ => summary.finished += 1,
            }
        }
        self.any_failed |= summary.failed + summary.cancelled > 0;
        summary
    }
}
