//! `Parts`: all parts of the scheduler, and what moves several of them at once so that they agree.

use std::time::Duration;

use super::admission::{Admission, Candidate};
use super::devices::device_set::{Devices, Fit};
use super::devices::lease_pass::LeasePass;
use super::devices::supply::Supply;
use super::interface::events::{self, Subject};
use super::interface::outbox::Outbox;
use super::interface::output::SchedulerOutput;
use super::processes::kept_processes::KeptProcesses;
use super::processes::ladder::Ladder;
use super::processes::workers::{Admitted, Ahead, Moving, Phase, Worker, Workers};
use super::standstill::Standstill;
use super::tasks::account::Estimate;
use super::tasks::demand::{Demand, Fitting};
use super::tasks::groups::{Groups, ReadyTask};
use super::tasks::keep_policy::KeepPolicy;
use super::tasks::memory::TaskMemory;
use super::tasks::task::ScheduledTask;
use super::timers::{Due, Timers};
use crate::leasing::lease::{Lease, LeaseId, LeaseRequest};
use crate::model::config::Config;
use crate::model::device::{Device, Pin};
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::memory_use::EstimateSource;
use crate::model::name::Name;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::ports::{Severity, StopLevel};

/// All parts of the scheduler.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) devices: Devices,
    pub(super) groups: Groups,
    pub(super) workers: Workers,
    pub(super) kept: KeptProcesses,
    pub(super) admission: Admission,
    pub(super) memory: TaskMemory,
    pub(super) lease_pass: LeasePass,
    pub(super) ladder: Ladder,
    pub(super) timers: Timers,
    pub(super) standstill: Standstill,
    pub(super) outbox: Outbox,
    pub(super) stop: Option<StopLevel>,
}

impl Parts {
    /// Moves a worker to another phase, in which its time limits run.
    pub(super) fn enter(&mut self, now: Time, id: WorkerId, phase: Phase) {
        if let Some(worker) = self.workers.get_mut(id) {
            worker.enter(now, phase);
        }
        self.restart_timer(id);
    }

    pub(super) fn restart_timer(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(id) else { return };
        let deadline = self.groups.task(worker.task).and_then(|task| worker.deadline(task.limits()));
        match deadline {
            Some(deadline) => self.timers.set(Due::Worker(id), deadline),
            None => self.timers.clear(Due::Worker(id)),
        }
    }

    /// A worker may load, and is expected to use this much host memory. `is_measured`: samples of the host show it.
    pub(super) fn admit(&mut self, id: WorkerId, estimate: Estimate, is_measured: bool) {
        if let Some(worker) = self.workers.get_mut(id) {
            worker.admitted = Some(Admitted { estimate, is_measured, was_spare: false });
        }
    }

    /// From now on, samples of the host show how much memory a worker uses.
    pub(super) fn is_measured(&mut self, id: WorkerId) {
        if let Some(admitted) = self.workers.get_mut(id).and_then(|worker| worker.admitted.as_mut()) {
            admitted.is_measured = true;
        }
    }

    /// Whether a waiting worker is started anew on another card.
    pub(super) fn set_moving(&mut self, id: WorkerId, value: Moving) {
        if let Some(Phase::Waiting { moving, .. }) = self.workers.get_mut(id).map(|worker| &mut worker.phase)
        {
            *moving = value;
        }
    }

    /// There is no reason any more to start a worker anew on another card.
    pub(super) fn stop_moving(&mut self, id: WorkerId) {
        if let Some(Phase::Waiting { moving, .. }) = self.workers.get_mut(id).map(|worker| &mut worker.phase)
            && std::mem::take(moving) == Moving::Soon
        {
            self.timers.clear(Due::Move(id));
        }
    }

    /// How well the devices are supplied by the workers of a group and those before it.
    pub(super) fn supply(&self, group: u32) -> Supply<'_> {
        Supply::of(&self.devices, self.workers.iter().map(|(_, worker)| worker), group)
    }

    /// Whether one more task may be ahead of the devices that it fits, and load. As many may as the load depth says for
    /// these devices, unless each of them has its part of so many by tasks that fit some of them.
    pub(super) fn may_load(&self, candidate: Candidate<'_>, group: u32, ahead: Ahead) -> bool {
        let wanted = self.admission.wanted_ahead(candidate);
        if ahead.admitted >= wanted {
            return false;
        }
        if !ahead.any_beside {
            return true;
        }
        let workers = self.workers.iter().map(|(_, worker)| worker);
        let admitted = workers.filter(|worker| worker.admitted.is_some());
        let supply = Supply::beside(&self.devices, admitted, group, Some(candidate.fit));
        let on_each = supply.least_ahead(candidate.fit);
        on_each.saturating_mul(self.devices.count(candidate.fit.among)) < wanted
    }

    /// The same for the task of a worker that is up.
    pub(super) fn worker_may_load(&self, worker: &Worker) -> bool {
        let Some(task) = self.groups.task(worker.task) else { return false };
        let ahead = self.workers.ahead(worker.task.group, worker.fit);
        self.may_load(self.candidate(task, worker.fit), worker.task.group, ahead)
    }

    /// What a worker asks of the devices for its task.
    pub(super) fn lease_request(&self, id: WorkerId, worker: &Worker) -> Option<LeaseRequest> {
        let task = self.groups.task(worker.task)?;
        let estimate = self.memory.card(task);
        let request = task.lease_request(worker.task, &self.config);
        Some(LeaseRequest {
            memory: estimate.size,
            estimated: estimate.source != EstimateSource::Default,
            pin: worker.process.card.map(Pin::Device).or(request.pin),
            // Devices are kept back for the longest waiter, so that a large task is not passed by for ever.
            hold: self.workers.first_waiting(worker.task.group) == Some(id),
            replaces: worker.process.resident,
            roomy: task.spent.train_oom > 0,
            ..request
        })
    }

    /// Ends a process at least this hard.
    pub(super) fn raise(&mut self, now: Time, id: WorkerId, severity: Severity) {
        let task = self.workers.get(id).and_then(|worker| self.groups.task(worker.task));
        let of_run = &self.config.supervision.limits;
        let exit_timeout = task.map_or(of_run, |task| task.limits()).exit_timeout;
        self.ladder.raise(now, id, severity, exit_timeout, &mut self.timers, &mut self.outbox);
    }

    /// Takes a worker out whose task has no use for it any more.
    pub(super) fn take_out(&mut self, id: WorkerId) -> Option<Worker> {
        self.timers.clear(Due::Worker(id));
        self.ladder.gone(id);
        self.workers.remove(id)
    }

    /// What was booked for a process is free.
    pub(super) fn release(&mut self, lease: Option<LeaseId>) {
        if let Some(lease) = lease {
            self.outbox.push(SchedulerOutput::Release(lease));
            self.lease_pass.request();
        }
    }

    /// A group is done. It is forgotten at once if it has no process.
    pub(super) fn remove_group(&mut self, index: u32) {
        self.groups.remove(index);
        self.forget_if_removed(index);
    }

    /// Forgets a group that was removed, if it has no process any more.
    pub(super) fn forget_if_removed(&mut self, index: u32) {
        if !self.workers.any_of_group(index) {
            self.groups.forget_if_removed(index);
        }
    }

    /// Whether nothing is left to do for a group. For one that has loaded ahead, it is not waited until those processes
    /// have exited whose tasks have their outcome.
    pub(super) fn is_done(&self, index: u32) -> bool {
        if self.stop.is_some() {
            return self.is_idle();
        }
        let is_left = !self.workers.any_of_group(index) || !self.groups.after_active().is_empty();
        self.groups.open(index) == 0 && is_left
    }

    /// Whether no process is left.
    pub(super) fn is_idle(&self) -> bool {
        self.workers.is_empty() && self.kept.len() == 0
    }

    /// Whether there are as many processes as there may be.
    pub(super) fn has_all_processes(&self) -> bool {
        self.workers.len() + self.kept.len() >= self.config.scheduler.max_process as usize
    }

    /// Whether a worker's process stays after its task.
    pub(super) fn stays(&self, worker: &Worker, lease: &Lease) -> bool {
        let policy = self.groups.task(worker.task).and_then(|task| task.keep.as_deref());
        let allows = policy.is_some_and(|policy| policy.allows_another(worker.process.served));
        allows && self.stop.is_none() && lease.shares.len() == 1
    }

    /// Lets a kept process go. False if it is not kept.
    pub(super) fn let_go(&mut self, now: Time, id: WorkerId, severity: Severity) -> bool {
        let is_kept = self.kept.let_go(id);
        if is_kept {
            self.raise(now, id, severity);
        }
        is_kept
    }

    /// Lets every kept process go, and those that are going already at least this hard.
    pub(super) fn let_all_go(&mut self, now: Time, severity: Severity) {
        for id in self.kept.ids() {
            self.let_go(now, id, severity);
        }
        for id in self.kept.leaving_ids() {
            self.raise(now, id, severity);
        }
    }

    pub(super) fn kept_gone(&mut self, id: WorkerId) {
        let Some(resident) = self.kept.gone(id) else { return };
        self.timers.clear(Due::Worker(id));
        self.ladder.gone(id);
        self.admission.process_gone();
        self.release(resident);
    }

    /// The process of a task will not be kept.
    pub(super) fn process_will_not_be_kept(&mut self, key: TaskKey) {
        if let Some(policy) = self.groups.task(key).and_then(|task| task.keep.clone()) {
            self.resume_postponed(&policy);
        }
    }

    /// A process with the data of such tasks was kept, or will not be: postponed tasks may start for which none is left
    /// to come.
    pub(super) fn resume_postponed(&mut self, policy: &KeepPolicy) {
        for index in self.groups.after_active() {
            let coming = self.coming(index, policy);
            let card = self.kept.card_with_data_for(policy);
            self.resume_postponed_of(index, policy, coming, card);
        }
    }

    /// Makes all but so many of a group's tasks ready that were postponed for the same data.
    pub(super) fn resume_postponed_of(
        &mut self,
        index: u32,
        policy: &KeepPolicy,
        left: usize,
        card: Option<Option<Device>>,
    ) {
        let Self { groups, devices, memory, .. } = self;
        groups.resume_postponed(index, policy, left, Fitting { devices, memory }, card);
    }

    /// A task is tried again.
    pub(super) fn make_ready(&mut self, key: TaskKey) {
        let Self { groups, devices, memory, .. } = self;
        groups.make_ready(key, Fitting { devices, memory });
    }

    /// The next task to start; not from the queues that were tried.
    pub(super) fn first_ready(&mut self, tried: &[Demand]) -> Option<(TaskKey, ReadyTask)> {
        let Self { groups, devices, memory, workers, .. } = self;
        groups.first_ready(tried, Fitting { devices, memory }, workers)
    }

    /// What a task fits, given the card to which its process is tied.
    pub(super) fn fit(&self, task: &ScheduledTask, card: Option<Device>) -> Fit {
        Fitting { devices: &self.devices, memory: &self.memory }.fit(task, card)
    }

    /// Workers may fit other devices than they did, once more is known of what their tasks use.
    pub(super) fn refit(&mut self) {
        if !self.memory.take_has_learned() {
            return;
        }
        for id in self.workers.ids() {
            let Some(worker) = self.workers.get(id) else { continue };
            let Some(task) = self.groups.task(worker.task) else { continue };
            let fit = self.fit(task, worker.process.card);
            if let Some(worker) = self.workers.get_mut(id) {
                worker.fit = fit;
            }
        }
    }

    /// A task that is to load.
    pub(super) fn candidate<'a>(&'a self, task: &'a ScheduledTask, fit: Fit) -> Candidate<'a> {
        Candidate { task, card: self.memory.card(task), fit, devices: &self.devices }
    }

    /// How many tasks train on some of these devices.
    pub(super) fn training_on(&self, fit: Fit) -> usize {
        let is_among = |device| self.devices.place(device).is_some_and(|place| fit.among.contains(place));
        let trains = |worker: &Worker| match &worker.phase {
            Phase::Training(lease) => lease.shares.iter().any(|share| is_among(share.info.device)),
            _ => false,
        };
        self.workers.iter().filter(|(_, worker)| trains(worker)).count()
    }

    /// Whether a process that is at another task may serve a task next, which loads first.
    pub(super) fn any_that_will_serve(&self, key: TaskKey, task: &ScheduledTask) -> bool {
        let Some(policy) = task.keep.as_deref().filter(|_| task.needs().devices == 1) else { return false };
        let will_serve = |worker: &Worker| {
            let other = self.groups.task(worker.task);
            let stays = other.and_then(|other| other.keep.as_deref()).is_some_and(|other| {
                policy.is_served_after(other) && other.allows_another(worker.process.served)
            });
            stays && task.pin().is_none_or(|pin| other.and_then(ScheduledTask::pin) == Some(pin))
        };
        self.workers.any(|worker| {
            worker.task.group <= key.group && worker.phase.stage().is_some() && will_serve(worker)
        })
    }

    /// How many processes are at work for earlier groups that will be kept with the data that such a task needs.
    pub(super) fn coming(&self, group: u32, policy: &KeepPolicy) -> usize {
        let comes = |worker: &Worker| {
            worker.task.group < group
                && worker.phase.stage().is_some()
                && self.groups.task(worker.task).and_then(|task| task.keep.as_deref()).is_some_and(|other| {
                    other.keeps_the_same_as(policy) && other.allows_another(worker.process.served)
                })
        };
        self.workers.iter().filter(|(_, worker)| comes(worker)).count()
    }

    pub(super) fn tell(&mut self, key: TaskKey, event: impl FnOnce(Name, Name) -> RunEvent) {
        if let Some((group, task)) = self.groups.names(key) {
            self.outbox.push(SchedulerOutput::Tell(event(group, task)));
        }
    }

    pub(super) fn tell_of(&mut self, key: TaskKey, attempt: u32, event: impl FnOnce(Subject) -> RunEvent) {
        self.tell(key, |group, task| event(Subject { group, task, attempt }));
    }

    pub(super) fn tell_released(&mut self, key: TaskKey, attempt: u32, train_time: Duration) {
        self.tell(key, |group, task| RunEvent::TaskReleased { group, task, attempt, train_time });
    }

    /// Tells what an attempt has used of memory, if that was measured.
    pub(super) fn tell_memory(&mut self, key: TaskKey, attempt: u32) {
        let report = self.groups.task_mut(key).and_then(|task| self.memory.report(task));
        if let Some(report) = report {
            self.tell_of(key, attempt, |subject| events::memory(subject, report));
        }
    }
}
