//! The scheduler: a state machine that takes inputs and yields commands. It starts tasks, has them load while
//! others train, leases devices to those that have loaded, and decides what follows a failure.
//!
//! It owns no process and no device. Whoever drives it feeds [`Scheduler::handle`] and carries out what
//! [`Scheduler::poll_command`] yields until that is `None`, then waits until [`Scheduler::deadline`].

mod command;
mod dispatch;
mod ending;
mod host;
mod invariants;
mod plan;
mod ready;
mod retry;
mod timers;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use command::{Command, LeaseAnswer};
use dispatch::LeaseRound;
use host::HostBudget;
pub use plan::{PlanTerms, PlannedOutcome, TaskPlan, start_order};
use ready::ReadyQueues;
use retry::Spent;
use timers::{Due, Timers};
use worker::{Phase, Severity, Worker};

use crate::config::Config;
use crate::event::RunEvent;
use crate::failure::{Failure, FailureKind, Stage};
use crate::name::Name;
use crate::ports::{HostSample, Input, StopLevel, TaskKey, WorkerEvent, WorkerId};
use crate::quantity::Size;
use crate::time::Time;

/// How long a process that was started for `train` has until its memory counts as measured.
const MEASURED_AFTER: Duration = Duration::from_secs(5);

/// Schedules the tasks of one group.
#[derive(Debug, Clone)]
pub struct Scheduler {
    group: Name,
    index: u32,
    config: Config,
    /// The largest share of a card that can be leased; none if memory does not count.
    largest_share: Option<Size>,
    tasks: Vec<TaskState>,
    /// How many tasks have no outcome yet.
    open: usize,
    workers: BTreeMap<WorkerId, Worker>,
    next_worker: u64,
    ready: ReadyQueues,
    /// Workers that have loaded, the one that has waited longest first.
    waiting: VecDeque<WorkerId>,
    /// Workers that may load once the processors are free enough.
    available: VecDeque<WorkerId>,
    /// How many workers are starting, loading or waiting.
    ahead: u32,
    /// How many workers load or train.
    busy: u32,
    lease_round: LeaseRound,
    host: HostBudget,
    timers: Timers,
    stop: Option<StopLevel>,
    commands: VecDeque<Command>,
}

/// What the scheduler keeps of a task.
#[derive(Debug, Clone)]
struct TaskState {
    plan: TaskPlan,
    progress: TaskProgress,
    attempts: u32,
    spent: Spent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskProgress {
    /// In a ready queue.
    Ready,
    /// A worker is at it.
    Running(WorkerId),
    /// It waits until its next attempt may start.
    Delayed,
    /// It has its outcome.
    Over,
}

impl Scheduler {
    /// Makes a scheduler for the tasks of a group.
    ///
    /// `first_worker` is the number of the first worker that it starts; numbers are never used twice in a run.
    #[must_use]
    pub fn new(setup: SchedulerSetup, plans: Vec<TaskPlan>) -> Self {
        let order = start_order(&plans, setup.config.scheduler.order, setup.seed ^ u64::from(setup.index));
        let host = HostBudget::new(setup.config.utilization_limit, setup.config.remain_limit, setup.host);
        let mut scheduler = Self {
            group: setup.group,
            index: setup.index,
            largest_share: setup.largest_share,
            tasks: Vec::with_capacity(plans.len()),
            open: plans.len(),
            workers: BTreeMap::new(),
            next_worker: setup.first_worker,
            ready: ReadyQueues::default(),
            waiting: VecDeque::new(),
            available: VecDeque::new(),
            ahead: 0,
            busy: 0,
            lease_round: LeaseRound::default(),
            host,
            timers: Timers::default(),
            stop: None,
            commands: VecDeque::new(),
            config: setup.config,
        };
        for mut plan in plans {
            let outcome = plan.outcome.take();
            let attempts = plan.attempts_before;
            scheduler.tasks.push(TaskState {
                plan,
                progress: TaskProgress::Ready,
                attempts,
                spent: Spent::default(),
            });
            let place = scheduler.tasks.len() - 1;
            match outcome {
                None => {}
                Some(PlannedOutcome::Recorded) => scheduler.over(place),
                Some(PlannedOutcome::Broken(failure)) => {
                    scheduler.tasks[place].attempts += 1;
                    scheduler.fail_for_good(place, *failure, None);
                }
            }
        }
        for (rank, place) in (0_u32..).zip(order) {
            let task = &scheduler.tasks[place as usize];
            if task.progress == TaskProgress::Ready {
                scheduler.ready.push(task.plan.pin.as_ref(), rank, place);
            }
        }
        scheduler
    }

    /// Whether there is nothing left to do: every task has its outcome, or the run is being stopped, and every
    /// worker is gone.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.workers.is_empty() && self.commands.is_empty() && (self.open == 0 || self.stop.is_some())
    }

    /// How many tasks have no outcome yet.
    #[must_use]
    pub fn open_tasks(&self) -> usize {
        self.open
    }

    /// Whether the run is being stopped.
    #[must_use]
    pub fn stopping(&self) -> Option<StopLevel> {
        self.stop
    }

    /// The number that the next worker would get.
    #[must_use]
    pub fn next_worker(&self) -> u64 {
        self.next_worker
    }

    /// The last sample of the host.
    #[must_use]
    pub fn host_sample(&self) -> Option<HostSample> {
        self.host.sample()
    }

    /// When [`Input::Timer`] is due at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Takes an input. Afterwards, poll commands until there is none.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Worker { worker, event } => self.handle_worker(now, worker, event),
            Input::DevicesChanged => self.lease_round.request(),
            Input::Host(sample) => self.handle_sample(now, sample),
            Input::Stop(level) => self.handle_stop(now, level),
            Input::Cancel { group, task } if group == self.group => self.handle_cancel(now, &task),
            Input::Timer => self.handle_timers(now),
            // The engine's own business, or another group's.
            Input::Cancel { .. } | Input::Durable(_) | Input::RecordingFailed(_) => {}
        }
    }

    fn handle_worker(&mut self, now: Time, id: WorkerId, event: WorkerEvent) {
        // What comes from a worker that is gone belongs to an attempt that has ended.
        let Some(worker) = self.workers.get(&id) else { return };
        let (place, attempt) = (worker.place as usize, worker.attempt);
        match (&worker.phase, event) {
            (_, WorkerEvent::Gone { kind, message, stderr_tail }) => {
                self.worker_gone(now, id, kind, message, stderr_tail);
            }
            (Phase::Exiting { .. } | Phase::Ending { .. }, _) => {}
            (Phase::Starting, WorkerEvent::Ready) => {
                self.enter(now, id, Phase::Available);
                self.available.push_back(id);
            }
            (Phase::Loading { since }, WorkerEvent::Loaded) => {
                let load_seconds = now.since(*since).as_secs_f64();
                self.loaded(now, id, load_seconds);
            }
            (Phase::Training { lease, since }, WorkerEvent::Trained(result)) => {
                let (lease, seconds) = (lease.clone(), now.since(*since).as_secs_f64());
                let load_seconds = worker.load_seconds.unwrap_or_default();
                self.end_train(id, &lease, seconds);
                self.tell(|group, tasks| RunEvent::TaskFinished {
                    group,
                    task: tasks[place].plan.task_id.clone(),
                    attempt,
                    device: lease.device(),
                    load_seconds,
                    train_seconds: seconds,
                    result,
                });
                self.over(place);
                self.enter(now, id, Phase::Exiting { severity: Severity::Asked });
                self.commands.push_back(Command::Exit(id));
            }
            (Phase::Loading { .. }, WorkerEvent::Failed { kind, message }) => {
                self.end(now, id, Some(Failure::new(Stage::Load, kind, message)), Severity::Asked);
            }
            (Phase::Training { lease, since }, WorkerEvent::Failed { kind, message }) => {
                let (lease, seconds) = (lease.clone(), now.since(*since).as_secs_f64());
                self.train_failed(now, id, &lease, seconds, Failure::new(Stage::Train, kind, message));
            }
            (Phase::Loading { .. } | Phase::Training { .. }, WorkerEvent::Item { key, value }) => {
                self.tell(|group, tasks| RunEvent::TaskItem {
                    group,
                    task: tasks[place].plan.task_id.clone(),
                    attempt,
                    key,
                    value,
                });
            }
            (Phase::Loading { .. } | Phase::Training { .. }, WorkerEvent::Progress { done, total }) => {
                self.tell(|group, tasks| RunEvent::TaskProgress {
                    group,
                    task: tasks[place].plan.task_id.clone(),
                    attempt,
                    done,
                    total,
                });
            }
            // It cannot work, and says so before it was asked anything; its process lives.
            (phase, WorkerEvent::Failed { kind, message }) => {
                let stage = phase.stage().unwrap_or(Stage::Start);
                self.end(now, id, Some(Failure::new(stage, kind, message)), Severity::Asked);
            }
            (phase, event) => {
                let stage = phase.stage().unwrap_or(Stage::Start);
                let message = format!("the worker said {:?} out of order", event_name(&event));
                let failure = Failure::new(stage, FailureKind::Protocol, message);
                self.end(now, id, Some(failure), Severity::Terminated);
            }
        }
    }

    fn handle_sample(&mut self, now: Time, sample: HostSample) {
        self.host.observe(sample);
        let seen = |worker: &Worker| match worker.phase {
            Phase::Training { since, .. } => now.since(since) >= MEASURED_AFTER,
            _ => false,
        };
        let seen: Vec<WorkerId> =
            self.workers.iter().filter(|(_, worker)| seen(worker)).map(|(id, _)| *id).collect();
        for id in seen {
            self.unreserve(id);
        }
    }

    fn loaded(&mut self, now: Time, id: WorkerId, load_seconds: f64) {
        self.enter(now, id, Phase::Waiting);
        // A command that loads nothing has no process yet: what it will need cannot have been measured.
        let measured =
            self.workers.get(&id).is_none_or(|worker| self.tasks[worker.place as usize].plan.loads);
        if measured {
            self.unreserve(id);
        }
        self.waiting.push_back(id);
        self.lease_round.request();
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.load_seconds = Some(load_seconds);
        let (place, attempt) = (worker.place as usize, worker.attempt);
        self.tell(|group, tasks| RunEvent::TaskLoaded {
            group,
            task: tasks[place].plan.task_id.clone(),
            attempt,
            load_seconds,
        });
    }

    /// The turn on the devices is over: the next one may have them while the result is still being stored.
    fn end_train(&mut self, id: WorkerId, lease: &crate::lease::Lease, train_seconds: f64) {
        self.commands.push_back(Command::EndTrain(lease.id));
        self.lease_round.request();
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.resident = Some(lease.id);
        worker.trained = Some((lease.device(), train_seconds));
        let (place, attempt) = (worker.place as usize, worker.attempt);
        self.tell(|group, tasks| RunEvent::TaskReleased {
            group,
            task: tasks[place].plan.task_id.clone(),
            attempt,
            train_seconds,
        });
    }

    fn handle_timers(&mut self, now: Time) {
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Worker(id) => self.worker_timed_out(now, id),
                Due::Retry(place) => {
                    let task = &mut self.tasks[place as usize];
                    if task.progress == TaskProgress::Delayed {
                        task.progress = TaskProgress::Ready;
                        self.ready.push_front(task.plan.pin.as_ref(), place);
                    }
                }
                Due::Grace => self.handle_stop(now, StopLevel::AtOnce),
            }
        }
    }

    /// Moves a worker to another phase and keeps the counters and its deadline true.
    fn enter(&mut self, now: Time, id: WorkerId, phase: Phase) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let is_busy = |phase: &Phase| matches!(phase, Phase::Loading { .. } | Phase::Training { .. });
        self.busy = self.busy + u32::from(is_busy(&phase)) - u32::from(is_busy(&worker.phase));
        let stays_ahead =
            matches!(phase, Phase::Starting | Phase::Available | Phase::Loading { .. } | Phase::Waiting);
        worker.phase = phase;
        let place = worker.place as usize;
        if worker.ahead != stays_ahead {
            worker.ahead = stays_ahead;
            let pin = self.tasks[place].plan.pin.as_ref();
            if stays_ahead {
                self.ahead += 1;
                self.ready.went_ahead(pin);
            } else {
                self.ahead -= 1;
                self.ready.came_back(pin);
            }
        }
        self.set_deadline(now, id);
    }

    fn set_deadline(&mut self, now: Time, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let limits = &self.tasks[worker.place as usize].plan.limits;
        let grace = self.config.supervision.grace;
        let phase_limit = match &worker.phase {
            Phase::Starting => limits.start_timeout,
            Phase::Loading { .. } => limits.load_timeout,
            Phase::Training { .. } => limits.train_timeout,
            Phase::Available | Phase::Waiting => None,
            Phase::Exiting { severity } | Phase::Ending { severity, .. } => match severity {
                Severity::Asked => limits.exit_timeout,
                Severity::Terminated => Some(grace),
                Severity::Killed => None,
            },
        };
        let whole = if worker.phase.stage().is_some() { limits.timeout } else { None };
        let deadlines = [phase_limit.map(|limit| now + limit), whole.map(|limit| worker.started + limit)];
        match deadlines.into_iter().flatten().min() {
            Some(deadline) => self.timers.set(Due::Worker(id), deadline),
            None => self.timers.clear(Due::Worker(id)),
        }
    }

    fn unreserve(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            self.host.unreserve(std::mem::take(&mut worker.reserved));
        }
    }

    fn over(&mut self, place: usize) {
        self.tasks[place].progress = TaskProgress::Over;
        self.open -= 1;
    }

    fn tell(&mut self, event: impl FnOnce(Name, &[TaskState]) -> RunEvent) {
        let event = event(self.group.clone(), &self.tasks);
        self.commands.push_back(Command::Tell(event));
    }

    fn key(&self, place: u32) -> TaskKey {
        TaskKey { group: self.index, place }
    }
}

/// What a scheduler is made with, beside its tasks.
#[derive(Debug, Clone)]
pub struct SchedulerSetup {
    /// The group's name.
    pub group: Name,
    /// Its place in the order of execution.
    pub index: u32,
    /// The configuration.
    pub config: Config,
    /// The run's seed.
    pub seed: u64,
    /// The largest share of a card that can be leased; none if memory does not count.
    pub largest_share: Option<Size>,
    /// The number of the first worker that it starts.
    pub first_worker: u64,
    /// The last sample of the host, if there is one.
    pub host: Option<HostSample>,
}

fn event_name(event: &WorkerEvent) -> &'static str {
    match event {
        WorkerEvent::Ready => "ready",
        WorkerEvent::Loaded => "loaded",
        WorkerEvent::Item { .. } => "item",
        WorkerEvent::Progress { .. } => "progress",
        WorkerEvent::Trained(_) => "result",
        WorkerEvent::Failed { .. } => "error",
        WorkerEvent::Gone { .. } => "gone",
    }
}
