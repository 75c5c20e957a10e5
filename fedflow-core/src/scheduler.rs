//! The scheduler: a state machine that is told what happens and yields what to do. It starts tasks, has them load while
//! others train, leases devices to those that have loaded, and decides what follows a failure. It owns no process, device
//! or clock.
//!
//! # Calling order
//!
//! One scheduler serves a whole run. Its driver repeats three steps:
//!
//! 1. [`Scheduler::handle`] takes everything that has happened, any number of times.
//! 2. [`Scheduler::poll`] yields everything that is to be done, until it is `None`. Each [`SchedulerOutput`] is carried
//!    out before the next one is polled; an [`Ask`](SchedulerOutput::Ask) is carried out by handing its [`Answer`] to
//!    [`Scheduler::handle`].
//! 3. The driver waits for something to happen, until [`Scheduler::deadline`] at the latest: then that is
//!    [`SchedulerInput::Timer`].
//!
//! Groups are added in their order, and activated one after the other once the one before is
//! [done](SchedulerOutput::GroupDone). Tasks of a group that was added but is not active start and load, and wait. At the
//! end comes [`SchedulerInput::Finish`], and [`SchedulerOutput::Idle`] follows when no process is left.
//!
//! # Where it is decided
//!
//! This file says what follows an input. The files in `control_flow`, which hold no state, go on from there; that room says
//! which does what. They move the `parts`, which own their state and know nothing of them:
//!
//! - `tasks/groups`: which tasks are ready and in which order, in a queue for each `tasks/demand`, and which wait for
//!   another's data; `tasks/memory`: estimates, and what is learned; `tasks/retry`: every decision after a failure;
//! - `processes/workers`: the phases, with the table of what counts in which; `processes/kept_processes`: processes without
//!   a task; `processes/ladder`: how hard a process is ended, and how patiently; `processes/affinity`: whether a task waits
//!   for the card that its process is tied to;
//! - `admission`: whether the host has room, and how many tasks load ahead of the devices;
//! - `devices`: which of them a task fits, how well each is supplied, and in which order workers ask for one;
//! - `timers`: when something is due; `interface/outbox`: what is to be polled.

mod admission;
mod control_flow;
mod devices;
mod interface;
mod invariants;
mod parts;
mod processes;
mod standstill;
mod tasks;
mod timers;

use admission::Admission;
use control_flow::attempt::{self, Death};
use control_flow::{aftermath, device_requests, dispatch, measured, waiting};
use devices::device_set::Devices;
use devices::lease_pass::LeasePass;
pub use interface::input::{Answer, SchedulerInput, SchedulerSetup};
use interface::outbox::{Asked, Outbox};
pub use interface::output::{Question, SchedulerOutput};
use parts::Parts;
use processes::kept_processes::KeptProcesses;
use processes::ladder::Ladder;
use processes::workers::{Moving, Phase, Workers};
use standstill::Standstill;
use tasks::demand::Fitting;
use tasks::groups::Groups;
use tasks::memory::TaskMemory;
#[cfg(test)]
pub(crate) use tasks::start_order::Part;
pub(crate) use tasks::start_order::start_order;
pub use tasks::task::ScheduledTask;
use timers::{Due, Timers};

use crate::learning::estimates::Estimates;
use crate::model::config::StartOrder;
use crate::model::device::Device;
use crate::model::identity::WorkerId;
use crate::model::name::Name;
use crate::model::outcome::failure::{Failure, FailureKind, Stage};
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::ports::{Severity, StopLevel, WorkerEvent};

/// Schedules the tasks of a run, group by group.
#[derive(Debug, Clone)]
pub struct Scheduler {
    parts: Parts,
    seed: u64,
    /// The question that is to be answered next.
    asked: Option<Asked>,
    /// Whether it is to be told that the active group is done.
    tells_done: bool,
    /// Whether it is to be told that no process is left.
    tells_idle: bool,
}

impl Scheduler {
    /// Makes a scheduler that has no group yet.
    #[must_use]
    pub fn new(setup: SchedulerSetup) -> Self {
        let SchedulerSetup { config, seed, largest_share, devices, host } = setup;
        let parts = Parts {
            devices: Devices::new(devices),
            groups: Groups::default(),
            workers: Workers::default(),
            kept: KeptProcesses::default(),
            admission: Admission::new(&config, host),
            memory: TaskMemory::new(&config.scheduler, largest_share),
            lease_pass: LeasePass::default(),
            ladder: Ladder::new(config.supervision.grace),
            timers: Timers::default(),
            standstill: Standstill::default(),
            outbox: Outbox::default(),
            stop: None,
            config,
        };
        Self { parts, seed, asked: None, tells_done: false, tells_idle: false }
    }

    /// Takes an input. What follows from it is polled.
    pub fn handle(&mut self, now: Time, input: SchedulerInput) {
        match input {
            SchedulerInput::Estimates(estimates) => self.parts.memory.begin_with(estimates),
            SchedulerInput::GroupAdded { index, name, tasks, order } => {
                self.add_group(index, name, tasks, order);
            }
            SchedulerInput::GroupActivated(index) => self.activate_group(index),
            SchedulerInput::GroupRemoved(index) => self.parts.remove_group(index),
            SchedulerInput::Worker { worker, event } => self.heard(now, worker, event),
            SchedulerInput::Answer(answer) => self.answered(now, answer),
            SchedulerInput::DevicesChanged => self.parts.lease_pass.request(),
            SchedulerInput::Host(sample) => measured::host_sampled(&mut self.parts, now, sample),
            SchedulerInput::Cancel(task) => aftermath::cancel(&mut self.parts, now, task),
            SchedulerInput::Broken { task, message } => {
                aftermath::break_task(&mut self.parts, now, task, &message);
            }
            SchedulerInput::Skip { task, reason } => {
                aftermath::skip_task(&mut self.parts, now, task, &reason);
            }
            SchedulerInput::Stop(level) => self.stop(now, level),
            SchedulerInput::Finish => self.finish(now),
            SchedulerInput::Timer => self.timers_due(now),
        }
    }

    /// The next thing to do, if there is one now.
    #[must_use]
    pub fn poll(&mut self, now: Time) -> Option<SchedulerOutput> {
        loop {
            if let Some(output) = self.parts.outbox.next(&mut self.asked) {
                return Some(output);
            }
            self.parts.outbox.take_growth();
            let is_running = self.parts.stop.is_none();
            // What stands in the way of the next start may have been asked to go.
            if is_running && dispatch::go_on(&mut self.parts, now) || self.parts.outbox.take_growth() {
                continue;
            }
            let last = self.parts.outbox.next_exit().or_else(|| self.conclusion());
            if last.is_some() || !waiting::review(&mut self.parts, now) {
                return last;
            }
        }
    }

    /// When [`SchedulerInput::Timer`] is due at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.parts.timers.next()
    }

    /// What is known of tasks' memory: as it was given, and with what was learned since.
    #[must_use]
    pub fn estimates(&self) -> &Estimates {
        self.parts.memory.estimates()
    }

    /// Checks the scheduler's own rules; for tests, after each step.
    ///
    /// # Errors
    /// Says which rule is broken.
    pub fn sanity_check(&self) -> Result<(), String> {
        invariants::check(&self.parts)
    }
}

// The groups.
impl Scheduler {
    fn add_group(&mut self, index: u32, name: Name, tasks: Vec<ScheduledTask>, order: Option<StartOrder>) {
        let seed = self.seed ^ u64::from(index);
        let Parts { groups, kept, devices, memory, config, .. } = &mut self.parts;
        let fitting = Fitting { devices, memory };
        let part = |task: &ScheduledTask| fitting.part(task, config.scheduler.max_per_device);
        let order = start_order(&tasks, order.unwrap_or(config.scheduler.order), seed, part);
        let not_run =
            groups.add(index, name, tasks, &order, fitting, |policy| kept.card_with_data_for(policy));
        not_run.into_iter().for_each(|(key, reason)| aftermath::not_run(&mut self.parts, key, &reason));
    }

    fn activate_group(&mut self, index: u32) {
        self.parts.groups.activate(index);
        self.tells_done = true;
        // No other task is before its own any more.
        for policy in self.parts.groups.postponed_policies(index) {
            let card = self.parts.kept.card_with_data_for(&policy);
            self.parts.resume_postponed_of(index, &policy, 0, card);
        }
        self.parts.lease_pass.request();
    }

    /// What is told once nothing is left to do.
    fn conclusion(&mut self) -> Option<SchedulerOutput> {
        let index = self.parts.groups.active();
        if self.tells_done && self.parts.is_done(index) {
            self.tells_done = false;
            return Some(SchedulerOutput::GroupDone { index, open: self.parts.groups.open(index) });
        }
        if self.tells_idle && self.parts.is_idle() {
            self.tells_idle = false;
            return Some(SchedulerOutput::Idle);
        }
        None
    }
}

// What the world says.
impl Scheduler {
    /// A worker says something. If it fails while it trains, it is asked first whether a device was lost: then the task has
    /// not failed by itself.
    fn heard(&mut self, now: Time, id: WorkerId, event: WorkerEvent) {
        if matches!(event, WorkerEvent::Failed { .. } | WorkerEvent::Gone { .. })
            && let Some(Phase::Training(lease)) = self.parts.workers.get(id).map(|worker| &worker.phase)
        {
            let devices = lease.shares.iter().map(|share| share.info.device).collect();
            return self.parts.outbox.ask(Asked::Lost { worker: id, devices, event });
        }
        self.follow(now, id, event, None);
    }

    /// What follows from what a worker says. `lost` is the device that was lost while it trained there.
    fn follow(&mut self, now: Time, id: WorkerId, event: WorkerEvent, lost: Option<Device>) {
        let event = match event {
            WorkerEvent::Gone { kind, message, last_lines, killed_for_memory, before_first_word } => {
                let death = Death { kind, message, last_lines, killed_for_memory, before_first_word };
                return self.gone(now, id, death, lost);
            }
            event => event,
        };
        let parts = &mut self.parts;
        // What comes from a worker that is gone belongs to an attempt that is over.
        let Some(worker) = parts.workers.get(id) else { return };
        let (task, attempt) = (worker.task, worker.attempt);
        match (&worker.phase, event) {
            (_, WorkerEvent::Peak(peak)) => {
                if let Some(task) = parts.groups.task_mut(task) {
                    TaskMemory::host_peak(task, peak);
                }
                if let Some(worker) = parts.workers.get_mut(id) {
                    worker.process.memory = worker.process.memory.max(peak);
                }
            }
            (_, WorkerEvent::LeftRunning(left)) => {
                parts.tell(task, |group, task| RunEvent::TaskLeftRunning { group, task, attempt, left });
            }
            (Phase::Exiting | Phase::Ending(_), _) => {}
            (Phase::Starting, WorkerEvent::Ready) => attempt::ready(parts, now, id),
            (Phase::Loading, WorkerEvent::Loaded) => {
                let load_time = now.since(worker.entered);
                attempt::loaded(parts, now, id, load_time);
            }
            (Phase::Training(lease), WorkerEvent::Trained(result)) => {
                let lease = lease.clone();
                attempt::finished(parts, now, id, &lease, result);
            }
            (Phase::Training(_), WorkerEvent::Failed { kind, message }) => {
                attempt::train_failed(parts, now, id, Failure::new(Stage::Train, kind, message), lost);
            }
            (Phase::Loading | Phase::Training(_), WorkerEvent::Item { key, value }) => {
                parts.tell(task, |group, task| RunEvent::TaskItem { group, task, attempt, key, value });
            }
            (Phase::Loading | Phase::Training(_), WorkerEvent::Progress { done, total }) => {
                parts.tell(task, |group, task| RunEvent::TaskProgress { group, task, attempt, done, total });
            }
            // It cannot work, perhaps before it was asked anything; its process lives.
            (phase, WorkerEvent::Failed { kind, message }) => {
                let stage = phase.stage().unwrap_or(Stage::Start);
                attempt::end(parts, now, id, Some(Failure::new(stage, kind, message)), Severity::Asked);
            }
            (phase, event) => {
                let stage = phase.stage().unwrap_or(Stage::Start);
                let message = format!("the worker said {:?} out of order", event.name());
                let failure = Failure::new(stage, FailureKind::Protocol, message);
                attempt::end(parts, now, id, Some(failure), Severity::Terminated);
            }
        }
    }

    fn gone(&mut self, now: Time, id: WorkerId, death: Death, lost: Option<Device>) {
        let group = self.parts.workers.get(id).map(|worker| worker.task.group);
        if let Some(over) = attempt::gone(&mut self.parts, now, id, death, lost) {
            aftermath::attempt_over(&mut self.parts, now, over);
        }
        if let Some(group) = group {
            self.parts.forget_if_removed(group);
        }
    }

    /// A question is answered. An answer to another question than the one that was asked says nothing.
    fn answered(&mut self, now: Time, answer: Answer) {
        let parts = &mut self.parts;
        match (self.asked.take(), answer) {
            (Some(Asked::Lease { worker, .. }), Answer::Granted(lease)) => {
                attempt::train(parts, now, worker, lease);
            }
            (Some(Asked::Lease { worker, request }), Answer::NotNow) => {
                waiting::refused(parts, now);
                device_requests::refused(parts, now, worker, request);
            }
            (Some(Asked::Lease { worker, .. }), Answer::Never(reason)) => {
                device_requests::never_leased(parts, now, worker, &reason);
            }
            (Some(Asked::Room(refusal)), Answer::Fits(fits)) => {
                let (worker, request) = (refusal.worker, refusal.request.clone());
                device_requests::found(parts, now, worker, request, refusal.answered(fits));
            }
            (Some(Asked::OthersTrain { worker, request, free, .. }), Answer::OthersTrain(others_train)) => {
                let is_over = if others_train {
                    device_requests::look_elsewhere(parts, now, worker, &request, &free)
                } else {
                    device_requests::give_up_card(parts, now, worker, &request)
                };
                if !is_over {
                    parts.lease_pass.note_refused(&request);
                }
            }
            (Some(Asked::Rebook { lease, memory }), Answer::Rebooked(true)) => {
                let task = parts.memory.holder(lease).and_then(|key| parts.groups.task_mut(key));
                if task.is_some_and(|task| TaskMemory::rebooked(task, memory)) {
                    parts.lease_pass.request();
                }
            }
            (Some(Asked::Peak { lease, trains: true }), Answer::Peak(Some(peak))) => {
                measured::sampled(parts, now, lease, peak);
            }
            (Some(Asked::Peak { lease, trains: false }), Answer::Peak(peak)) => {
                measured::trained(parts, lease, peak);
            }
            (Some(Asked::Lost { worker, event, .. }), Answer::Lost(lost)) => {
                self.follow(now, worker, event, lost);
            }
            (Some(Asked::Obstacles { task, request }), Answer::Obstacles(obstacles)) => {
                waiting::found(parts, task, &request, obstacles);
            }
            _ => {}
        }
    }

    fn timers_due(&mut self, now: Time) {
        while let Some(due) = self.parts.timers.pop_due(now) {
            match due {
                Due::Worker(id) => attempt::timed_out(&mut self.parts, now, id),
                Due::Move(id) => {
                    self.parts.set_moving(id, Moving::Due);
                    self.parts.lease_pass.request();
                }
                // What waited for this is looked at again in any case.
                Due::Start => {}
                Due::Wait => self.parts.standstill.set_due(),
                Due::Retry(task) => aftermath::retry_due(&mut self.parts, task),
                Due::Grace => self.stop(now, StopLevel::AtOnce),
            }
        }
    }
}

// The end.
impl Scheduler {
    fn stop(&mut self, now: Time, level: StopLevel) {
        let parts = &mut self.parts;
        if parts.stop >= Some(level) {
            return;
        }
        parts.stop = Some(level);
        let severity = match level {
            StopLevel::Graceful => Severity::Terminated,
            StopLevel::AtOnce => Severity::Killed,
        };
        for id in parts.workers.ids() {
            if parts.ladder.contains(id) {
                parts.raise(now, id, severity);
            } else {
                attempt::end(parts, now, id, None, severity);
            }
        }
        parts.let_all_go(now, severity);
        if level == StopLevel::Graceful && !parts.is_idle() {
            parts.timers.set(Due::Grace, now + parts.config.supervision.grace);
        } else {
            parts.timers.clear(Due::Grace);
        }
    }

    fn finish(&mut self, now: Time) {
        self.tells_idle = true;
        self.parts.let_all_go(now, Severity::Asked);
    }
}
