//! What may go on now: leases for workers that have loaded, loading for those that are up, starts for tasks that are
//! ready, in this order. It reads from top to bottom.

use super::admission::HostRoom;
use super::attempt;
use super::interface::outbox::Asked;
use super::interface::output::SchedulerOutput;
use super::lease_pass::{Finding, Refusal};
use super::parts::Parts;
use super::processes::affinity::{self, CardUse};
use super::processes::kept_processes::Taken;
use super::processes::process::Process;
use super::processes::workers::{Ahead, Moving, Phase, Worker};
use super::tasks::account::Estimate;
use super::tasks::groups::QueueName;
use super::timers::Due;
use crate::leasing::lease::{LeaseId, LeaseRequest, Unleasable};
use crate::model::device::Device;
use crate::model::failure::{Failure, FailureKind, Stage};
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::quantity::Size;
use crate::model::time::Time;
use crate::ports::Severity;

/// How many processes are started ahead of need: up and past their handshake when the host gets room for them, or when
/// one more task may be ahead of the devices.
const SPARE: u32 = 2;

/// Does the next thing that may be done. False if there is none now.
pub(super) fn go_on(parts: &mut Parts, now: Time) -> bool {
    ask_for_lease(parts, now) || load(parts, now) || admit(parts, now) || start(parts, now)
}

/// Asks for a device for the longest waiter that was not asked for in this pass.
fn ask_for_lease(parts: &mut Parts, now: Time) -> bool {
    let active = parts.groups.active();
    parts.lease_pass.begin_if_due(|| parts.workers.waiting(active));
    while let Some(id) = parts.lease_pass.next() {
        let is_waiting = |worker: &&Worker| matches!(worker.phase, Phase::Waiting { .. });
        let Some(worker) = parts.workers.get(id).filter(is_waiting) else { continue };
        let Some(task) = parts.groups.task(worker.task) else { continue };
        let training = parts.workers.iter().filter_map(|(_, other)| match other.phase {
            Phase::Training(_) => Some((parts.groups.task(other.task)?, other.entered)),
            _ => None,
        });
        if parts.memory.waits_for_trial(now, task, training) {
            continue;
        }
        let request = parts.lease_request(id, worker);
        if let Some(request) = request.filter(|request| !parts.lease_pass.was_refused(request)) {
            parts.outbox.ask(Asked::Lease { worker: id, request });
            return true;
        }
    }
    false
}

/// Has one worker load that is up. Processors that are too busy delay it, unless nothing else is at work.
fn load(parts: &mut Parts, now: Time) -> bool {
    let Some(id) = parts.workers.first_available() else { return false };
    if !parts.admission.processors_free() && parts.workers.any_busy() {
        return false;
    }
    attempt::load(parts, now, id);
    true
}

/// Admits one spare worker, if the host has room for it and one more may be ahead of the devices.
fn admit(parts: &mut Parts, now: Time) -> bool {
    let spares = parts.workers.iter().filter(|(_, worker)| worker.admitted.is_none());
    let in_order = spares.filter_map(|(id, worker)| match worker.phase {
        Phase::Available { place } => {
            let pin = parts.groups.task(worker.task)?.pin();
            let queue = QueueName::of(pin, worker.process.card);
            let group = worker.task.group;
            let ahead = parts.groups.ahead_in(group, &queue, &parts.workers);
            Some((group, ahead, place, id, worker.task))
        }
        _ => None,
    });
    let Some((group, _, _, id, key)) = in_order.min() else { return false };
    let Some(task) = parts.groups.task(key) else { return false };
    let memory = parts.memory.host(task);
    if !parts.may_load(task, parts.workers.ahead(group)) || !has_room(parts, now, memory.size, group) {
        return false;
    }
    attempt::admit_spare(parts, now, id, memory);
    true
}

/// Starts one task, if the limits allow it.
fn start(parts: &mut Parts, now: Time) -> bool {
    let Some((key, rank)) = parts.groups.first_ready(&parts.workers) else { return false };
    if postpone(parts, key, rank) {
        return true;
    }
    let Some(task) = parts.groups.task(key) else { return false };
    let (policy, memory) = (task.keep.clone(), parts.memory.host(task));
    let has_data = policy.as_deref().is_some_and(|policy| parts.kept.has_data_for(policy));
    let is_served = policy.as_deref().is_some_and(|policy| policy.allows_reuse() || has_data);
    let (loads, ahead) = (task.loads(), parts.workers.ahead(key.group));
    let (may_load, room_for_spare) = (parts.may_load(task, ahead), ahead.spares < SPARE);
    if policy.is_some() && may_load {
        if (has_data || room_for_spare) && hand_over(parts, now, key, memory) {
            return true;
        }
        if waits_for_reuse(parts, key) {
            return false;
        }
    }
    // Beyond those that may load, a process is started ahead of need where that saves anything.
    let is_spare = !may_load;
    if is_spare && !(loads && !is_served && room_for_spare) {
        return false;
    }
    if parts.workers.len() + parts.kept.len() >= parts.config.scheduler.max_process as usize {
        // Another process may have to go first; the start follows when it is gone.
        if !is_spare && !let_one_go(parts, now) && needs_way(parts, key.group) {
            give_way(parts, now, |_| true);
        }
        return false;
    }
    if !room_for_spare {
        return false;
    }
    let (worker, attempt) = attempt::begin(parts, now, key, Process::default(), false);
    if may_load {
        admit_if_room(parts, now, worker, memory, key.group);
    }
    parts.outbox.push(SchedulerOutput::Start { worker, task: key, attempt });
    true
}

/// Postpones a task of a group that loads ahead, if a process will be kept with its data. Says whether it did.
fn postpone(parts: &mut Parts, key: TaskKey, rank: u32) -> bool {
    if key.group <= parts.groups.active() {
        return false;
    }
    let policy = parts.groups.task(key).and_then(|task| task.keep.as_deref());
    let Some(policy) = policy.filter(|policy| policy.keeps_data()) else { return false };
    if parts.kept.has_data_for(policy) {
        return false;
    }
    let coming = parts.coming(key.group, policy);
    parts.groups.postpone(key, rank, coming)
}

/// Gives a task to a process that was kept for the like of it, if there is one.
fn hand_over(parts: &mut Parts, now: Time, key: TaskKey, memory: Estimate) -> bool {
    let Some(task) = parts.groups.task(key) else { return false };
    let most = parts.admission.wanted_ahead_of_each(task, parts.memory.card(task));
    let workers = &parts.workers;
    let taken = parts.kept.take_for(task, |card| CardUse::of(card, workers), most);
    let Some(Taken { from, process, has_data }) = taken else { return false };
    let (to, attempt) = attempt::begin(parts, now, key, process, has_data);
    if has_data {
        // What it has loaded is part of what was measured of the host.
        parts.admit(to, memory, true);
    } else {
        admit_if_room(parts, now, to, memory, key.group);
    }
    parts.outbox.push(SchedulerOutput::HandOver { from, to, task: key, attempt });
    true
}

/// Whether a task should not have a new process, as there are enough that wait to serve another one: each card has as
/// many tasks ahead as it needs, or will have.
fn waits_for_reuse(parts: &Parts, key: TaskKey) -> bool {
    let Some(task) = parts.groups.task(key).filter(|task| !task.moves) else { return false };
    let enough = parts.admission.enough_ahead(task, parts.memory.card(task));
    let Ahead { admitted, spares } = parts.workers.ahead(key.group);
    admitted + spares >= enough && parts.kept.any_to_reuse(task)
}

fn admit_if_room(parts: &mut Parts, now: Time, id: WorkerId, memory: Estimate, group: u32) {
    // Those that are up already come first.
    if parts.workers.ahead(group).spares == 1 && has_room(parts, now, memory.size, group) {
        parts.admit(id, memory, false);
    }
}

/// Whether the host has room for a task of a group. No limit keeps the only task from loading. If there is no room,
/// processes that are kept or ahead of their group's turn make some.
fn has_room(parts: &mut Parts, now: Time, memory: Size, group: u32) -> bool {
    match parts.admission.room(memory, parts.workers.reserved()) {
        HostRoom::Enough => return true,
        // Until the next sample shows what the last one gave back, no other process must go.
        HostRoom::Unknown => return !parts.workers.any_admitted(),
        HostRoom::NoMemory => {
            // One that is only up has nothing of the host's memory.
            let has_memory = |worker: &Worker| worker.admitted.is_some();
            if let_one_go(parts, now) || (needs_way(parts, group) && give_way(parts, now, has_memory)) {
                return false;
            }
        }
        HostRoom::Busy => {}
    }
    // Workers that have loaded ahead of their group's turn are not at work.
    !parts.workers.any_admitted() || needs_way(parts, group)
}

/// Whether a group is active and none of its workers is at work, so that only others can be in its way.
fn needs_way(parts: &Parts, group: u32) -> bool {
    let is_at_work = |worker: &Worker| worker.task.group == group && worker.admitted.is_some();
    group == parts.groups.active() && !parts.workers.any(is_at_work)
}

/// Lets the process go that has been idle longest. Says whether room is on its way.
fn let_one_go(parts: &mut Parts, now: Time) -> bool {
    let oldest = parts.kept.oldest();
    parts.kept.any_leaving() || oldest.is_some_and(|id| parts.let_go(now, id, Severity::Asked))
}

/// Ends one such worker of a later group, as the active group needs its room; its task starts anew later. Says whether
/// there was one.
fn give_way(parts: &mut Parts, now: Time, has_room: impl Fn(&Worker) -> bool) -> bool {
    let active = parts.groups.active();
    if parts.workers.any(|worker| worker.task.group > active && worker.is_ending()) {
        return true;
    }
    let is_ahead = |worker: &Worker| worker.task.group > active && worker.is_ahead() && has_room(worker);
    let youngest = parts.workers.iter().rev().find(|(_, worker)| is_ahead(worker)).map(|(id, _)| id);
    let Some(id) = youngest else { return false };
    attempt::end(parts, now, id, None, Severity::Asked);
    true
}

/// A lease can be refused for now: it is found out what would have to go for it, or where else the task could train.
pub(super) fn refused(parts: &mut Parts, now: Time, id: WorkerId, request: LeaseRequest, devices: &[Device]) {
    // Those that have a task by now go last.
    let waiting = parts.workers.iter().rev().filter(|(other, _)| *other != id);
    let idle = parts.kept.leases().chain(waiting.filter_map(|(_, worker)| worker.idle_lease())).collect();
    let moves_from = parts.workers.get(id).filter(|worker| worker.may_move()).and_then(|worker| {
        let is_pinned = parts.groups.task(worker.task)?.pin().is_some();
        worker.process.card.filter(|_| !is_pinned && !parts.lease_pass.is_met_nowhere(&request))
    });
    let others = devices.iter().copied().filter(|device| moves_from.is_some_and(|card| card != *device));
    let finding = Refusal::begin(id, request.clone(), idle, others.collect());
    found(parts, now, id, request, finding);
}

/// Something was found out about a refused lease.
pub(super) fn found(parts: &mut Parts, now: Time, id: WorkerId, request: LeaseRequest, finding: Finding) {
    let is_over = match finding {
        Finding::AskOn(refusal) => return parts.outbox.ask(Asked::Room(refusal)),
        Finding::InTheWay(lease) => {
            // A process that only holds memory of a card makes room; then it is tried again.
            let_lease_go(parts, now, lease);
            false
        }
        Finding::Elsewhere { free } => stays_refused(parts, now, id, &request, &free),
    };
    if !is_over {
        parts.lease_pass.note_refused(&request);
    }
}

/// No idle process is in the way of a refused lease. Says whether its worker is ended.
fn stays_refused(
    parts: &mut Parts,
    now: Time,
    id: WorkerId,
    request: &LeaseRequest,
    free: &[Device],
) -> bool {
    let Some(worker) = parts.workers.get(id) else { return false };
    if worker.process.card.is_some() && !parts.workers.any_training() {
        if worker.trained.is_some() {
            // It waits with its data for a larger share of its card, and holds some of it: when none trains any more
            // that could make room, it is itself in the way. A new process can have the share.
            let message = "its card has no room for a larger share beside what it holds";
            let failure = Failure::new(Stage::Train, FailureKind::Oom, message);
            attempt::end(parts, now, id, Some(failure), Severity::Asked);
            return true;
        }
        // A kept process holds less of its card than its next task needs, and others have the rest: a new process may
        // go to any card. A task without an estimate needs no more than the process holds, and waits.
        if request.estimated {
            attempt::end(parts, now, id, None, Severity::Asked);
        }
        return request.estimated;
    }
    look_elsewhere(parts, now, id, request, free)
}

/// A worker was refused the card to which it is tied, while others could take its task. Says whether it starts anew.
fn look_elsewhere(
    parts: &mut Parts,
    now: Time,
    id: WorkerId,
    request: &LeaseRequest,
    free: &[Device],
) -> bool {
    let Some(worker) = parts.workers.get(id).filter(|worker| worker.may_move()) else { return false };
    let key = worker.task;
    if parts.groups.task(key).is_some_and(|task| task.pin().is_some()) {
        // Nothing was asked for it: that there is nothing else would say nothing of others like it.
        return false;
    }
    if free.is_empty() {
        parts.lease_pass.note_met_nowhere(request);
    }
    let train_time = parts.admission.train_time();
    match affinity::decide(now, worker, free, &parts.workers, &parts.groups, train_time) {
        affinity::Verdict::Stays => parts.stop_moving(id),
        affinity::Verdict::WaitsOn => {}
        affinity::Verdict::MovesAt(time) => {
            parts.set_moving(id, Moving::Soon);
            parts.timers.set(Due::Move(id), time);
        }
        affinity::Verdict::Moves => {
            if let Some(task) = parts.groups.task_mut(key) {
                task.moves = true;
            }
            attempt::end(parts, now, id, None, Severity::Asked);
            return true;
        }
    }
    false
}

/// Lets the process go that holds a lease for which none trains. If it has a task by now, that starts anew in another
/// process.
fn let_lease_go(parts: &mut Parts, now: Time, lease: LeaseId) {
    if let Some(id) = parts.kept.holder(lease) {
        parts.let_go(now, id, Severity::Asked);
        return;
    }
    let holder = parts.workers.iter().find(|(_, worker)| worker.idle_lease() == Some(lease));
    if let Some((id, _)) = holder {
        attempt::end(parts, now, id, None, Severity::Asked);
    }
}

/// No device can ever give what a loaded task asks for: its card is too small for what it turned out to need, or was lost
/// since it started.
pub(super) fn never_leased(parts: &mut Parts, now: Time, id: WorkerId, reason: &Unleasable) {
    let Some(worker) = parts.workers.get(id) else { return };
    if parts.groups.task_mut(worker.task).is_some_and(|task| parts.memory.distrust(task)) {
        return parts.lease_pass.request();
    }
    let failure = match (worker.process.card, worker.trained) {
        (None, _) => Some(Failure::new(Stage::Wait, FailureKind::Error, reason.to_string())),
        // What it has loaded cannot be moved to a larger card: a new process can go there.
        (Some(_), Some(_)) => Some(Failure::new(Stage::Train, FailureKind::Oom, reason.to_string())),
        // What a kept process has is on a card that is no more: a new one loads again.
        (Some(_), None) => None,
    };
    attempt::end(parts, now, id, failure, Severity::Asked);
}
