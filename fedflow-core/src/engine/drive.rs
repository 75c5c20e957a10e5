//! The loop: inputs to the scheduler, its outputs to the ports. It decides nothing.

use super::{Flow, FlowError, Turn};
use crate::model::identity::TaskKey;
use crate::model::run_event::RunEvent;
use crate::ports::{Assignment, DevicePool, Input, Observer, StopLevel, Workers};
use crate::scheduler::{Answer, Question, SchedulerInput, SchedulerOutput};

impl<W: Workers, P: DevicePool, O: Observer> Flow<W, P, O> {
    /// Goes on until something is reached.
    pub(super) fn drive(
        &mut self,
        turn: &mut Turn<'_>,
        reached: impl Fn(&Self) -> bool,
    ) -> Result<(), FlowError> {
        loop {
            while let Some(output) = self.scheduler.poll(self.now) {
                self.carry_out(output, turn)?;
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
                        self.scheduler.handle(now, SchedulerInput::Cancel(task));
                    }
                }
                Input::Worker { worker, event } => {
                    self.scheduler.handle(now, SchedulerInput::Worker { worker, event });
                }
                Input::Host(sample) => self.scheduler.handle(now, SchedulerInput::Host(sample)),
                Input::DevicesChanged => self.scheduler.handle(now, SchedulerInput::DevicesChanged),
                Input::Timer => self.scheduler.handle(now, SchedulerInput::Timer),
            }
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
        self.scheduler.handle(self.now, SchedulerInput::Stop(level));
    }

    fn carry_out(&mut self, output: SchedulerOutput, turn: &mut Turn<'_>) -> Result<(), FlowError> {
        match output {
            SchedulerOutput::Start { worker, task, attempt } => {
                if let Some(assignment) = self.begin(turn, task, attempt, false)? {
                    self.ports.workers.start(worker, assignment);
                }
            }
            SchedulerOutput::HandOver { from, to, task, attempt } => {
                if let Some(assignment) = self.begin(turn, task, attempt, true)? {
                    self.ports.workers.hand_over(from, to, assignment);
                }
            }
            SchedulerOutput::Load(worker) => self.ports.workers.load(worker),
            SchedulerOutput::Train { worker, task, lease } => {
                let group = turn.group_of(task);
                if let Some(task) = group.and_then(|group| group.task_at(task.place as usize)) {
                    self.ports.workers.train(worker, &lease, &task.spec().train_params);
                }
            }
            SchedulerOutput::Keep(worker) => self.ports.workers.keep(worker),
            SchedulerOutput::End { worker, severity } => self.ports.workers.end(worker, severity),
            SchedulerOutput::Ask(question) => {
                let answer = self.answer(question);
                self.scheduler.handle(self.now, SchedulerInput::Answer(answer));
            }
            SchedulerOutput::EndTrain(lease) => self.ports.pool.end_train(lease),
            SchedulerOutput::Release(lease) => self.ports.pool.release(lease),
            SchedulerOutput::Withdraw(holder) => self.ports.pool.withdraw(holder),
            SchedulerOutput::Tell(event) => {
                turn.apply(&event)?;
                self.tell(event);
            }
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
            Question::Lost(devices) => Answer::Lost(devices.into_iter().find(|device| pool.is_lost(*device))),
        }
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
