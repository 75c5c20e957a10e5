//! The scheduler's rules about itself, checked after every step of every test: that what is kept in two places agrees, and
//! that no limit is broken.

use super::parts::Parts;
use super::processes::workers::{Moving, Phase, Worker};
use super::tasks::task::TaskState;
use super::timers::Due;

/// # Errors
/// Says which rule is broken.
pub(super) fn check(parts: &Parts) -> Result<(), String> {
    parts.groups.check()?;
    parts.kept.check()?;
    parts.timers.check()?;
    check_limits(parts)?;
    check_ladder(parts)?;
    for (id, worker) in parts.workers.iter() {
        let Some(task) = parts.groups.task(worker.task) else {
            return Err(format!("worker {id:?} is at a task of no group"));
        };
        let belongs = match worker.phase {
            Phase::Exiting => task.state == TaskState::Over,
            _ => task.state == TaskState::Running(id) || task.state == TaskState::Over,
        };
        if !belongs {
            return Err(format!("worker {id:?} is at a task that is {:?}", task.state));
        }
        if worker.is_training() && worker.task.group != parts.groups.active() {
            return Err(format!("worker {id:?} trains before its group is active"));
        }
    }
    for (key, task) in parts.groups.tasks() {
        // What a stop has ended stays open for a resume.
        if parts.stop.is_none()
            && let TaskState::Running(id) = task.state
            && parts.workers.get(id).is_none_or(|worker| worker.task != key)
        {
            return Err(format!("task {key:?} runs in worker {id:?}, which is not at it"));
        }
    }
    check_leases(parts)?;
    check_timers(parts)
}

/// Each task that trains is booked as the holder of its lease, and devices are kept back for what waits for them alone.
fn check_leases(parts: &Parts) -> Result<(), String> {
    for (lease, key) in parts.memory.holders() {
        if parts.groups.task(key).is_some_and(|task| task.account().lease != Some(lease)) {
            return Err(format!("task {key:?} is booked as the holder of {lease:?}"));
        }
        let has_it = |worker: &Worker| worker.task == key && worker.lease() == Some(lease);
        if !parts.workers.any(has_it) {
            return Err(format!(
                "task {key:?} is booked as the holder of {lease:?}, which none of its workers has"
            ));
        }
    }
    for (id, worker) in parts.workers.iter() {
        if let Phase::Training(lease) = &worker.phase
            && parts.memory.holder(lease.id) != Some(worker.task)
        {
            return Err(format!(
                "worker {id:?} trains with {:?}, which is not booked for its task",
                lease.id
            ));
        }
    }
    let waits = |worker: &Worker| matches!(worker.phase, Phase::Waiting { .. });
    if let Some(key) = parts.lease_pass.held_for()
        && !parts.workers.any(|worker| worker.task == key && waits(worker))
    {
        return Err(format!("devices are kept back for task {key:?}, which does not wait for them"));
    }
    Ok(())
}

/// A worker moves, and a task is delayed, as long as a timer runs for it.
fn check_timers(parts: &Parts) -> Result<(), String> {
    for (id, worker) in parts.workers.iter() {
        let moves = matches!(worker.phase, Phase::Waiting { moving: Moving::Soon, .. });
        if moves != parts.timers.is_set(Due::Move(id)) {
            return Err(format!("worker {id:?} moves: {moves}, and its timer says otherwise"));
        }
    }
    for (key, task) in parts.groups.tasks() {
        let is_delayed = task.state == TaskState::Delayed;
        if is_delayed && !parts.timers.is_set(Due::Retry(key)) {
            return Err(format!("task {key:?} is delayed, and nothing ends that"));
        }
    }
    Ok(())
}

fn check_limits(parts: &Parts) -> Result<(), String> {
    let processes = parts.workers.len() + parts.kept.len();
    if processes > parts.config.scheduler.max_process as usize {
        return Err(format!("{processes} processes"));
    }
    // One that waits again with its data after an out-of-memory was not started for that: it does not count.
    let may_load =
        |worker: &Worker| worker.admitted.is_some() && worker.is_ahead() && worker.trained.is_none();
    for (_, worker) in parts.workers.iter() {
        let (group, fit) = (worker.task.group, worker.fit);
        let same = |other: &Worker| other.task.group == group && other.fit == fit;
        let ahead = parts.workers.count(|other| same(other) && may_load(other));
        // What is learned may show that workers fit the same devices which did not seem to when they started.
        if ahead > parts.config.scheduler.max_waiting && !parts.config.scheduler.auto_adjust {
            return Err(format!("{ahead} workers of group {group} load or wait for the same devices"));
        }
    }
    Ok(())
}

/// Each process that is being ended is on the ladder, and no other.
fn check_ladder(parts: &Parts) -> Result<(), String> {
    let ending = parts.workers.iter().filter(|(_, worker)| worker.phase.stage().is_none()).map(|(id, _)| id);
    let leaving = parts.kept.leaving_ids();
    let mut count = 0;
    for id in ending.chain(leaving) {
        if !parts.ladder.contains(id) {
            return Err(format!("worker {id:?} is being ended, and nothing sees to it"));
        }
        count += 1;
    }
    if count != parts.ladder.len() {
        return Err(format!("{count} processes are being ended, booked are {}", parts.ladder.len()));
    }
    Ok(())
}
