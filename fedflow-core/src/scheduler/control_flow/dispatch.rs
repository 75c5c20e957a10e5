//! What may go on now: leases for workers that have loaded, loading for those that are up, starts for tasks that are
//! ready, in this order. It reads from top to bottom.

use super::attempt;
use super::device_requests;
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::quantity::Size;
use crate::model::time::Time;
use crate::ports::Severity;
use crate::scheduler::admission::{self, EnoughProcesses, HostRoom};
use crate::scheduler::devices::device_set::Fit;
use crate::scheduler::interface::output::SchedulerOutput;
use crate::scheduler::parts::Parts;
use crate::scheduler::processes::affinity::CardUse;
use crate::scheduler::processes::kept_processes::Taken;
use crate::scheduler::processes::process::Process;
use crate::scheduler::processes::workers::{Phase, Worker};
use crate::scheduler::tasks::account::Estimate;
use crate::scheduler::tasks::demand::Demand;
use crate::scheduler::tasks::groups::ReadyTask;
use crate::scheduler::timers::Due;

/// How many processes are started ahead of need: up and past their handshake when the host gets room for them, or when
/// one more task may be ahead of the devices. So many for each set of devices that tasks fit.
const SPARE: u32 = 2;

/// Does the next thing that may be done. False if there is none now.
pub(in crate::scheduler) fn go_on(parts: &mut Parts, now: Time) -> bool {
    parts.refit();
    device_requests::ask_for_lease(parts, now) || load(parts, now) || admit(parts, now) || start(parts, now)
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

/// Admits one spare worker, if one more may be ahead of its devices and the host has room for it.
fn admit(parts: &mut Parts, now: Time) -> bool {
    let Some((id, key)) = first_spare(parts) else { return false };
    let Some(task) = parts.groups.task(key) else { return false };
    let memory = parts.memory.host(task);
    if !has_room(parts, now, memory.size, key.group) {
        return false;
    }
    attempt::admit_spare(parts, now, id, memory);
    true
}

/// The spare worker that is up and should load next: of the first group, and among its workers the one whose devices are
/// supplied worst.
fn first_spare(parts: &Parts) -> Option<(WorkerId, TaskKey)> {
    let up = |worker: &&Worker| matches!(worker.phase, Phase::Available { .. }) && worker.admitted.is_none();
    let spares = parts.workers.iter().filter(|(_, worker)| up(worker));
    let may_load: Vec<_> = spares.filter(|(_, worker)| parts.worker_may_load(worker)).collect();
    let group = may_load.iter().map(|(_, worker)| worker.task.group).min()?;
    let supply = parts.supply(group);
    let of_group = may_load.into_iter().filter(|(_, worker)| worker.task.group == group);
    let in_order = of_group.filter_map(|(id, worker)| match worker.phase {
        Phase::Available { place } => Some((supply.level(worker.fit), place, id, worker.task)),
        _ => None,
    });
    in_order.min().map(|(.., id, key)| (id, key))
}

/// What the process of a task is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The task may load at once.
    ToLoad,
    /// It is up when the task may load.
    Spare,
}

/// Starts one task, if the limits allow it. A process that is started ahead of need comes last: it must not have the place
/// of one that a device waits for.
fn start(parts: &mut Parts, now: Time) -> bool {
    start_for(parts, now, Purpose::ToLoad) || start_for(parts, now, Purpose::Spare)
}

fn start_for(parts: &mut Parts, now: Time, purpose: Purpose) -> bool {
    let mut tried: Vec<Demand> = Vec::new();
    while let Some((key, ready)) = parts.first_ready(&tried) {
        if start_task(parts, now, key, &ready, purpose) {
            return true;
        }
        if ready.is_only {
            return false;
        }
        // Others fit other devices: these must not be idle as the first ones are supplied.
        tried.push(ready.demand);
    }
    false
}

/// Starts a task, if the limits allow it. Says whether anything was done.
fn start_task(parts: &mut Parts, now: Time, key: TaskKey, ready: &ReadyTask, purpose: Purpose) -> bool {
    if postpone(parts, key, ready.rank) {
        return true;
    }
    let Some(task) = parts.groups.task(key) else { return false };
    let (policy, memory) = (task.keep.clone(), parts.memory.host(task));
    let has_data = policy.as_deref().is_some_and(|policy| parts.kept.has_data_for(policy));
    let is_served = policy.as_deref().is_some_and(|policy| policy.allows_reuse() || has_data);
    let (loads, fit) = (task.loads(), parts.fit(task, None));
    // It may stand where a kept process is tied to, and fits more devices in a new one.
    if policy.is_some() && ready.fit != fit {
        let ahead = parts.workers.ahead(key.group, ready.fit);
        if parts.may_load(parts.candidate(task, ready.fit), key.group, ahead)
            && (has_data || ahead.spares < SPARE)
            && hand_over(parts, now, key, ready.fit, memory)
        {
            return true;
        }
    }
    let Some(task) = parts.groups.task(key) else { return false };
    let ahead = parts.workers.ahead(key.group, fit);
    let may_load = parts.may_load(parts.candidate(task, fit), key.group, ahead);
    let room_for_spare = ahead.spares < SPARE;
    if policy.is_some() && may_load {
        if (has_data || room_for_spare) && hand_over(parts, now, key, fit, memory) {
            return true;
        }
        if waits_for_reuse(parts, now, key, fit) {
            return false;
        }
    }
    // Beyond those that may load, a process is started ahead of need where that saves anything.
    let is_spare = !may_load;
    if is_spare && !(purpose == Purpose::Spare && loads && !is_served && room_for_spare) {
        return false;
    }
    if parts.has_all_processes() {
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
fn hand_over(parts: &mut Parts, now: Time, key: TaskKey, fit: Fit, memory: Estimate) -> bool {
    let Some(task) = parts.groups.task(key) else { return false };
    let most = parts.admission.wanted_ahead_of_each(parts.candidate(task, fit));
    // In a process that is tied to a card the task counts for that card alone.
    let card_use = |card| {
        let tied = parts.fit(task, card);
        let ahead = parts.workers.ahead(key.group, tied);
        let may = tied == fit || parts.may_load(parts.candidate(task, tied), key.group, ahead);
        may.then(|| CardUse::of(card, &parts.workers))
    };
    let found = parts.kept.find_for(task, card_use, most);
    let Some(Taken { from, process, has_data }) = found.and_then(|found| parts.kept.take(found)) else {
        return false;
    };
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

/// Whether a task should not have a new process, as there are enough that serve one task after the other: as many as the
/// devices need, and one more.
///
/// How many they need depends on how long tasks load and train. Until that is known, one more is started each time that
/// devices were idle for as long as a start takes, while every process loads.
fn waits_for_reuse(parts: &mut Parts, now: Time, key: TaskKey, fit: Fit) -> bool {
    let Some(task) = parts.groups.task(key).filter(|task| !task.moves) else { return false };
    if !(parts.kept.any_to_reuse(task) || parts.any_that_will_serve(key, task)) {
        return false;
    }
    if !parts.admission.is_sooner_free_than_up() && parts.supply(key.group).level(fit) == 0 {
        return false;
    }
    let candidate = parts.candidate(task, fit);
    let training = parts.training_on(fit);
    let ahead = parts.workers.ahead_of_any(key.group, fit).count();
    let EnoughProcesses { count, loading, is_known } = parts.admission.enough_processes(candidate);
    // A process may be there, but its card has enough ahead. So may each other one.
    let is_in_hand = ahead >= loading.max(1) as usize && parts.kept.any_to_reuse(task);
    if ahead + training < count as usize && !is_in_hand {
        return false;
    }
    let room = admission::room(task, candidate.card, fit, &parts.devices);
    if is_known || training >= room as usize {
        return true;
    }
    match all_load_until(parts.workers.ahead_of_any(key.group, fit)) {
        Some(time) if time <= now => false,
        Some(time) => {
            parts.timers.set(Due::Start, time);
            true
        }
        None => true,
    }
}

/// When each of these workers will have loaded for as long as the start of its process took; `None` if one does not load.
fn all_load_until<'w>(mut workers: impl Iterator<Item = &'w Worker>) -> Option<Time> {
    workers.try_fold(Time::ZERO, |latest, worker| {
        let loads = matches!(worker.phase, Phase::Loading);
        loads.then(|| latest.max(worker.entered + worker.process.start_cost.startup_time))
    })
}

fn admit_if_room(parts: &mut Parts, now: Time, id: WorkerId, memory: Estimate, group: u32) {
    // Those that are up already, and only wait for room, come first.
    let comes_first = |other: WorkerId, worker: &Worker| {
        let is_spare = worker.admitted.is_none() && worker.is_ahead() && worker.task.group <= group;
        other != id && is_spare && parts.worker_may_load(worker)
    };
    let any_first = parts.workers.iter().any(|(other, worker)| comes_first(other, worker));
    if !any_first && has_room(parts, now, memory.size, group) {
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
