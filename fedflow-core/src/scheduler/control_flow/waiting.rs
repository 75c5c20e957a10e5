//! What a run waits for while devices of it are idle, so that it never waits silently. A task that waits for others of its
//! run is told in no such way: that is what queues are for.

use crate::leasing::lease::LeaseRequest;
use crate::model::device::Pin;
use crate::model::identity::TaskKey;
use crate::model::time::Time;
use crate::ports::{Obstacle, Wait, WaitCause};
use crate::scheduler::admission::HostRoom;
use crate::scheduler::interface::outbox::Asked;
use crate::scheduler::interface::output::SchedulerOutput;
use crate::scheduler::parts::Parts;
use crate::scheduler::processes::workers::{Phase, Worker};
use crate::scheduler::standstill::{Change, Lack, TOLD_AFTER};
use crate::scheduler::timers::Due;

/// Looks whether the run waits, when there is nothing left to do. Says whether there is something to show.
pub(in crate::scheduler) fn review(parts: &mut Parts, now: Time) -> bool {
    let lacking = lacking(parts);
    let was_told = match (parts.standstill.observe(now, lacking.map(|(lack, _)| lack)), lacking) {
        (Change::IsDue, Some((lack, key))) => return tell(parts, lack, key),
        (Change::Begins { was_told }, _) => {
            parts.timers.set(Due::Wait, now + TOLD_AFTER);
            was_told
        }
        (Change::Ends { was_told }, _) => {
            parts.timers.clear(Due::Wait);
            was_told
        }
        _ => false,
    };
    if was_told {
        parts.outbox.push(SchedulerOutput::Waits(None));
    }
    was_told
}

/// A device was refused. What is in the way may be something else than what was told.
pub(in crate::scheduler) fn refused(parts: &mut Parts, now: Time) {
    if parts.standstill.looks_again() {
        parts.timers.set(Due::Wait, now + TOLD_AFTER);
    }
}

/// What the run lacks, and the task that waits for it.
fn lacking(parts: &mut Parts) -> Option<(Lack, TaskKey)> {
    if parts.stop.is_some() {
        return None;
    }
    let (active, workers) = (parts.groups.active(), &parts.workers);
    // What is ending gives something back.
    let is_ending = workers.any(|worker| worker.phase.stage().is_none()) || parts.kept.any_leaving();
    if !is_ending
        && !workers.any_training()
        && let Some(worker) = workers.first_waiting(active).and_then(|id| workers.get(id))
    {
        return Some((Lack::Devices, worker.task));
    }
    let at_work = workers.count(|worker| worker.admitted.is_some() && worker.phase.stage().is_some());
    if at_work >= parts.devices.count(parts.devices.allowed(None)) {
        return None;
    }
    let not_admitted = |worker: &Worker| {
        let is_up = matches!(worker.phase, Phase::Available { .. });
        worker.task.group == active && worker.admitted.is_none() && is_up
    };
    if let Some((_, worker)) = workers.iter().find(|(_, worker)| not_admitted(worker)) {
        let task = parts.groups.task(worker.task)?;
        if !parts.worker_may_load(worker) {
            return None;
        }
        return match parts.admission.room(parts.memory.host(task).size, workers.reserved()) {
            HostRoom::Enough => None,
            HostRoom::NoMemory | HostRoom::Unknown => Some((Lack::HostMemory, worker.task)),
            HostRoom::Busy => Some((Lack::Processors, worker.task)),
        };
    }
    let is_delayed = !parts.admission.processors_free() && workers.any_busy();
    if let Some(worker) = workers.first_available().filter(|_| is_delayed).and_then(|id| workers.get(id)) {
        return Some((Lack::Processors, worker.task));
    }
    if !parts.has_all_processes() || is_ending {
        return None;
    }
    let (key, ready) = parts.first_ready(&[]).filter(|(key, _)| key.group == active)?;
    let task = parts.groups.task(key)?;
    let ahead = parts.workers.ahead(key.group, ready.fit);
    let may_load = parts.may_load(parts.candidate(task, ready.fit), key.group, ahead);
    may_load.then_some((Lack::Processes, key))
}

/// Has it told what the run lacks, for which this task waits. Says whether anything follows.
fn tell(parts: &mut Parts, lack: Lack, key: TaskKey) -> bool {
    let cause = match lack {
        Lack::Devices => {
            let waiting = parts.workers.first_waiting(key.group);
            let waiting = waiting.and_then(|id| Some((id, parts.workers.get(id)?)));
            let request = waiting.and_then(|(id, worker)| parts.lease_request(id, worker));
            let asked = request.map(|request| Asked::Obstacles { task: key, request });
            let is_asked = asked.is_some();
            asked.into_iter().for_each(|asked| parts.outbox.ask(asked));
            return is_asked;
        }
        Lack::HostMemory => {
            let Some(task) = parts.groups.task(key) else { return false };
            let (asked, reserved) = (parts.memory.host(task).size, parts.workers.reserved());
            let memory = parts.admission.memory();
            memory.map(|(available, kept_free)| WaitCause::HostMemory {
                asked,
                available,
                kept_free,
                reserved,
            })
        }
        Lack::Processors => {
            parts.admission.processors().map(|(busy, limit)| WaitCause::Processors { busy, limit })
        }
        Lack::Processes => Some(WaitCause::Processes { limit: parts.config.scheduler.max_process }),
    };
    cause.is_some_and(|cause| show(parts, key, cause))
}

/// It is known what is in the way of a task's request.
pub(in crate::scheduler) fn found(
    parts: &mut Parts,
    task: TaskKey,
    request: &LeaseRequest,
    obstacles: Vec<Obstacle>,
) {
    let is_on_cpu = request.pin.as_ref().is_some_and(Pin::is_cpu);
    let memory = (parts.devices.any_with_memory() && !is_on_cpu).then_some(request.memory);
    show(parts, task, WaitCause::Devices { number: request.devices, memory, obstacles });
}

/// Shows a cause, unless it is shown already.
fn show(parts: &mut Parts, key: TaskKey, cause: WaitCause) -> bool {
    let names = parts.groups.names(key).zip(parts.standstill.since());
    let wait = names.map(|((group, task), since)| Wait { group, task, since, cause, is_news: true });
    let told = wait.and_then(|wait| parts.standstill.tell(wait));
    let is_told = told.is_some();
    told.into_iter().for_each(|wait| parts.outbox.push(SchedulerOutput::Waits(Some(wait))));
    is_told
}
