//! `Drive`: the loop between the scheduler and the ports. It carries inputs in and outputs out, and decides nothing.

use std::collections::BTreeMap;

use super::active_groups::ActiveGroups;
use super::flow_error::FlowError;
use super::records::Records;
use crate::model::config::Config;
use crate::model::device::{DeviceInfo, Pin};
use crate::model::identity::TaskKey;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::ports::{Assignment, DevicePool, Input, Observer, RunSettings, StopLevel, Workers};
use crate::scheduler::{Answer, Question, Scheduler, SchedulerInput, SchedulerOutput, SchedulerSetup};

/// The three ports of a flow.
pub struct Ports<W, P, O> {
    /// Starts workers, tells them what to do, and says what arrives.
    pub workers: W,
    /// Leases devices.
    pub pool: P,
    /// Is told everything.
    pub observer: O,
}

/// The scheduler of a run with the ports that it acts through.
pub(super) struct Drive<W, P, O> {
    pub(super) ports: Ports<W, P, O>,
    pub(super) settings: RunSettings,
    pub(super) stopped: Option<StopLevel>,
    scheduler: Scheduler,
    records: Records,
    now: Time,
    /// The starts of groups that were added and are not told yet, by index.
    untold_starts: BTreeMap<u32, RunEvent>,
    /// Why records cannot be written any more.
    broken: Option<String>,
    /// How many tasks the active group has left without an outcome, once it is done.
    open_tasks: Option<usize>,
    /// Whether no process is left at the end of the run.
    is_idle: bool,
}

impl<W: Workers, P: DevicePool, O: Observer> Drive<W, P, O> {
    pub(super) fn new(ports: Ports<W, P, O>, settings: RunSettings, config: Config) -> Self {
        let with_limits = |info: DeviceInfo| {
            let limits = ports.pool.limits(info.device);
            (info, limits)
        };
        let slots_beside = (0..ports.pool.slots_beside()).map(|_| DeviceInfo::cpu_slot());
        let devices = ports.pool.devices().into_iter().chain(slots_beside);
        let setup = SchedulerSetup {
            config,
            seed: settings.seed,
            largest_share: ports.pool.largest_share(),
            devices: devices.map(with_limits).collect(),
            host: None,
        };
        Self {
            scheduler: Scheduler::new(setup),
            records: Records::new(ports.observer.answers_durable()),
            ports,
            settings,
            stopped: None,
            now: Time::ZERO,
            untold_starts: BTreeMap::new(),
            broken: None,
            open_tasks: None,
            is_idle: false,
        }
    }

    pub(super) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Tells the scheduler something that no port has said.
    pub(super) fn handle(&mut self, input: SchedulerInput) {
        self.scheduler.handle(self.now, input);
    }

    /// Samples the host, if it can be, as tasks are about to start.
    pub(super) fn sample_host(&mut self) {
        if let Some(sample) = self.ports.workers.host() {
            self.handle(SchedulerInput::Host(sample));
        }
    }

    /// Has a group's start be told as soon as its first task starts, at the latest when it is active.
    pub(super) fn announce_later(&mut self, index: u32, start: RunEvent) {
        self.untold_starts.insert(index, start);
    }

    fn announce_group(&mut self, index: u32) {
        if let Some(start) = self.untold_starts.remove(&index) {
            self.tell(start);
        }
    }

    /// What becomes of a task is told after the start of its group: one that is not run has its outcome before any starts.
    fn announce_group_of(&mut self, event: &RunEvent) {
        let Some((of, ..)) = event.task() else { return };
        let is_its = |start: &RunEvent| matches!(start, RunEvent::GroupStarted { group, .. } if group == of);
        let untold = self.untold_starts.iter().find(|(_, start)| is_its(start)).map(|(index, _)| *index);
        if let Some(index) = untold {
            self.announce_group(index);
        }
    }

    /// Makes a group the active one and goes on until it is done. Returns how many of its tasks have no outcome, as the run
    /// was stopped.
    pub(super) fn run_group(
        &mut self,
        index: u32,
        groups: &mut ActiveGroups<'_>,
    ) -> Result<usize, FlowError> {
        self.announce_group(index);
        self.open_tasks = None;
        self.handle(SchedulerInput::GroupActivated(index));
        self.go_on(groups, |drive| drive.open_tasks.is_some())?;
        self.handle(SchedulerInput::GroupRemoved(index));
        Ok(self.open_tasks.unwrap_or_default())
    }

    /// Goes on until no process is left.
    pub(super) fn run_down(&mut self) -> Result<(), FlowError> {
        self.handle(SchedulerInput::Finish);
        self.go_on(&mut ActiveGroups::none(), |drive| drive.is_idle)
    }

    /// Goes on until something is reached.
    fn go_on(
        &mut self,
        groups: &mut ActiveGroups<'_>,
        reached: impl Fn(&Self) -> bool,
    ) -> Result<(), FlowError> {
        loop {
            while let Some(output) = self.scheduler.poll(self.now) {
                self.carry_out(output, groups)?;
            }
            debug_assert_eq!(self.scheduler.sanity_check(), Ok(()));
            if reached(self) {
                return Ok(());
            }
            let (now, input) = self.ports.workers.next(self.scheduler.deadline());
            self.now = now;
            match input {
                Input::Durable(number) => self.announce_up_to(number),
                Input::RecordingFailed(reason) => {
                    self.broken.get_or_insert(reason);
                    self.stop(StopLevel::AtOnce);
                }
                Input::Stop(level) => self.stop(level),
                Input::Cancel { group, task } => {
                    if let Some(task) = groups.find(&group, &task) {
                        self.handle(SchedulerInput::Cancel(task));
                    }
                }
                Input::Worker { worker, event } => {
                    self.handle(SchedulerInput::Worker { worker, event });
                }
                Input::Host(sample) => self.handle(SchedulerInput::Host(sample)),
                Input::DevicesChanged => self.handle(SchedulerInput::DevicesChanged),
                Input::Timer => self.handle(SchedulerInput::Timer),
            }
        }
    }

    /// Waits until every record that must be durable is.
    pub(super) fn settle(&mut self, groups: &mut ActiveGroups<'_>) -> Result<(), FlowError> {
        if self.records.any_pending() {
            self.ports.observer.flush();
        }
        self.go_on(groups, |drive| drive.broken.is_some() || !drive.records.any_pending())?;
        match &self.broken {
            Some(reason) => Err(FlowError::Recording(reason.clone())),
            None => Ok(()),
        }
    }

    /// Records an event, and announces it as soon as that may be.
    pub(super) fn tell(&mut self, event: RunEvent) {
        let number = self.records.next_number();
        self.ports.observer.record(number, self.now, &event);
        if let Some(event) = self.records.keep_until_durable(number, self.now, event) {
            self.ports.observer.announce(self.now, &event);
        }
    }

    fn stop(&mut self, level: StopLevel) {
        self.stopped = self.stopped.max(Some(level));
        self.handle(SchedulerInput::Stop(level));
    }

    fn carry_out(&mut self, output: SchedulerOutput, groups: &mut ActiveGroups<'_>) -> Result<(), FlowError> {
        match output {
            SchedulerOutput::Start { worker, task, attempt } => {
                if let Some(assignment) = self.begin(groups, task, attempt, false)? {
                    self.ports.workers.start(worker, assignment);
                }
            }
            SchedulerOutput::HandOver { from, to, task, attempt } => {
                if let Some(assignment) = self.begin(groups, task, attempt, true)? {
                    self.ports.workers.hand_over(from, to, assignment);
                }
            }
            SchedulerOutput::Load(worker) => self.ports.workers.load(worker),
            SchedulerOutput::Train { worker, task, lease } => {
                let group = groups.group_of(task);
                if let Some(task) = group.and_then(|group| group.task_at(task.place as usize)) {
                    self.ports.workers.train(worker, &lease, &task.spec().train_params);
                }
            }
            SchedulerOutput::Keep(worker) => self.ports.workers.keep(worker),
            SchedulerOutput::End { worker, severity } => self.ports.workers.end(worker, severity),
            SchedulerOutput::Ask(question) => {
                let answer = self.answer(question);
                self.handle(SchedulerInput::Answer(answer));
            }
            SchedulerOutput::EndTrain(lease) => self.ports.pool.end_train(lease),
            SchedulerOutput::Release(lease) => self.ports.pool.release(lease),
            SchedulerOutput::Withdraw(holder) => self.ports.pool.withdraw(holder),
            SchedulerOutput::Tell(event) => {
                self.announce_group_of(&event);
                groups.apply(&event)?;
                self.tell(event);
            }
            SchedulerOutput::Waits(wait) => self.ports.observer.waits(self.now, wait.as_ref()),
            SchedulerOutput::GroupDone { open, .. } => self.open_tasks = Some(open),
            SchedulerOutput::Idle => self.is_idle = true,
        }
        Ok(())
    }

    /// What the pool says to a question of the scheduler.
    fn answer(&mut self, question: Question) -> Answer {
        let pool = &mut self.ports.pool;
        match question {
            Question::Lease(request) => match pool.try_lease(&request) {
                Some(lease) => Answer::Granted(lease),
                None => pool.check(&request).map_or_else(Answer::Never, |()| Answer::NotNow),
            },
            Question::Fits { request, without } => Answer::Fits(pool.fits_without(&request, &without)),
            Question::Rebook { lease, memory } => Answer::Rebooked(pool.rebook(lease, memory)),
            Question::Peak(lease) => Answer::Peak(pool.peak(lease)),
            Question::Obstacles(request) => Answer::Obstacles(pool.obstacles(&request)),
            Question::Lost(devices) => Answer::Lost(devices.into_iter().find(|device| pool.is_lost(*device))),
        }
    }

    /// Tells that an attempt begins, and makes what its worker is given.
    fn begin(
        &mut self,
        groups: &mut ActiveGroups<'_>,
        task: TaskKey,
        attempt: u32,
        reused: bool,
    ) -> Result<Option<Assignment>, FlowError> {
        let Some(assignment) = self.assignment(groups, task, attempt) else { return Ok(None) };
        self.announce_group(task.group);
        let started = RunEvent::TaskStarted {
            group: assignment.group.clone(),
            task: assignment.task_id.clone(),
            attempt,
            workdir: assignment.workdir.display().to_string(),
            reused,
        };
        groups.apply(&started)?;
        self.tell(started);
        Ok(Some(assignment))
    }

    fn assignment(&self, groups: &ActiveGroups<'_>, task: TaskKey, attempt: u32) -> Option<Assignment> {
        let group = groups.group_of(task)?;
        let spec = group.task_at(task.place as usize)?.spec();
        let name = group.group_name();
        let checkpoints = self.settings.workdir.join(".fedflow").join("checkpoints");
        Some(Assignment {
            task_id: spec.task_id.clone(),
            attempt,
            workdir: group.workdir()?.join(spec.task_id.as_str()),
            cwd: spec.cwd.clone(),
            on_cpu: spec.device.as_ref().or(group.device()).is_some_and(Pin::is_cpu),
            checkpoint_dir: checkpoints.join(name.as_str()).join(spec.task_id.as_str()),
            program: spec.program.clone(),
            params: spec.params.clone(),
            keep: spec.keep.as_deref().map(str::to_owned),
            oom_signs: spec.oom_signs.clone(),
            group: name,
        })
    }

    fn announce_up_to(&mut self, number: u64) {
        for (time, event) in self.records.durable_up_to(number) {
            self.ports.observer.announce(time, &event);
        }
    }
}
