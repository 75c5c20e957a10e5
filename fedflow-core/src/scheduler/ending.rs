//! How attempts end: failures, time limits, cancelling, stopping, and what follows when the process is gone.

use super::retry::{Verdict, decide, decide_host_oom, grown};
use super::timers::Due;
use super::worker::{Phase, Severity, Worker};
use super::{Command, Scheduler, TaskProgress};
use crate::device::Device;
use crate::event::RunEvent;
use crate::failure::{Failure, FailureKind};
use crate::lease::Lease;
use crate::name::Name;
use crate::ports::{StopLevel, WorkerId};
use crate::time::Time;

/// What is known of the attempt that failed.
pub(super) struct Attempt {
    number: u32,
    load_seconds: Option<f64>,
    trained: Option<(Device, f64)>,
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
        let place = worker.place;
        self.enter(now, id, Phase::Ending { failure, severity });
        self.unreserve(id);
        if was_waiting {
            self.leave_queue(id, place);
        }
        self.commands.push_back(match severity {
            Severity::Asked => Command::Exit(id),
            Severity::Terminated => Command::Terminate(id),
            Severity::Killed => Command::Kill(id),
        });
    }

    fn leave_queue(&mut self, id: WorkerId, place: u32) {
        self.waiting.retain(|waiting| *waiting != id);
        self.commands.push_back(Command::Withdraw(self.key(place)));
        self.lease_round.request();
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
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let (place, attempt) = (worker.place as usize, worker.attempt);
        let task = &mut self.tasks[place];
        let first_oom = failure.kind == FailureKind::Oom
            && task.spent.train_oom == 0
            && self.config.scheduler.train_nretry > 1
            && lease.shares.len() == 1;
        if !first_oom || self.stop.is_some() {
            self.end(now, id, Some(failure), Severity::Asked);
            return;
        }
        let resident = worker.resident.take();
        worker.stays_on = (lease.device() != Device::Cpu).then(|| lease.device());
        task.spent.train_oom += 1;
        task.plan.needs.cuda_memory = Some(grown(task.plan.cuda_memory(&self.config), self.largest_share));
        self.tell(|group, tasks| RunEvent::TaskRetried {
            group,
            task: tasks[place].plan.task_id.clone(),
            attempt,
            device: Some(lease.device()),
            error: failure,
            data_kept: true,
            delay_seconds: 0.0,
        });
        // The larger share takes the place of the smaller one: both would not fit.
        self.commands.extend(resident.map(Command::Release));
        self.enter(now, id, Phase::Waiting);
        self.waiting.push_back(id);
    }

    pub(super) fn worker_timed_out(&mut self, now: Time, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let limits = &self.tasks[worker.place as usize].plan.limits;
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
        let Some(stage) = worker.phase.stage() else { return };
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

    pub(super) fn handle_cancel(&mut self, now: Time, task_id: &Name) {
        let Some(place) = self.tasks.iter().position(|task| task.plan.task_id == *task_id) else { return };
        let cancelled = |stage| Failure::new(stage, FailureKind::Cancelled, "it was cancelled");
        match self.tasks[place].progress {
            TaskProgress::Over => {}
            TaskProgress::Running(id) => {
                let Some(worker) = self.workers.get_mut(&id) else { return };
                // It has failed and is being ended: it is not tried again.
                if let Phase::Ending { failure: Some(failure), .. } = &mut worker.phase {
                    *failure = cancelled(failure.stage);
                } else if let Some(stage) = worker.phase.stage() {
                    self.end(now, id, Some(cancelled(stage)), Severity::Terminated);
                }
            }
            TaskProgress::Ready | TaskProgress::Delayed => {
                if let Ok(place) = u32::try_from(place) {
                    self.timers.clear(Due::Retry(place));
                }
                self.tasks[place].attempts = self.tasks[place].attempts.max(1);
                self.fail_for_good(place, cancelled(crate::failure::Stage::Start), None);
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
        if level == StopLevel::Graceful {
            self.timers.set(Due::Grace, now + self.config.supervision.grace);
        } else {
            self.timers.clear(Due::Grace);
        }
    }

    /// Every process of a worker is gone: the attempt is over.
    pub(super) fn worker_gone(
        &mut self,
        now: Time,
        id: WorkerId,
        kind: FailureKind,
        message: String,
        stderr_tail: String,
    ) {
        // Leave the phase in order, so that the counters and queues follow, before the worker is forgotten.
        let Some(worker) = self.workers.get(&id) else { return };
        let stage = worker.phase.stage();
        // A process does not die of a full card: it is the host's memory that was short, whatever the stage.
        let host_oom = stage.is_some() && kind == FailureKind::Oom;
        if let Some(stage) = stage {
            self.end(now, id, Some(Failure::new(stage, kind, message)), Severity::Killed);
            // It is gone already: nothing needs to be ended.
            self.commands.retain(|command| *command != Command::Kill(id));
        }
        self.timers.clear(Due::Worker(id));
        let Some(worker) = self.workers.remove(&id) else { return };
        if let Some(lease) = worker.resident {
            self.commands.push_back(Command::Release(lease));
            self.lease_round.request();
        }
        let Worker { place, attempt, load_seconds, mut trained, phase, .. } = worker;
        let place = place as usize;
        if let (Some(since), Some((_, seconds))) = (worker.holds_since, &mut trained) {
            let train_seconds = now.since(since).as_secs_f64();
            *seconds = train_seconds;
            self.tell(|group, tasks| RunEvent::TaskReleased {
                group,
                task: tasks[place].plan.task_id.clone(),
                attempt,
                train_seconds,
            });
        }
        self.tell(|group, tasks| RunEvent::TaskExited {
            group,
            task: tasks[place].plan.task_id.clone(),
            attempt,
        });
        if let Phase::Ending { failure: Some(mut failure), .. } = phase {
            failure.stderr_tail = stderr_tail;
            let attempt = Attempt { number: attempt, load_seconds, trained };
            self.attempt_failed(now, place, attempt, failure, host_oom);
        }
    }

    fn attempt_failed(
        &mut self,
        now: Time,
        place: usize,
        attempt: Attempt,
        failure: Failure,
        host_oom: bool,
    ) {
        let task = &mut self.tasks[place];
        let retries = task.plan.limits.retries.unwrap_or(0);
        let verdict = if host_oom {
            decide_host_oom(&mut task.spent, &self.config.scheduler)
        } else {
            decide(&mut task.spent, &failure, retries, &self.config.scheduler)
        };
        let mut delay = std::time::Duration::ZERO;
        match verdict {
            Verdict::GiveUp => return self.fail_for_good(place, failure, Some(attempt)),
            // A resume decides anew; the attempt has cost nothing then.
            _ if self.stop.is_some() => return,
            Verdict::Again { delay: wait } => delay = wait,
            Verdict::MoreMemory => {
                task.plan.needs.memory = Some(grown(task.plan.memory(&self.config), None));
            }
            Verdict::LargerShare { alone } => {
                let needs = &mut task.plan.needs;
                let estimate = needs.cuda_memory.unwrap_or(self.config.scheduler.default_cuda_memory);
                needs.cuda_memory = Some(grown(estimate, self.largest_share));
                needs.exclusive |= alone;
            }
        }
        self.tell(|group, tasks| RunEvent::TaskRetried {
            group,
            task: tasks[place].plan.task_id.clone(),
            attempt: attempt.number,
            device: attempt.trained.map(|(device, _)| device),
            error: failure,
            data_kept: false,
            delay_seconds: delay.as_secs_f64(),
        });
        let task = &mut self.tasks[place];
        let Ok(place) = u32::try_from(place) else { return };
        if delay.is_zero() {
            task.progress = TaskProgress::Ready;
            self.ready.push_front(task.plan.pin.as_ref(), place);
        } else {
            task.progress = TaskProgress::Delayed;
            self.timers.set(Due::Retry(place), now + delay);
        }
    }

    pub(super) fn fail_for_good(&mut self, place: usize, error: Failure, attempt: Option<Attempt>) {
        let number = self.tasks[place].attempts;
        let attempt = attempt.unwrap_or(Attempt { number, load_seconds: None, trained: None });
        self.tell(|group, tasks| RunEvent::TaskFailed {
            group,
            task: tasks[place].plan.task_id.clone(),
            attempt: attempt.number,
            device: attempt.trained.map(|(device, _)| device),
            load_seconds: attempt.load_seconds,
            train_seconds: attempt.trained.map(|(_, seconds)| seconds),
            error,
        });
        self.over(place);
    }
}
