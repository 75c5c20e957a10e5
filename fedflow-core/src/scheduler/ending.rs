//! How attempts end: failures, time limits, cancelling, stopping, and what follows when the process is gone.

use std::time::Duration;

use super::retry::{Verdict, decide, decide_host_oom};
use super::timers::Due;
use super::worker::{Phase, Severity, Worker};
use super::{Command, Scheduler, TaskProgress};
use crate::leasing::lease::Lease;
use crate::model::device::Device;
use crate::model::failure::{Failure, FailureKind, Stage};
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::ports::StopLevel;

/// Up to which attempt it costs a task nothing that a process dies which had served others.
const FREE_ATTEMPTS: u32 = 8;

/// What is known of the attempt that failed.
pub(super) struct Attempt {
    number: u32,
    load_seconds: Option<f64>,
    trained: Option<(Device, f64)>,
    /// The device that was lost meanwhile.
    lost: Option<Device>,
}

impl Scheduler {
    /// Ends a worker. What becomes of its task is decided when it is gone.
    pub(super) fn end(&mut self, now: Time, id: WorkerId, failure: Option<Failure>, severity: Severity) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        // A lease in use is given back only when the process is gone: until then the card is in use.
        if let Phase::Training { lease, since } = &worker.phase
            && worker.resident.is_none()
        {
            worker.resident = Some(lease.id);
            worker.holds_since = Some(*since);
            worker.trained = Some((lease.device(), now.since(*since).as_secs_f64()));
        }
        let was_waiting = matches!(worker.phase, Phase::Waiting);
        let task = worker.task;
        self.stay_tied(id);
        self.enter(now, id, Phase::Ending { failure, severity });
        self.unreserve(id);
        if was_waiting {
            self.leave_queue(id, task);
        }
        self.look_whom_it_served(task);
        self.commands.push_back(match severity {
            Severity::Asked => Command::Exit(id),
            Severity::Terminated => Command::Terminate(id),
            Severity::Killed => Command::Kill(id),
        });
    }

    fn leave_queue(&mut self, id: WorkerId, task: TaskKey) {
        if let Some(group) = self.groups.get_mut(&task.group) {
            group.waiting.retain(|waiting| *waiting != id);
        }
        self.commands.push_back(Command::Withdraw(task));
        self.lease_round.request();
    }

    /// The devices on which a worker trains now.
    #[must_use]
    pub fn trains_on(&self, id: WorkerId) -> Vec<Device> {
        match self.workers.get(&id).map(|worker| &worker.phase) {
            Some(Phase::Training { lease, .. }) => {
                lease.shares.iter().map(|share| share.info.device).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A device on which a worker trains is lost: if the worker fails now, its task is tried again elsewhere, unless it
    /// is tied to that device.
    pub fn device_lost(&mut self, id: WorkerId, device: Device) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.device_lost = Some(device);
        }
    }

    /// `train` failed in a process that lives. The first time that memory on the card did not suffice, what it
    /// has loaded is kept, and it waits for a larger share of the same card.
    pub(super) fn train_failed(
        &mut self,
        now: Time,
        id: WorkerId,
        lease: &Lease,
        train_seconds: f64,
        failure: Failure,
    ) {
        self.end_train(id, lease, train_seconds);
        let Some(worker) = self.workers.get(&id) else { return };
        let (key, attempt) = (worker.task, worker.attempt);
        let nretry = self.config.scheduler.train_nretry;
        let (stopping, lost) = (self.stop.is_some(), worker.device_lost.is_some());
        let Some(task) = self.task_mut(key) else { return };
        let first_oom = failure.kind == FailureKind::Oom
            && task.spent.train_oom == 0
            && nretry > 1
            && !lost
            && lease.shares.len() == 1;
        if !first_oom || stopping {
            self.end(now, id, Some(failure), Severity::Asked);
            return;
        }
        task.spent.train_oom += 1;
        self.grow_cuda_memory(key);
        self.tell(key, |group, task| RunEvent::TaskRetried {
            group,
            task,
            attempt,
            device: Some(lease.device()),
            error: failure,
            data_kept: true,
            delay_seconds: 0.0,
        });
        // The larger share will take the place of the smaller one: both would not fit.
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.stays_on = (lease.device() != Device::Cpu).then(|| lease.device());
        if worker.stays_on.is_none() {
            self.commands.extend(worker.resident.take().map(Command::Release));
        }
        self.enter(now, id, Phase::Waiting);
        if let Some(group) = self.groups.get_mut(&key.group) {
            group.waiting.push_back(id);
        }
    }

    pub(super) fn worker_timed_out(&mut self, now: Time, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let key = worker.task;
        if let Phase::Exiting { severity } | Phase::Ending { severity, .. } = &mut worker.phase {
            let (next, command) = match severity {
                Severity::Asked => (Severity::Terminated, Command::Terminate(id)),
                Severity::Terminated | Severity::Killed => (Severity::Killed, Command::Kill(id)),
            };
            *severity = next;
            self.commands.push_back(command);
            self.set_deadline(now, id);
            return;
        }
        let Some(worker) = self.workers.get(&id) else { return };
        let Some(stage) = worker.phase.stage() else { return };
        let Some(limits) = self.task(key).map(|task| &task.plan.limits) else { return };
        let whole = limits.timeout.filter(|limit| now >= worker.started + *limit);
        let (name, limit) = match (&worker.phase, whole) {
            (_, Some(limit)) => ("timeout", Some(limit)),
            (Phase::Starting, _) => ("start-timeout", limits.start_timeout),
            (Phase::Loading { .. }, _) => ("load-timeout", limits.load_timeout),
            (_, _) => ("train-timeout", limits.train_timeout),
        };
        let limit = humantime::format_duration(limit.unwrap_or_default());
        let failure = Failure::new(stage, FailureKind::Timeout, format!("its {name} of {limit} expired"));
        self.end(now, id, Some(failure), Severity::Terminated);
    }

    /// Cancels a task that has no outcome yet.
    pub fn cancel(&mut self, now: Time, key: TaskKey) {
        let cancelled = |stage| Failure::new(stage, FailureKind::Cancelled, "it was cancelled");
        self.give_up(now, key, cancelled, Severity::Terminated);
    }

    /// A task cannot be run after all: it fails, and is not tried again.
    pub fn break_task(&mut self, now: Time, key: TaskKey, message: &str) {
        // No retry would change it.
        if let Some(task) = self.task_mut(key) {
            task.spent.failures = u32::MAX;
        }
        self.give_up(now, key, |stage| Failure::new(stage, FailureKind::Error, message), Severity::Asked);
    }

    /// Ends a task that has no outcome yet, wherever it is.
    fn give_up(
        &mut self,
        now: Time,
        key: TaskKey,
        failure_at: impl Fn(Stage) -> Failure,
        severity: Severity,
    ) {
        let Some(task) = self.task_mut(key) else { return };
        match task.progress {
            TaskProgress::Over => {}
            TaskProgress::Running(id) => {
                let Some(worker) = self.workers.get_mut(&id) else { return };
                match (&mut worker.phase, self.stop) {
                    // It has failed and is being ended: it is not tried again.
                    (Phase::Ending { failure: Some(failure), .. }, _) => *failure = failure_at(failure.stage),
                    // It makes room for another one, and would start anew.
                    (Phase::Ending { failure, .. }, None) => *failure = Some(failure_at(Stage::Wait)),
                    (phase, _) => {
                        if let Some(stage) = phase.stage() {
                            self.end(now, id, Some(failure_at(stage)), severity);
                        }
                    }
                }
            }
            TaskProgress::Ready | TaskProgress::Delayed | TaskProgress::Postponed => {
                task.attempts = task.attempts.max(1);
                self.timers.clear(Due::Retry(key));
                self.fail_for_good(key, failure_at(Stage::Start), None);
            }
        }
    }

    pub(super) fn handle_stop(&mut self, now: Time, level: StopLevel) {
        if self.stop >= Some(level) {
            return;
        }
        self.stop = Some(level);
        let (severity, command): (_, fn(WorkerId) -> Command) = match level {
            StopLevel::Graceful => (Severity::Terminated, Command::Terminate),
            StopLevel::AtOnce => (Severity::Killed, Command::Kill),
        };
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in ids {
            let Some(worker) = self.workers.get_mut(&id) else { continue };
            match &mut worker.phase {
                Phase::Exiting { severity: reached } | Phase::Ending { severity: reached, .. } => {
                    if *reached < severity {
                        *reached = severity;
                        self.commands.push_back(command(id));
                        self.set_deadline(now, id);
                    }
                }
                // The task has no outcome: a resume runs it again, and it costs none of its retries.
                _ => self.end(now, id, None, severity),
            }
        }
        self.let_all_go(now, severity);
        if level == StopLevel::Graceful {
            self.timers.set(Due::Grace, now + self.config.supervision.grace);
        } else {
            self.timers.clear(Due::Grace);
        }
    }

    /// Every process of a worker is gone: the attempt is over.
    #[expect(clippy::too_many_arguments, reason = "what the event carries")]
    pub(super) fn worker_gone(
        &mut self,
        now: Time,
        id: WorkerId,
        kind: FailureKind,
        message: String,
        stderr_tail: String,
        killed_for_memory: bool,
        before_first_word: bool,
    ) {
        // Leave the phase in order, so that the counters and queues follow, before the worker is forgotten.
        let Some(worker) = self.workers.get(&id) else { return };
        let stage = worker.phase.stage();
        // What failed before for another cause is judged by that.
        let host_oom = stage.is_some() && killed_for_memory;
        if let Some(stage) = stage {
            self.end(now, id, Some(Failure::new(stage, kind, message)), Severity::Killed);
            // It is gone already: nothing needs to be ended.
            self.commands.retain(|command| *command != Command::Kill(id));
        }
        let Some(worker) = self.take_out(id) else { return };
        if let Some(lease) = worker.resident {
            self.commands.push_back(Command::Release(lease));
            self.lease_round.request();
        }
        let Worker { task, attempt, load_seconds, mut trained, phase, served, device_lost: lost, .. } =
            worker;
        if let (Some(since), Some((_, seconds))) = (worker.holds_since, &mut trained) {
            let train_seconds = now.since(since).as_secs_f64();
            *seconds = train_seconds;
            self.tell(task, |group, task| RunEvent::TaskReleased { group, task, attempt, train_seconds });
        }
        self.tell_memory(task, attempt);
        self.tell(task, |group, task| RunEvent::TaskExited { group, task, attempt });
        let attempt = Attempt { number: attempt, load_seconds, trained, lost };
        match phase {
            Phase::Ending { failure: Some(mut failure), .. } => {
                failure.stderr_tail = stderr_tail;
                // A process that was kept and died before it had the task: that is not the task's failure. That it
                // refuses the task is.
                // A task of which every process dies is not given one for ever.
                let was_dying = before_first_word
                    && stage == Some(failure.stage)
                    && failure.kind != FailureKind::Oom
                    && attempt.number <= FREE_ATTEMPTS;
                if served > 0
                    && (failure.stage == Stage::Start || was_dying)
                    && !matches!(failure.kind, FailureKind::Cancelled | FailureKind::Error)
                {
                    self.try_again(now, task, attempt, failure, Duration::ZERO);
                } else {
                    self.attempt_failed(now, task, attempt, failure, host_oom);
                }
            }
            // It was not at work, and had to make way for somebody who could be.
            Phase::Ending { failure: None, .. } if self.stop.is_none() => {
                self.room_told = false;
                let message = if self.task(task).is_some_and(|task| task.moves) {
                    "another card was free, and its process is tied to the one that it trained on before"
                } else {
                    "its process had to make room for another task before it could train"
                };
                let failure = Failure::new(Stage::Wait, FailureKind::Cancelled, message);
                self.try_again(now, task, attempt, failure, Duration::ZERO);
            }
            _ => {}
        }
    }

    fn attempt_failed(
        &mut self,
        now: Time,
        key: TaskKey,
        attempt: Attempt,
        mut failure: Failure,
        host_oom: bool,
    ) {
        if let Some(device) = attempt.lost {
            failure.message.push_str(&format!("; {device} was lost"));
        }
        let (config, stopping) = (&self.config.scheduler, self.stop.is_some());
        let Some(task) = self.groups.get_mut(&key.group).and_then(|g| g.tasks.get_mut(key.place as usize))
        else {
            return;
        };
        let retries = task.plan.limits.retries.unwrap_or(0);
        let elsewhere = attempt.lost.is_some() && task.plan.pin.is_none();
        let verdict = if elsewhere && failure.kind != FailureKind::Cancelled {
            // It costs none of the task's retries, and happens once for each device at most.
            Verdict::Again { delay: Duration::ZERO }
        } else if host_oom {
            decide_host_oom(&mut task.spent, config)
        } else {
            decide(&mut task.spent, &failure, retries, config)
        };
        let delay = match verdict {
            Verdict::GiveUp => return self.fail_for_good(key, failure, Some(attempt)),
            // A resume decides anew; the attempt has cost nothing then.
            _ if stopping => return,
            Verdict::Again { delay } => delay,
            Verdict::MoreMemory => {
                self.grow_memory(key);
                Duration::ZERO
            }
            Verdict::LargerShare { alone } => {
                task.plan.needs.exclusive |= alone;
                self.grow_cuda_memory(key);
                Duration::ZERO
            }
        };
        self.try_again(now, key, attempt, failure, delay);
    }

    fn try_again(&mut self, now: Time, key: TaskKey, attempt: Attempt, error: Failure, delay: Duration) {
        if self.stop.is_some() {
            return;
        }
        self.tell(key, |group, task| RunEvent::TaskRetried {
            group,
            task,
            attempt: attempt.number,
            device: attempt.trained.map(|(device, _)| device),
            error,
            data_kept: false,
            delay_seconds: delay.as_secs_f64(),
        });
        if delay.is_zero() {
            self.make_ready(key);
        } else if let Some(task) = self.task_mut(key) {
            task.progress = TaskProgress::Delayed;
            self.timers.set(Due::Retry(key), now + delay);
        }
    }

    pub(super) fn fail_for_good(&mut self, key: TaskKey, error: Failure, attempt: Option<Attempt>) {
        let number = self.task(key).map_or(0, |task| task.attempts);
        let attempt = attempt.unwrap_or(Attempt { number, load_seconds: None, trained: None, lost: None });
        self.tell(key, |group, task| RunEvent::TaskFailed {
            group,
            task,
            attempt: attempt.number,
            device: attempt.trained.map(|(device, _)| device),
            load_seconds: attempt.load_seconds,
            train_seconds: attempt.trained.map(|(_, seconds)| seconds),
            error,
        });
        self.over(key);
    }
}
