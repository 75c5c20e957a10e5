//! Devices for workers that have loaded: which asks next, and what follows when it is refused.

use super::attempt;
use crate::leasing::lease::{LeaseId, LeaseRequest, Unleasable};
use crate::model::device::Device;
use crate::model::identity::WorkerId;
use crate::model::outcome::failure::{Failure, FailureKind, Stage};
use crate::model::time::Time;
use crate::ports::Severity;
use crate::scheduler::devices::lease_pass::{Finding, Refusal};
use crate::scheduler::interface::outbox::Asked;
use crate::scheduler::parts::Parts;
use crate::scheduler::processes::affinity;
use crate::scheduler::processes::workers::{Moving, Phase, Worker};
use crate::scheduler::timers::Due;

/// Asks for a device for the longest waiter that was not asked for in this pass.
pub(in crate::scheduler) fn ask_for_lease(parts: &mut Parts, now: Time) -> bool {
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
            if request.hold {
                parts.lease_pass.note_hold(request.holder);
            }
            parts.outbox.ask(Asked::Lease { worker: id, request });
            return true;
        }
    }
    false
}

/// A lease can be refused for now: it is found out what would have to go for it, or where else the task could train.
pub(in crate::scheduler) fn refused(parts: &mut Parts, now: Time, id: WorkerId, request: LeaseRequest) {
    // Those that have a task by now go last.
    let waiting = parts.workers.iter().rev().filter(|(other, _)| *other != id);
    let idle = parts.kept.leases().chain(waiting.filter_map(|(_, worker)| worker.idle_lease())).collect();
    let moves_from = parts.workers.get(id).filter(|worker| worker.may_move()).and_then(|worker| {
        let is_pinned = parts.groups.task(worker.task)?.pin().is_some();
        worker.process.card.filter(|_| !is_pinned && !parts.lease_pass.is_met_nowhere(&request))
    });
    let others = moves_from.map_or_else(Vec::new, |card| {
        let allowed = parts.devices.allowed(None);
        parts.devices.names_of_cards(allowed).filter(|device| *device != card).collect()
    });
    let finding = Refusal::begin(id, request.clone(), idle, others);
    found(parts, now, id, request, finding);
}

/// Something was found out about a refused lease.
pub(in crate::scheduler) fn found(
    parts: &mut Parts,
    now: Time,
    id: WorkerId,
    request: LeaseRequest,
    finding: Finding,
) {
    let is_over = match finding {
        Finding::AskOn(refusal) => return parts.outbox.ask(Asked::Room(refusal)),
        Finding::InTheWay(lease) => {
            // A process that only holds memory of a card makes room; then it is tried again.
            let_lease_go(parts, now, lease);
            false
        }
        Finding::Elsewhere { free } => {
            let tied_to = parts.workers.get(id).and_then(|worker| worker.process.card);
            if let Some(card) = tied_to.filter(|_| !parts.workers.any_training()) {
                return parts.outbox.ask(Asked::OthersTrain { worker: id, request, card, free });
            }
            look_elsewhere(parts, now, id, &request, &free)
        }
    };
    if !is_over {
        parts.lease_pass.note_refused(&request);
    }
}

/// A worker was refused the card to which it is tied, no idle process is in the way, and no task trains there that could make
/// room at its end, of this run or another. Says whether the worker is ended.
pub(in crate::scheduler) fn give_up_card(
    parts: &mut Parts,
    now: Time,
    id: WorkerId,
    request: &LeaseRequest,
) -> bool {
    let Some(worker) = parts.workers.get(id) else { return false };
    if worker.trained.is_some() {
        // It waits with its data for a larger share of its card, and holds some of it: it is itself in the way. A new process
        // can have the share.
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
    request.estimated
}

/// A worker was refused the card to which it is tied, while others could take its task. Says whether it starts anew.
pub(in crate::scheduler) fn look_elsewhere(
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
pub(in crate::scheduler) fn never_leased(parts: &mut Parts, now: Time, id: WorkerId, reason: &Unleasable) {
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
