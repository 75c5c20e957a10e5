//! The loop: inputs to the scheduler, its commands to the ports.

use super::{Flow, FlowError, Turn};
use crate::leasing::lease::{LeaseId, LeaseRequest};
use crate::model::device::{Device, Pin};
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::run_event::RunEvent;
use crate::ports::{Assignment, DevicePool, Input, Observer, Severity, StopLevel, WorkerEvent, Workers};
use crate::scheduler::{Command, LeaseAnswer};

impl<W: Workers, P: DevicePool, O: Observer> Flow<W, P, O> {
    /// Goes on until something is reached.
    pub(super) fn drive(
        &mut self,
        turn: &mut Turn<'_>,
        reached: impl Fn(&Self) -> bool,
    ) -> Result<(), FlowError> {
        loop {
            // A process that is told to exit is in no hurry; the next one on its device is.
            let mut leaving = Vec::new();
            while let Some(command) = self.scheduler.poll_command(self.now) {
                match command {
                    Command::Exit(_) => leaving.push(command),
                    _ => self.carry_out(command, turn)?,
                }
            }
            for command in leaving {
                self.carry_out(command, turn)?;
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
                    if let Some(task) = turn.find(&group, &task) {
                        self.scheduler.cancel(now, task);
                    }
                }
                Input::Host(sample) => {
                    self.scheduler.handle(now, Input::Host(sample));
                    for lease in self.scheduler.watched() {
                        self.scheduler.seen_training(now, lease, self.ports.pool.peak(lease));
                    }
                }
                input => {
                    self.look_for_lost_devices(&input);
                    self.scheduler.handle(now, input);
                }
            }
        }
    }

    /// A task that fails on a device that is lost has not failed by itself.
    fn look_for_lost_devices(&mut self, input: &Input) {
        let Input::Worker { worker, event: WorkerEvent::Failed { .. } | WorkerEvent::Gone { .. } } = input
        else {
            return;
        };
        let devices = self.scheduler.trains_on(*worker);
        if let Some(lost) = devices.into_iter().find(|device| self.ports.pool.is_lost(*device)) {
            self.scheduler.device_lost(*worker, lost);
        }
    }

    /// Waits until every record that must be durable is.
    pub(super) fn settle(&mut self, turn: &mut Turn<'_>) -> Result<(), FlowError> {
        if self.records.any_pending() {
            self.ports.observer.flush();
        }
        self.drive(turn, |flow| flow.broken.is_some() || !flow.records.any_pending())?;
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
        self.scheduler.handle(self.now, Input::Stop(level));
    }

    fn carry_out(&mut self, command: Command, turn: &mut Turn<'_>) -> Result<(), FlowError> {
        match command {
            Command::Start { worker, task, attempt } => {
                if let Some(assignment) = self.begin(turn, task, attempt, false)? {
                    self.ports.workers.start(worker, assignment);
                }
            }
            Command::HandOver { from, to, task, attempt } => {
                if let Some(assignment) = self.begin(turn, task, attempt, true)? {
                    self.ports.workers.hand_over(from, to, assignment);
                }
            }
            Command::Load(worker) => self.ports.workers.load(worker),
            Command::TryLease { worker, request } => {
                let answer = match self.ports.pool.try_lease(&request) {
                    Some(lease) => LeaseAnswer::Granted(lease),
                    None => match self.ports.pool.check(&request) {
                        Ok(()) => LeaseAnswer::NotNow {
                            in_the_way: self.in_the_way(worker, &request),
                            elsewhere: self.elsewhere(worker, &request),
                        },
                        Err(reason) => LeaseAnswer::Never(reason),
                    },
                };
                self.scheduler.lease_answered(self.now, worker, &request, answer);
            }
            Command::Train { worker, task, lease } => {
                let group = turn.group_of(task);
                if let Some(task) = group.and_then(|group| group.task_at(task.place as usize)) {
                    self.ports.workers.train(worker, &lease, &task.spec().train_params);
                }
            }
            Command::Rebook { lease, memory } => {
                if self.ports.pool.rebook(lease, memory) {
                    self.scheduler.rebooked(lease, memory);
                }
            }
            Command::EndTrain(lease) => {
                self.scheduler.trained_with(lease, self.ports.pool.peak(lease));
                self.ports.pool.end_train(lease);
            }
            Command::Release(lease) => self.ports.pool.release(lease),
            Command::Withdraw(holder) => self.ports.pool.withdraw(holder),
            Command::Keep(worker) => self.ports.workers.keep(worker),
            Command::Exit(worker) => self.ports.workers.end(worker, Severity::Asked),
            Command::Terminate(worker) => self.ports.workers.end(worker, Severity::Terminated),
            Command::Kill(worker) => self.ports.workers.end(worker, Severity::Killed),
            Command::Tell(event) => {
                turn.apply(&event)?;
                self.tell(event);
            }
        }
        Ok(())
    }

    /// The idle lease that should go, so that a request can be met that was refused.
    fn in_the_way(&self, asker: WorkerId, request: &LeaseRequest) -> Option<LeaseId> {
        let pool = &self.ports.pool;
        let idle = self.scheduler.idle_leases(asker);
        let helps = |leases: &[LeaseId]| pool.fits_without(request, leases);
        let first = idle.first().filter(|_| helps(&idle))?;
        idle.iter().find(|lease| helps(std::slice::from_ref(lease))).or(Some(first)).copied()
    }

    /// The other devices that could meet a request that was refused, if its process were not tied to one. Who only idles
    /// there is asked to go then.
    fn elsewhere(&self, asker: WorkerId, request: &LeaseRequest) -> Vec<Device> {
        let Some((tied, request)) = self.scheduler.untied(asker, request) else { return Vec::new() };
        let pool = &self.ports.pool;
        let idle = self.scheduler.idle_leases(asker);
        let on = |device| LeaseRequest { pin: Some(Pin::Device(device)), ..request.clone() };
        let others = pool.devices().into_iter().map(|info| info.device).filter(|device| *device != tied);
        others.filter(|device| pool.fits_without(&on(*device), &idle)).collect()
    }

    /// Tells that an attempt begins, and makes what its worker is given.
    fn begin(
        &mut self,
        turn: &mut Turn<'_>,
        task: TaskKey,
        attempt: u32,
        reused: bool,
    ) -> Result<Option<Assignment>, FlowError> {
        let Some(assignment) = self.assignment(turn, task, attempt) else { return Ok(None) };
        self.announce_ahead(task);
        let started = RunEvent::TaskStarted {
            group: assignment.group.clone(),
            task: assignment.task_id.clone(),
            attempt,
            workdir: assignment.workdir.display().to_string(),
            reused,
        };
        turn.apply(&started)?;
        self.tell(started);
        Ok(Some(assignment))
    }

    fn assignment(&self, turn: &Turn<'_>, task: TaskKey, attempt: u32) -> Option<Assignment> {
        let group = turn.group_of(task)?;
        let spec = group.task_at(task.place as usize)?.spec();
        let name = group.group_name();
        let checkpoints = self.settings.workdir.join(".fedflow").join("checkpoints");
        Some(Assignment {
            task_id: spec.task_id.clone(),
            attempt,
            workdir: group.workdir()?.join(spec.task_id.as_str()),
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
