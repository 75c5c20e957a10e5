//! The scheduler: a state machine that takes inputs and yields commands. It starts tasks, has them load while
//! others train, leases devices to those that have loaded, and decides what follows a failure.
//!
//! It owns no process and no device. Whoever drives it feeds [`Scheduler::handle`] and carries out what
//! [`Scheduler::poll_command`] yields until that is `None`, then waits until [`Scheduler::deadline`].
//!
//! One scheduler serves a whole run. Groups are [added](Scheduler::add_group) in their order and have their
//! [turn](Scheduler::begin_turn) one after the other: tasks of a group that was added before its turn start and
//! load, and wait. What stays between groups, such as [kept](crate::TaskSpec::keep) processes, is the scheduler's too.

mod command;
mod depth;
mod dispatch;
mod ending;
mod estimate;
mod group;
mod host;
mod invariants;
mod kept;
mod leasing;
mod phases;
mod plan;
mod postponed;
mod ready;
mod retry;
mod ties;
mod timers;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use command::{Command, LeaseAnswer};
use depth::LoadDepth;
use estimate::Learning;
use group::{GroupState, TaskProgress};
use host::HostBudget;
use kept::{KeptWorkers, LeavingWorker};
use leasing::LeaseRound;
pub use plan::{PlanTerms, PlannedOutcome, Stay, TaskPlan, start_order};
use ties::CardUses;
use timers::{Due, Timers};
use worker::{Phase, Severity, Worker};

use crate::leasing::lease::Lease;
use crate::model::config::Config;
use crate::model::failure::{Failure, FailureKind, Stage};
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::name::Name;
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::model::value::Dict;
use crate::ports::{HostSample, Input, StopLevel, WorkerEvent};

/// How long a process that was started for `train` has until its memory counts as measured.
const MEASURED_AFTER: Duration = Duration::from_secs(5);

/// Schedules the tasks of a run, group by group.
#[derive(Debug, Clone)]
pub struct Scheduler {
    config: Config,
    seed: u64,
    /// The largest share of a card that can be leased; none if memory does not count.
    largest_share: Option<Size>,
    /// How many devices there are.
    devices: u32,
    /// The groups that are not done, by index.
    groups: BTreeMap<u32, GroupState>,
    /// The index of the group whose tasks may train.
    turn: u32,
    workers: BTreeMap<WorkerId, Worker>,
    /// Processes without a task, kept for later ones.
    kept: KeptWorkers,
    /// Processes that were kept and are being ended.
    leaving: BTreeMap<WorkerId, LeavingWorker>,
    next_worker: u64,
    /// Workers that may load once the processors are free enough.
    available: VecDeque<WorkerId>,
    /// Workers that are up ahead of need: they may load once the host has room for what they will load.
    spare: VecDeque<WorkerId>,
    /// How many workers the host has made no room for yet.
    unadmitted: usize,
    /// How many workers load or train.
    busy: u32,
    /// How many workers train.
    training: u32,
    cards: CardUses,
    depth: LoadDepth,
    lease_round: LeaseRound,
    host: HostBudget,
    /// Whether the last sample of the host has told what a process that was let go has given back.
    room_told: bool,
    timers: Timers,
    learning: Learning,
    stop: Option<StopLevel>,
    commands: VecDeque<Command>,
}

impl Scheduler {
    /// Makes a scheduler that has no group yet.
    #[must_use]
    pub fn new(setup: SchedulerSetup) -> Self {
        let SchedulerSetup { config, seed, largest_share, devices, host } = setup;
        Self {
            host: HostBudget::new(config.utilization_limit, config.remain_limit, host),
            config,
            seed,
            largest_share,
            devices: devices.max(1),
            groups: BTreeMap::new(),
            turn: 0,
            workers: BTreeMap::new(),
            kept: KeptWorkers::default(),
            leaving: BTreeMap::new(),
            next_worker: 1,
            available: VecDeque::new(),
            spare: VecDeque::new(),
            unadmitted: 0,
            busy: 0,
            training: 0,
            cards: CardUses::default(),
            depth: LoadDepth::default(),
            lease_round: LeaseRound::default(),
            room_told: true,
            timers: Timers::default(),
            learning: Learning::default(),
            stop: None,
            commands: VecDeque::new(),
        }
    }

    /// Whether the run is being stopped.
    #[must_use]
    pub fn stopping(&self) -> Option<StopLevel> {
        self.stop
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
            Input::Timer => self.handle_timers(now),
            // The engine's own business. It knows which task a name means: see `cancel`.
            Input::Cancel { .. } | Input::Durable(_) | Input::RecordingFailed(_) => {}
        }
    }

    fn handle_worker(&mut self, now: Time, id: WorkerId, event: WorkerEvent) {
        let Some(worker) = self.workers.get(&id) else {
            // What comes from a worker that is gone belongs to an attempt that has ended.
            if matches!(event, WorkerEvent::Gone { .. }) {
                self.kept_gone(id);
            }
            return;
        };
        let (task, attempt) = (worker.task, worker.attempt);
        match (&worker.phase, event) {
            (_, WorkerEvent::Gone { kind, message, stderr_tail, killed_for_memory, before_first_word }) => {
                self.worker_gone(now, id, kind, message, stderr_tail, killed_for_memory, before_first_word);
                self.forget_if_left(task.group);
            }
            (_, WorkerEvent::Peak(peak)) => self.host_peak(task, peak),
            (Phase::Exiting { .. } | Phase::Ending { .. }, _) => {}
            (Phase::Starting, WorkerEvent::Ready) => self.ready_to_load(now, id),
            (Phase::Loading { since }, WorkerEvent::Loaded) => {
                let load_seconds = now.since(*since).as_secs_f64();
                self.loaded(now, id, load_seconds);
            }
            (Phase::Training { lease, since }, WorkerEvent::Trained(result)) => {
                let (lease, seconds) = (lease.clone(), now.since(*since).as_secs_f64());
                self.finished(now, id, &lease, seconds, result);
            }
            (Phase::Loading { .. }, WorkerEvent::Failed { kind, message }) => {
                self.end(now, id, Some(Failure::new(Stage::Load, kind, message)), Severity::Asked);
            }
            (Phase::Training { lease, since }, WorkerEvent::Failed { kind, message }) => {
                let (lease, seconds) = (lease.clone(), now.since(*since).as_secs_f64());
                self.train_failed(now, id, &lease, seconds, Failure::new(Stage::Train, kind, message));
            }
            (Phase::Loading { .. } | Phase::Training { .. }, WorkerEvent::Item { key, value }) => {
                self.tell(task, |group, task| RunEvent::TaskItem { group, task, attempt, key, value });
            }
            (Phase::Loading { .. } | Phase::Training { .. }, WorkerEvent::Progress { done, total }) => {
                self.tell(task, |group, task| RunEvent::TaskProgress { group, task, attempt, done, total });
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

    fn finished(&mut self, now: Time, id: WorkerId, lease: &Lease, train_seconds: f64, result: Dict) {
        let Some(worker) = self.workers.get(&id) else { return };
        let (task, attempt) = (worker.task, worker.attempt);
        let load_seconds = worker.load_seconds.unwrap_or_default();
        let stays = self.stays(worker, lease);
        self.end_train(id, lease, train_seconds);
        self.depth.trained(train_seconds);
        self.tell(task, |group, task| RunEvent::TaskFinished {
            group,
            task,
            attempt,
            device: lease.device(),
            load_seconds,
            train_seconds,
            result,
        });
        self.learn_memory(task);
        self.over(task);
        self.enter(now, id, Phase::Exiting { severity: Severity::Asked });
        if stays {
            self.keep(id, lease);
        } else {
            self.commands.push_back(Command::Exit(id));
            self.look_whom_it_served(task);
        }
    }

    fn handle_sample(&mut self, now: Time, sample: HostSample) {
        self.host.observe(sample);
        self.room_told = true;
        self.look_at_trials();
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

    fn handle_timers(&mut self, now: Time) {
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Worker(id) => {
                    if !self.leaving_timed_out(now, id) {
                        self.worker_timed_out(now, id);
                    }
                }
                Due::Move(id) => self.move_due(id),
                Due::Retry(task) => self.retry_due(task),
                Due::Grace => self.handle_stop(now, StopLevel::AtOnce),
            }
        }
    }

    fn tell(&mut self, task: TaskKey, event: impl FnOnce(Name, Name) -> RunEvent) {
        if let Some((group, task)) = self.names(task) {
            self.commands.push_back(Command::Tell(event(group, task)));
        }
    }
}

/// What a scheduler is made with.
#[derive(Debug, Clone)]
pub struct SchedulerSetup {
    /// The configuration.
    pub config: Config,
    /// The run's seed.
    pub seed: u64,
    /// The largest share of a card that can be leased; none if memory does not count.
    pub largest_share: Option<Size>,
    /// How many devices there are.
    pub devices: u32,
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
        WorkerEvent::Peak(_) => "peak",
        WorkerEvent::Gone { .. } => "gone",
    }
}
