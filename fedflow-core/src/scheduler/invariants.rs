//! The scheduler's rules about itself, checked after every step of every test: that what is kept in two places agrees, and
//! that no limit is broken.

use super::parts::Parts;
use super::processes::workers::{Phase, Worker};
use super::tasks::task::TaskState;

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
    for (lease, key) in parts.memory.holders() {
        if parts.groups.task(key).is_some_and(|task| task.account().lease != Some(lease)) {
            return Err(format!("task {key:?} is booked as the holder of {lease:?}"));
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
        let group = worker.task.group;
        let ahead = parts.workers.count(|other| other.task.group == group && may_load(other));
        if ahead > parts.config.scheduler.max_waiting {
            return Err(format!("{ahead} workers of group {group} load or wait"));
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
