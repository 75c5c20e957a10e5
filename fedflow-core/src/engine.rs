//! The engine: one loop that drives the scheduler over the four ports.

mod history;
mod records;

use std::path::PathBuf;

pub use history::{History, RecordedGroup};
use records::Records;

use crate::config::{Config, OnFailure};
use crate::event::{RunEvent, RunOutcome};
use crate::failure::FailureKind;
use crate::fingerprint::fingerprint;
use crate::group::{GroupError, TaskGroup};
use crate::lease::Unleasable;
use crate::name::Name;
use crate::ports::{
    Assignment, DevicePool, HostSample, Inbox, Input, Launcher, Observer, RunSettings, StopLevel, TaskKey,
};
use crate::scheduler::{Command, LeaseAnswer, Scheduler, SchedulerSetup, TaskPlan};
use crate::status::TaskStatus;
use crate::time::Time;

/// The four ports of a flow.
pub struct Ports<L, P, O, I> {
    /// Starts workers.
    pub launcher: L,
    /// Leases devices.
    pub pool: P,
    /// Is told everything.
    pub observer: O,
    /// Where everything arrives.
    pub inbox: I,
}

/// A run: executes task groups, one after the other, over its ports.
///
/// Dropping it ends nothing by itself: the launcher's owner sees to it that no worker stays.
pub struct Flow<L, P, O, I> {
    ports: Ports<L, P, O, I>,
    settings: RunSettings,
    config: Config,
    history: History,
    records: Records,
    now: Time,
    groups: u32,
    next_worker: u64,
    host: Option<HostSample>,
    stopped: Option<StopLevel>,
    broken: Option<String>,
    any_failed: bool,
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
    /// A worker or a record does not fit the life cycle of its task.
    #[error(transparent)]
    Group(#[from] GroupError),
}

impl<L: Launcher, P: DevicePool, O: Observer, I: Inbox> Flow<L, P, O, I> {
    /// Begins a run, or with a history a session that resumes it.
    pub fn new(ports: Ports<L, P, O, I>, settings: RunSettings, config: Config, history: History) -> Self {
        let records = Records::new(ports.observer.answers_durable());
        let mut flow = Self {
            ports,
            settings,
            config,
            history,
            records,
            now: Time::ZERO,
            groups: 0,
            next_worker: 1,
            host: None,
            stopped: None,
            broken: None,
            any_failed: false,
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
        if self.stopped.is_some() {
            return Err(FlowError::Stopped);
        }
        if self.any_failed && self.config.task.on_failure == OnFailure::Stop {
            return Err(FlowError::EarlierFailure);
        }
        let index = self.groups + 1;
        group.begin(index, PathBuf::new());
        let name = group.group_name();
        let workdir = if self.config.task.directory_grouping {
            self.settings.workdir.join(name.as_str())
        } else {
            self.settings.workdir.clone()
        };
        group.begin(index, workdir.clone());
        let recorded = self.history.take(&name, fingerprint(group))?;
        let complete = recorded.as_ref().is_some_and(|recorded| recorded.finished);
        if let Some(recorded) = recorded {
            recorded.restore(group)?;
        }
        let plans = TaskPlan::of_group(group, &self.config);
        self.check(&plans)?;
        self.groups = index;
        if complete && group.finished() {
            return Ok(self.summarise(group));
        }
        self.tell(RunEvent::GroupStarted {
            group: name.clone(),
            index,
            workdir: workdir.display().to_string(),
            fingerprint: fingerprint(group),
            tasks: group.tasks().map(|task| task.task_id().clone()).collect(),
        });
        self.run(group, plans, index, &name)?;
        let summary = self.summarise(group);
        self.tell(RunEvent::GroupFinished {
            group: name,
            finished: summary.finished,
            failed: summary.failed,
            cancelled: summary.cancelled,
        });
        self.settle()?;
        Ok(summary)
    }

    /// Executes a group as [`Self::execute`] does, while the tasks of the one that will be executed next start and
    /// load. None of them trains before it is executed.
    ///
    /// # Errors
    /// As for [`Self::execute`], of either group.
    pub fn execute_and_load(
        &mut self,
        group: &mut TaskGroup,
        next: &mut TaskGroup,
    ) -> Result<GroupSummary, FlowError> {
        let _ = next;
        self.execute(group)
    }

    /// Whether the run was asked to stop.
    #[must_use]
    pub fn stopped(&self) -> Option<StopLevel> {
        self.stopped
    }

    /// Ends the run, or this session of it, and gives the ports back.
    pub fn finish(mut self, outcome: RunOutcome) -> Ports<L, P, O, I> {
        self.tell(RunEvent::RunFinished { outcome });
        // The run is over either way; that its last record is not safe was told when it happened.
        let _ = self.settle();
        self.ports
    }

    /// Every request is one that can be met, before anything is started.
    fn check(&self, plans: &[TaskPlan]) -> Result<(), FlowError> {
        let mut last = None;
        for (place, plan) in (0..).zip(plans) {
            let needs = (plan.needs, plan.pin.as_ref());
            // Tasks of a group mostly ask for the same.
            if plan.outcome.is_some() || last == Some(needs) {
                continue;
            }
            let request = plan.lease_request(TaskKey { group: 0, place }, &self.config);
            self.ports
                .pool
                .check(&request)
                .map_err(|source| FlowError::Unleasable { task: plan.task_id.clone(), source })?;
            last = Some(needs);
        }
        Ok(())
    }

    fn run(
        &mut self,
        group: &mut TaskGroup,
        plans: Vec<TaskPlan>,
        index: u32,
        name: &Name,
    ) -> Result<(), FlowError> {
        self.host = self.ports.inbox.host().or(self.host);
        let setup = SchedulerSetup {
            group: name.clone(),
            index,
            config: self.config.clone(),
            seed: self.settings.seed,
            largest_share: self.ports.pool.largest_share(),
            first_worker: self.next_worker,
            host: self.host,
        };
        let mut scheduler = Scheduler::new(setup, plans);
        loop {
            while let Some(command) = scheduler.poll_command(self.now) {
                self.carry_out(command, &mut scheduler, group, name)?;
            }
            debug_assert_eq!(scheduler.sanity_check(), Ok(()));
            if scheduler.is_done() {
                break;
            }
            let (now, input) = self.ports.inbox.next(scheduler.deadline());
            self.now = now;
            match input {
                Input::Durable(number) => self.announce_up_to(number),
                Input::RecordingFailed(reason) => {
                    self.broken.get_or_insert(reason);
                    self.stopped = Some(StopLevel::AtOnce);
                    scheduler.handle(now, Input::Stop(StopLevel::AtOnce));
                }
                Input::Stop(level) => {
                    self.stopped = self.stopped.max(Some(level));
                    scheduler.handle(now, Input::Stop(level));
                }
                input => scheduler.handle(now, input),
            }
        }
        self.next_worker = scheduler.next_worker();
        self.host = scheduler.host_sample();
        if scheduler.open_tasks() > 0 {
            self.settle()?;
            return Err(FlowError::Stopped);
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        command: Command,
        scheduler: &mut Scheduler,
        group: &mut TaskGroup,
        name: &Name,
    ) -> Result<(), FlowError> {
        match command {
            Command::Start { worker, place, attempt } => {
                let Some(assignment) = self.assignment(group, name, place, attempt) else { return Ok(()) };
                let started = RunEvent::TaskStarted {
                    group: name.clone(),
                    task: assignment.task_id.clone(),
                    attempt,
                    workdir: assignment.workdir.display().to_string(),
                };
                group.apply(&started)?;
                self.tell(started);
                self.ports.launcher.start(worker, assignment);
            }
            Command::Load(worker) => self.ports.launcher.load(worker),
            Command::TryLease { worker, request } => {
                let answer = match self.ports.pool.try_lease(&request) {
                    Some(lease) => LeaseAnswer::Granted(lease),
                    None => match self.ports.pool.check(&request) {
                        Ok(()) => LeaseAnswer::NotNow,
                        Err(reason) => LeaseAnswer::Never(reason),
                    },
                };
                scheduler.lease_answered(self.now, worker, &request, answer);
            }
            Command::Train { worker, place, lease } => {
                if let Some(task) = group.task_at(place as usize) {
                    self.ports.launcher.train(worker, &lease, &task.spec().train_params);
                }
            }
            Command::EndTrain(lease) => self.ports.pool.end_train(lease),
            Command::Release(lease) => self.ports.pool.release(lease),
            Command::Withdraw(holder) => self.ports.pool.withdraw(holder),
            Command::Exit(worker) => self.ports.launcher.exit(worker),
            Command::Terminate(worker) => self.ports.launcher.terminate(worker),
            Command::Kill(worker) => self.ports.launcher.kill(worker),
            Command::Tell(event) => {
                group.apply(&event)?;
                self.tell(event);
            }
        }
        Ok(())
    }

    fn assignment(&self, group: &TaskGroup, name: &Name, place: u32, attempt: u32) -> Option<Assignment> {
        let spec = group.task_at(place as usize)?.spec();
        let checkpoints = self.settings.workdir.join(".fedflow").join("checkpoints");
        Some(Assignment {
            group: name.clone(),
            task_id: spec.task_id.clone(),
            attempt,
            workdir: group.workdir()?.join(spec.task_id.as_str()),
            checkpoint_dir: checkpoints.join(name.as_str()).join(spec.task_id.as_str()),
            program: spec.program.clone(),
            params: spec.params.clone(),
            keep: spec.keep.as_deref().map(str::to_owned),
        })
    }

    /// Records an event, and announces it as soon as that may be.
    fn tell(&mut self, event: RunEvent) {
        let number = self.records.next_number();
        self.ports.observer.record(number, self.now, &event);
        if let Some(event) = self.records.keep_until_durable(number, self.now, event) {
            self.ports.observer.announce(self.now, &event);
        }
    }

    fn announce_up_to(&mut self, number: u64) {
        for (time, event) in self.records.durable_up_to(number) {
            self.ports.observer.announce(time, &event);
        }
    }

    /// Waits until every record that must be durable is.
    fn settle(&mut self) -> Result<(), FlowError> {
        while self.broken.is_none() && self.records.any_pending() {
            let (now, input) = self.ports.inbox.next(None);
            self.now = now;
            match input {
                Input::Durable(number) => self.announce_up_to(number),
                Input::RecordingFailed(reason) => {
                    self.broken = Some(reason);
                    self.stopped = Some(StopLevel::AtOnce);
                }
                Input::Stop(level) => self.stopped = self.stopped.max(Some(level)),
                Input::Host(sample) => self.host = Some(sample),
                // Of workers that are gone, or for a scheduler that has done its work.
                Input::Worker { .. } | Input::DevicesChanged | Input::Cancel { .. } | Input::Timer => {}
            }
        }
        match &self.broken {
            Some(reason) => Err(FlowError::Recording(reason.clone())),
            None => Ok(()),
        }
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
