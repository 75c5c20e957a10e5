//! The way of one attempt at a task: what follows when its worker is up, has loaded, trains, fails, is ended, and is gone.
//! When it may go on is decided elsewhere.

use std::time::Duration;

use crate::leasing::lease::Lease;
use crate::model::device::Device;
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::outcome::failure::{Failure, FailureKind, LastLines};
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::model::value::Dict;
use crate::ports::Severity;
use crate::scheduler::interface::events::{self, Times};
use crate::scheduler::interface::outbox::Asked;
use crate::scheduler::interface::output::SchedulerOutput;
use crate::scheduler::parts::Parts;
use crate::scheduler::processes::kept_processes::KeptProcess;
use crate::scheduler::processes::process::Process;
use crate::scheduler::processes::workers::{Admitted, Ending, Moving, Phase, Worker};
use crate::scheduler::tasks::account::{Account, Estimate};
use crate::scheduler::tasks::retry;
use crate::scheduler::tasks::task::TaskState;

/// How a process died.
#[derive(Debug)]
pub(in crate::scheduler) struct Death {
    pub(in crate::scheduler) kind: FailureKind,
    pub(in crate::scheduler) message: String,
    pub(in crate::scheduler) last_lines: LastLines,
    pub(in crate::scheduler) killed_for_memory: bool,
    pub(in crate::scheduler) before_first_word: bool,
}

/// An attempt that is over, and has left its task without an outcome.
#[derive(Debug)]
pub(in crate::scheduler) struct Unfinished {
    pub(in crate::scheduler) task: TaskKey,
    pub(in crate::scheduler) attempt: u32,
    pub(in crate::scheduler) times: Times,
    /// How many tasks its process had served before.
    pub(in crate::scheduler) served: u32,
    /// Whether its process died in the moment after it was given the task, without a word about it.
    pub(in crate::scheduler) died_unheard: bool,
    /// Whether the kernel killed it because the host's memory was short.
    pub(in crate::scheduler) host_oom: bool,
    /// The device that was lost while it trained there.
    pub(in crate::scheduler) lost: Option<Device>,
    /// `None` if it has not failed: the run is being stopped, or it made room for another task.
    pub(in crate::scheduler) failure: Option<Failure>,
}

/// Begins an attempt at a task in a new process, or in one that was kept. Its number and that of the attempt.
pub(in crate::scheduler) fn begin(
    parts: &mut Parts,
    now: Time,
    key: TaskKey,
    mut process: Process,
    has_data: bool,
) -> (WorkerId, u32) {
    if !has_data {
        process.memory = Size::ZERO;
    }
    let task = parts.groups.task(key);
    let attempt = task.map_or(1, |task| task.attempts + 1);
    let fit = task.map(|task| parts.fit(task, process.card)).unwrap_or_else(|| parts.devices.anything());
    let id = parts.workers.begin(Worker::new(now, key, attempt, process, fit, has_data));
    if let Some(task) = parts.groups.task_mut(key) {
        task.account = Some(Box::new(Account::new(parts.memory.host(task))));
        task.attempts = attempt;
        task.moves = false;
        task.state = TaskState::Running(id);
    }
    parts.restart_timer(id);
    (id, attempt)
}

/// A worker is up and has its task.
pub(in crate::scheduler) fn ready(parts: &mut Parts, now: Time, id: WorkerId) {
    let place = parts.workers.next_place();
    let Some(worker) = parts.workers.get_mut(id) else { return };
    worker.lead_time = now.since(worker.entered);
    if worker.process.served == 0 {
        worker.process.start_cost.startup_time = worker.lead_time;
        parts.admission.started(worker.lead_time);
    }
    parts.enter(now, id, Phase::Available { place });
}

/// A spare worker may load.
pub(in crate::scheduler) fn admit_spare(parts: &mut Parts, now: Time, id: WorkerId, estimate: Estimate) {
    let place = parts.workers.next_place();
    if let Some(worker) = parts.workers.get_mut(id) {
        worker.admitted = Some(Admitted { estimate, is_measured: false, was_spare: true });
    }
    parts.enter(now, id, Phase::Available { place });
}

/// A worker is told to load.
pub(in crate::scheduler) fn load(parts: &mut Parts, now: Time, id: WorkerId) {
    let Some(worker) = parts.workers.get(id) else { return };
    let (task, attempt) = (worker.task, worker.attempt);
    let was_spare = worker.admitted.is_some_and(|admitted| admitted.was_spare);
    let startup_time = was_spare.then_some(worker.lead_time);
    parts.enter(now, id, Phase::Loading);
    parts.tell(task, |group, task| RunEvent::TaskLoading { group, task, attempt, startup_time });
    parts.outbox.push(SchedulerOutput::Load(id));
}

/// A worker has loaded: it waits for a device.
pub(in crate::scheduler) fn loaded(parts: &mut Parts, now: Time, id: WorkerId, load_time: Duration) {
    wait_for_device(parts, now, id);
    let Some(worker) = parts.workers.get_mut(id) else { return };
    worker.load_time = Some(load_time);
    if !worker.took_over {
        worker.process.start_cost.load_time = load_time;
    }
    let (task, attempt, lead) = (worker.task, worker.attempt, worker.lead_time.saturating_add(load_time));
    let in_next = if worker.process.served == 0 { load_time } else { lead };
    parts.admission.loaded(lead, Some(in_next).filter(|_| !worker.took_over));
    // A command that loads nothing has no process yet: what it will use cannot have been measured.
    if parts.groups.task(task).is_none_or(|task| task.loads()) {
        parts.is_measured(id);
    }
    parts.lease_pass.request();
    parts.tell(task, |group, task| RunEvent::TaskLoaded { group, task, attempt, load_time });
}

fn wait_for_device(parts: &mut Parts, now: Time, id: WorkerId) {
    let place = parts.workers.next_place();
    parts.enter(now, id, Phase::Waiting { place, moving: Moving::No });
}

/// A worker was leased what it asked for: it trains.
pub(in crate::scheduler) fn train(parts: &mut Parts, now: Time, id: WorkerId, lease: Lease) {
    parts.stop_moving(id);
    let Some(worker) = parts.workers.get_mut(id) else {
        return parts.outbox.push(SchedulerOutput::Release(lease.id));
    };
    let (key, attempt) = (worker.task, worker.attempt);
    parts.lease_pass.end_hold(key);
    // The new lease stands in the place of what the process held of its card.
    let replaced = worker.process.resident.take();
    if let Some(task) = parts.groups.task_mut(key) {
        parts.memory.leased(key, task, &lease);
    }
    if let Some(replaced) = replaced {
        parts.outbox.push(SchedulerOutput::Release(replaced));
    }
    parts.enter(now, id, Phase::Training(lease.clone()));
    for device in lease.shares.iter().map(|share| share.info.device) {
        if let Some(place) = parts.devices.place(device) {
            let trains_there = |worker: &Worker| worker.trains_on(device);
            parts.admission.training(place, parts.workers.count(trains_there));
        }
    }
    let pin = parts.groups.task(key).and_then(|task| task.pin().cloned());
    parts.tell_of(key, attempt, |subject| events::training(subject, &lease, pin.as_ref()));
    parts.outbox.push(SchedulerOutput::Train { worker: id, task: key, lease });
}

/// A worker has its result.
pub(in crate::scheduler) fn finished(
    parts: &mut Parts,
    now: Time,
    id: WorkerId,
    lease: &Lease,
    result: Dict,
) {
    let Some(worker) = parts.workers.get(id) else { return };
    let (key, attempt) = (worker.task, worker.attempt);
    let (load_time, stays) = (worker.load_time.unwrap_or_default(), parts.stays(worker, lease));
    let train_time = now.since(worker.entered);
    end_train(parts, id, lease, train_time);
    parts.admission.trained(train_time);
    parts.tell(key, |group, task| RunEvent::TaskFinished {
        group,
        task,
        attempt,
        device: lease.device(),
        load_time,
        train_time,
        result,
    });
    if let Some(task) = parts.groups.task(key) {
        parts.memory.learn_host(task);
    }
    parts.groups.end_task(key);
    if stays {
        keep(parts, id, lease);
    } else {
        parts.enter(now, id, Phase::Exiting);
        parts.raise(now, id, Severity::Asked);
        parts.process_will_not_be_kept(key);
    }
}

/// `train` has ended: its devices are free for the next task while the result is still being stored.
fn end_train(parts: &mut Parts, id: WorkerId, lease: &Lease, train_time: Duration) {
    parts.outbox.ask(Asked::Peak { lease: lease.id, trains: false });
    parts.outbox.push(SchedulerOutput::EndTrain(lease.id));
    parts.lease_pass.request();
    let Some(worker) = parts.workers.get_mut(id) else { return };
    worker.process.resident = Some(lease.id);
    worker.trained = Some((lease.device(), train_time));
    let (task, attempt) = (worker.task, worker.attempt);
    parts.tell_released(task, attempt, train_time);
}

/// Keeps the process of a worker whose task has its result.
fn keep(parts: &mut Parts, id: WorkerId, lease: &Lease) {
    let Some(Worker { task: key, attempt, mut process, .. }) = parts.take_out(id) else { return };
    let Some(task) = parts.groups.task(key) else { return };
    let (Some(policy), pin) = (task.keep.clone(), task.pin().cloned()) else { return };
    parts.tell(key, |group, task| RunEvent::TaskExited { group, task, attempt });
    process.served += 1;
    process.card = None;
    if lease.shares.iter().any(|share| share.memory.is_some()) {
        process.card = Some(lease.device());
    } else if let Some(resident) = process.resident.take() {
        // A process that does not train holds nothing of a CPU slot.
        parts.outbox.push(SchedulerOutput::Release(resident));
    }
    parts.outbox.push(SchedulerOutput::Keep(id));
    parts.kept.insert(id, KeptProcess { key: policy.keep_key(), process, pin });
    parts.resume_postponed(&policy);
}

/// `train` failed in a process that lives; `lost` is the device that was lost meanwhile.
pub(in crate::scheduler) fn train_failed(
    parts: &mut Parts,
    now: Time,
    id: WorkerId,
    failure: Failure,
    lost: Option<Device>,
) {
    let Some(worker) = parts.workers.get(id) else { return };
    let Phase::Training(lease) = &worker.phase else { return };
    let (lease, since, key, attempt) = (lease.clone(), worker.entered, worker.task, worker.attempt);
    end_train(parts, id, &lease, now.since(since));
    let (is_stopping, config) = (parts.stop.is_some(), &parts.config.scheduler);
    let Some(task) = parts.groups.task_mut(key) else { return };
    let devices = lease.shares.len();
    if is_stopping || !retry::keeps_data(&mut task.spent, &failure, devices, lost, config) {
        return end_lost(parts, now, id, Some(failure), lost, Severity::Asked);
    }
    parts.memory.grow_card(task);
    let device = Some(lease.device());
    parts.tell_of(key, attempt, |subject| events::retried(subject, device, failure, true, Duration::ZERO));
    let Some(worker) = parts.workers.get_mut(id) else { return };
    // The larger share will take the place of the smaller one: both would not fit.
    worker.process.card = (lease.device() != Device::Cpu).then(|| lease.device());
    if worker.process.card.is_none()
        && let Some(resident) = worker.process.resident.take()
    {
        parts.outbox.push(SchedulerOutput::Release(resident));
    }
    wait_for_device(parts, now, id);
}

/// A time limit of a worker has expired, or the patience with a process that is being ended.
pub(in crate::scheduler) fn timed_out(parts: &mut Parts, now: Time, id: WorkerId) {
    if parts.ladder.step(now, id, &mut parts.timers, &mut parts.outbox) {
        return;
    }
    let Some(worker) = parts.workers.get(id) else { return };
    let Some(stage) = worker.phase.stage() else { return };
    let Some(task) = parts.groups.task(worker.task) else { return };
    if let Some((kind, message)) = worker.time_out(now, task.limits()) {
        end(parts, now, id, Some(Failure::new(stage, kind, message)), Severity::Terminated);
    }
}

/// Ends a worker. What becomes of its task is decided when it is gone; without a failure it starts anew.
pub(in crate::scheduler) fn end(
    parts: &mut Parts,
    now: Time,
    id: WorkerId,
    failure: Option<Failure>,
    severity: Severity,
) {
    end_lost(parts, now, id, failure, None, severity);
}

fn end_lost(
    parts: &mut Parts,
    now: Time,
    id: WorkerId,
    failure: Option<Failure>,
    lost: Option<Device>,
    severity: Severity,
) {
    stop_working(parts, now, id, failure, lost);
    parts.raise(now, id, severity);
}

/// A worker does nothing for its task any more.
fn stop_working(parts: &mut Parts, now: Time, id: WorkerId, failure: Option<Failure>, lost: Option<Device>) {
    parts.stop_moving(id);
    let Some(worker) = parts.workers.get_mut(id) else { return };
    let mut ending = Ending { failure, holds_since: None, lost };
    // A lease in use is given back only when the process is gone: until then the card is in use.
    if let Phase::Training(lease) = &worker.phase
        && worker.process.resident.is_none()
    {
        worker.process.resident = Some(lease.id);
        worker.trained = Some((lease.device(), now.since(worker.entered)));
        ending.holds_since = Some(worker.entered);
    }
    let was_waiting = matches!(worker.phase, Phase::Waiting { .. });
    let task = worker.task;
    parts.enter(now, id, Phase::Ending(ending));
    if was_waiting {
        parts.lease_pass.end_hold(task);
        parts.outbox.push(SchedulerOutput::Withdraw(task));
        parts.lease_pass.request();
    }
    parts.process_will_not_be_kept(task);
}

/// Every process of a worker is gone. `lost` is the device that was lost while it trained there. Says what became of
/// the attempt, if that leaves its task without an outcome.
pub(in crate::scheduler) fn gone(
    parts: &mut Parts,
    now: Time,
    id: WorkerId,
    death: Death,
    lost: Option<Device>,
) -> Option<Unfinished> {
    let Some(worker) = parts.workers.get(id) else {
        parts.kept_gone(id);
        return None;
    };
    let stage = worker.phase.stage();
    if let Some(stage) = stage {
        let failure = Failure::new(stage, death.kind, death.message);
        stop_working(parts, now, id, Some(failure), lost);
    }
    let Worker { task, attempt, load_time, mut trained, phase, process, .. } = parts.take_out(id)?;
    parts.release(process.resident);
    let ending = if let Phase::Ending(ending) = phase { Some(ending) } else { None };
    let holds_since = ending.as_ref().and_then(|ending| ending.holds_since);
    if let Some((since, (_, trained_for))) = holds_since.zip(trained.as_mut()) {
        let train_time = now.since(since);
        *trained_for = train_time;
        parts.tell_released(task, attempt, train_time);
    }
    parts.tell_memory(task, attempt);
    parts.tell(task, |group, task| RunEvent::TaskExited { group, task, attempt });
    let Ending { failure, lost, .. } = ending?;
    let failure = failure.map(|failure| failure.with_last_lines(death.last_lines));
    Some(Unfinished {
        task,
        attempt,
        times: Times { load_time, trained },
        served: process.served,
        died_unheard: death.before_first_word && stage == failure.as_ref().map(|failure| failure.stage),
        // What failed before for another cause is judged by that.
        host_oom: stage.is_some() && death.killed_for_memory,
        lost,
        failure,
    })
}
