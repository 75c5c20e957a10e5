//! What becomes of a task when an attempt at it is over without a result, or when the task is given up.

use std::time::Duration;

use super::attempt::{self, Unfinished};
use crate::model::identity::TaskKey;
use crate::model::outcome::failure::{Failure, FailureKind, Stage};
use crate::model::run_event::RunEvent;
use crate::model::time::Time;
use crate::ports::Severity;
use crate::scheduler::interface::events::{self, Times};
use crate::scheduler::parts::Parts;
use crate::scheduler::processes::workers::{Ending, Phase};
use crate::scheduler::tasks::retry::{self, Failed, Verdict};
use crate::scheduler::tasks::task::TaskState;
use crate::scheduler::timers::Due;

/// An attempt is over without a result.
pub(in crate::scheduler) fn attempt_over(parts: &mut Parts, now: Time, mut over: Unfinished) {
    match over.failure.take() {
        Some(failure) => attempt_failed(parts, now, &over, failure),
        None if parts.stop.is_none() => made_room(parts, now, &over),
        // The task has no outcome: a resume runs it again, and it costs none of its retries.
        None => {}
    }
}

fn attempt_failed(parts: &mut Parts, now: Time, over: &Unfinished, mut failure: Failure) {
    let key = over.task;
    let Some(task) = parts.groups.task_mut(key) else { return };
    let failed = Failed {
        failure: &failure,
        attempt: over.attempt,
        served: over.served,
        died_unheard: over.died_unheard,
        host_oom: over.host_oom,
        lost: over.lost,
        is_pinned: task.pin().is_some(),
        retries: task.limits().retries.unwrap_or(0),
    };
    let is_of_process = failed.is_of_process();
    let verdict = retry::decide(&mut task.spent, &failed, &parts.config.scheduler);
    if let Some(device) = over.lost.filter(|_| !is_of_process) {
        failure.message.push_str(&format!("; {device} was lost"));
    }
    let mut delay = Duration::ZERO;
    match verdict {
        Verdict::GiveUp => return fail_for_good(parts, key, over.attempt, over.times, failure),
        // A resume decides anew; the attempt has cost nothing then.
        _ if parts.stop.is_some() => return,
        Verdict::Again { delay: until_then } => delay = until_then,
        Verdict::MoreMemory => parts.memory.grow_host(task),
        Verdict::LargerShare { alone } => {
            if alone {
                task.take_card_alone();
            }
            parts.memory.grow_card(task);
        }
    }
    try_again(parts, now, over, failure, delay);
}

/// A worker that was not at work is gone, because another task could be.
fn made_room(parts: &mut Parts, now: Time, over: &Unfinished) {
    parts.admission.process_gone();
    let message = if parts.groups.task(over.task).is_some_and(|task| task.moves) {
        "another card was free, and its process is tied to the one that it trained on before"
    } else {
        "its process had to make room for another task before it could train"
    };
    let failure = Failure::new(Stage::Wait, FailureKind::Cancelled, message);
    try_again(parts, now, over, failure, Duration::ZERO);
}

fn try_again(parts: &mut Parts, now: Time, over: &Unfinished, error: Failure, delay: Duration) {
    let (key, device) = (over.task, over.times.trained.map(|(device, _)| device));
    parts.tell_of(key, over.attempt, |subject| events::retried(subject, device, error, false, delay));
    if delay.is_zero() {
        parts.make_ready(key);
    } else if let Some(task) = parts.groups.task_mut(key) {
        task.state = TaskState::Delayed;
        parts.timers.set(Due::Retry(key), now + delay);
    }
}

/// The delay before the next attempt is over.
pub(in crate::scheduler) fn retry_due(parts: &mut Parts, key: TaskKey) {
    if parts.groups.task(key).is_some_and(|task| task.state == TaskState::Delayed) {
        parts.make_ready(key);
    }
}

fn fail_for_good(parts: &mut Parts, key: TaskKey, attempt: u32, times: Times, error: Failure) {
    // That it is skipped is the outcome of the task, whatever its attempt was at.
    if error.kind == FailureKind::Skipped {
        return skip_unstarted(parts, key, &error.message);
    }
    parts.tell_of(key, attempt, |subject| events::failed(subject, times, error));
    parts.groups.end_task(key);
}

/// A task of a group that was just added cannot be run.
pub(in crate::scheduler) fn fail_unstarted(parts: &mut Parts, key: TaskKey, message: &str) {
    let Some(task) = parts.groups.task_mut(key) else { return };
    task.attempts += 1;
    let attempt = task.attempts;
    let failure = Failure::new(Stage::Start, FailureKind::Error, message);
    fail_for_good(parts, key, attempt, Times::default(), failure);
}

/// A task without a process is not to be run.
pub(in crate::scheduler) fn skip_unstarted(parts: &mut Parts, key: TaskKey, reason: &str) {
    let reason = reason.to_owned();
    parts.tell(key, |group, task| RunEvent::TaskSkipped { group, task, reason });
    parts.groups.end_task(key);
}

/// A task is cancelled.
pub(in crate::scheduler) fn cancel(parts: &mut Parts, now: Time, key: TaskKey) {
    let cancelled = |stage| Failure::new(stage, FailureKind::Cancelled, "it was cancelled");
    give_up(parts, now, key, cancelled, Severity::Terminated);
}

/// A task cannot be run after all: it fails, and is not tried again.
pub(in crate::scheduler) fn break_task(parts: &mut Parts, now: Time, key: TaskKey, message: &str) {
    // No retry would change it.
    if let Some(task) = parts.groups.task_mut(key) {
        task.spent.failures = u32::MAX;
    }
    let broken = |stage| Failure::new(stage, FailureKind::Error, message);
    give_up(parts, now, key, broken, Severity::Asked);
}

/// A task is not to be run after all: what has loaded ahead of it is ended.
pub(in crate::scheduler) fn skip_task(parts: &mut Parts, now: Time, key: TaskKey, reason: &str) {
    let skipped = |stage| Failure::new(stage, FailureKind::Skipped, reason);
    give_up(parts, now, key, skipped, Severity::Asked);
}

/// Ends a task that has no outcome yet, wherever it is.
fn give_up(
    parts: &mut Parts,
    now: Time,
    key: TaskKey,
    failure_at: impl Fn(Stage) -> Failure,
    severity: Severity,
) {
    let Some(task) = parts.groups.task_mut(key) else { return };
    match task.state {
        TaskState::Over | TaskState::NotRun(_) => {}
        TaskState::Running(id) => {
            let Some(worker) = parts.workers.get_mut(id) else { return };
            match (&mut worker.phase, parts.stop) {
                // It has failed and is being ended: it is not tried again.
                (Phase::Ending(Ending { failure: Some(failure), .. }), _) => {
                    *failure = failure_at(failure.stage);
                }
                // It makes room for another one, and would start anew.
                (Phase::Ending(Ending { failure, .. }), None) => *failure = Some(failure_at(Stage::Wait)),
                (phase, _) => {
                    if let Some(stage) = phase.stage() {
                        attempt::end(parts, now, id, Some(failure_at(stage)), severity);
                    }
                }
            }
        }
        TaskState::Ready | TaskState::Delayed | TaskState::Postponed => {
            task.attempts = task.attempts.max(1);
            let attempt = task.attempts;
            parts.timers.clear(Due::Retry(key));
            fail_for_good(parts, key, attempt, Times::default(), failure_at(Stage::Start));
        }
    }
}
