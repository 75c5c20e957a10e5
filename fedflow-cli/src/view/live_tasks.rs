//! `LiveTasks`: the part of a run that is under way: the counts of its groups, and the running tasks.
//!
//! [`RunProgress`](fedflow_core::RunProgress) keeps every task of a run. A view runs beside a group of any size, so this
//! fold keeps only the tasks that run.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use fedflow_core::{Device, FailureKind, Name, RunEvent, TaskPhase, Time};

use super::failure_text::made_room;
use super::wording;

/// A fold over the run's events. Its size depends on how many tasks run, not on how many there are.
#[derive(Debug, Default)]
pub(super) struct LiveTasks {
    /// The groups that have started and are not over: the active one, and one that loads ahead.
    groups: VecDeque<LiveGroup>,
    running: HashMap<(Name, Name), LiveTask>,
    /// The number of starts so far.
    started: u64,
}

/// The counts of a group that has started and is not over.
#[derive(Debug, Clone)]
pub(super) struct LiveGroup {
    pub(super) name: Name,
    pub(super) since: Time,
    pub(super) total: u64,
    pub(super) finished: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    pub(super) skipped: u64,
    pub(super) retried: u64,
}

/// A task with a process.
#[derive(Debug, Clone)]
pub(super) struct LiveTask {
    /// The number of its start: running tasks are shown in this order.
    pub(super) order: u64,
    pub(super) phase: TaskPhase,
    /// The beginning of the phase.
    pub(super) since: Time,
    pub(super) workdir: PathBuf,
    /// The devices on which it trains; empty in other phases.
    devices: Vec<Device>,
    /// Steps done, and all steps; `None` until the task reports them, and in other phases than training.
    pub(super) progress: Option<(u64, u64)>,
}

impl LiveTasks {
    /// Applies an event. Returns the task that it ended, if it ended one.
    pub(super) fn apply(&mut self, time: Time, event: &RunEvent) -> Option<LiveTask> {
        match event {
            RunEvent::GroupStarted { group, tasks, .. } => {
                self.groups.push_back(LiveGroup::new(group.clone(), time, tasks.len() as u64));
            }
            RunEvent::GroupFinished { group, .. } => self.groups.retain(|count| count.name != *group),
            RunEvent::TaskStarted { group, task, workdir, .. } => {
                self.started += 1;
                let running = LiveTask {
                    order: self.started,
                    phase: TaskPhase::Starting,
                    since: time,
                    workdir: workdir.into(),
                    devices: Vec::new(),
                    progress: None,
                };
                self.running.insert((group.clone(), task.clone()), running);
            }
            RunEvent::TaskLoading { .. } => self.enter(time, event, TaskPhase::Loading),
            RunEvent::TaskLoaded { .. } => self.enter(time, event, TaskPhase::Waiting),
            RunEvent::TaskTraining { device, devices, .. } => {
                self.enter(time, event, TaskPhase::Training);
                if let Some(task) = self.of(event) {
                    task.devices = if devices.is_empty() { vec![*device] } else { devices.clone() };
                }
            }
            RunEvent::TaskProgress { done, total, .. } => {
                if let Some(task) = self.of(event).filter(|task| task.phase == TaskPhase::Training) {
                    task.progress = Some((*done, *total));
                }
            }
            RunEvent::TaskReleased { .. } => self.enter(time, event, TaskPhase::Ending),
            RunEvent::TaskRetried { data_kept, .. } => {
                self.count(event);
                if *data_kept {
                    self.enter(time, event, TaskPhase::Waiting);
                } else {
                    return self.end(event);
                }
            }
            RunEvent::TaskFinished { .. } | RunEvent::TaskFailed { .. } | RunEvent::TaskSkipped { .. } => {
                self.count(event);
                return self.end(event);
            }
            RunEvent::TaskItem { .. }
            | RunEvent::TaskMemory { .. }
            | RunEvent::TaskLeftRunning { .. }
            | RunEvent::TaskExited { .. }
            | RunEvent::RunStarted { .. }
            | RunEvent::RunFinished { .. } => {}
        }
        None
    }

    /// The active group.
    pub(super) fn group(&self) -> Option<&LiveGroup> {
        self.groups.front()
    }

    /// The counts of a group that has started and is not over.
    pub(super) fn count_of(&self, name: &Name) -> Option<&LiveGroup> {
        self.groups.iter().find(|count| count.name == *name)
    }

    /// The running tasks: those that train first, otherwise in the order of their starts.
    pub(super) fn running(&self) -> Vec<(&Name, &Name, &LiveTask)> {
        let mut all: Vec<_> = self.running.iter().map(|((group, id), task)| (group, id, task)).collect();
        all.sort_unstable_by_key(|(_, _, task)| (task.phase != TaskPhase::Training, task.order));
        all
    }

    /// The time that the active group will still take if its tasks take as long as before.
    pub(super) fn time_left(&self, now: Time) -> Option<Duration> {
        let group = self.group()?;
        let begun: f64 = self
            .running
            .iter()
            .filter(|((name, _), _)| *name == group.name)
            .map(|(_, task)| task.fraction())
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let (done, total) = (group.done() as f64 + begun, group.total as f64);
        if done <= 0.0 || done > total {
            return None;
        }
        Duration::try_from_secs_f64(now.since(group.since).as_secs_f64() * (total - done) / done).ok()
    }

    fn of(&mut self, event: &RunEvent) -> Option<&mut LiveTask> {
        let (group, task, _) = event.task()?;
        self.running.get_mut(&(group.clone(), task.clone()))
    }

    fn enter(&mut self, time: Time, event: &RunEvent, phase: TaskPhase) {
        if let Some(running) = self.of(event) {
            (running.phase, running.since) = (phase, time);
            running.devices.clear();
            running.progress = None;
        }
    }

    fn end(&mut self, event: &RunEvent) -> Option<LiveTask> {
        let (group, task, _) = event.task()?;
        self.running.remove(&(group.clone(), task.clone()))
    }

    fn count(&mut self, event: &RunEvent) {
        let Some((group, _, _)) = event.task() else { return };
        let Some(count) = self.groups.iter_mut().find(|count| count.name == *group) else { return };
        match event {
            RunEvent::TaskFinished { .. } => count.finished += 1,
            RunEvent::TaskFailed { error, .. } if error.kind == FailureKind::Cancelled => {
                count.cancelled += 1;
            }
            RunEvent::TaskFailed { .. } => count.failed += 1,
            RunEvent::TaskSkipped { .. } => count.skipped += 1,
            _ if made_room(event) => {}
            _ => count.retried += 1,
        }
    }
}

impl LiveGroup {
    fn new(name: Name, since: Time, total: u64) -> Self {
        Self { name, since, total, finished: 0, failed: 0, cancelled: 0, skipped: 0, retried: 0 }
    }

    /// The number of tasks with an outcome.
    pub(super) fn done(&self) -> u64 {
        self.finished + self.failed + self.cancelled + self.skipped
    }
}

impl LiveTask {
    /// The devices on which it trains, as a list; empty in other phases.
    pub(super) fn device_list(&self) -> String {
        wording::list(&self.devices)
    }

    /// The part of the training that is done, from 0 to 1.
    pub(super) fn fraction(&self) -> f64 {
        match self.progress {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            Some((done, total)) if total > 0 => (done as f64 / total as f64).min(1.0),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_events::*;
    use super::*;

    #[test]
    fn a_task_is_followed_through_its_life() {
        let mut so_far = LiveTasks::default();
        let phase = |seen: &LiveTasks| seen.running().first().map(|(_, _, task)| task.phase.name());
        so_far.apply(at(0), &group_started("g", 2));
        so_far.apply(at(0), &started("g", "a", 1));
        assert_eq!(phase(&so_far), Some("starting"));
        so_far.apply(at(1), &loading("g", "a", 1));
        assert_eq!(phase(&so_far), Some("loading"));
        so_far.apply(at(2), &loaded("g", "a", 1));
        assert_eq!(phase(&so_far), Some("waiting"));
        so_far.apply(at(3), &training("g", "a", 1, Device::Cuda(1)));
        assert_eq!(so_far.running()[0].2.device_list(), "cuda:1");
        assert_eq!(so_far.time_left(at(4)), None, "nothing is done yet");
        so_far.apply(at(5), &progress("g", "a", 1, 2, 4));
        assert_eq!(so_far.time_left(at(5)), Some(Duration::from_secs(15)));
        let ended = so_far.apply(at(6), &finished("g", "a", 1)).unwrap();
        assert_eq!(ended.workdir, PathBuf::from("/res/g/a"));
        assert!(so_far.running().is_empty());
        assert_eq!(so_far.time_left(at(6)), Some(Duration::from_secs(6)));
    }

    #[test]
    fn a_retry_keeps_the_process_or_not() {
        let mut so_far = LiveTasks::default();
        so_far.apply(at(0), &group_started("g", 2));
        for task in ["a", "b"] {
            so_far.apply(at(0), &started("g", task, 1));
            so_far.apply(at(0), &training("g", task, 1, Device::Cpu));
        }
        so_far.apply(at(1), &retried("g", "a", 1, true));
        so_far.apply(at(1), &retried("g", "b", 1, false));
        let running = so_far.running();
        assert_eq!(running.len(), 1);
        assert_eq!(running[0].2.phase, TaskPhase::Waiting);
        assert_eq!(so_far.group().unwrap().retried, 2);
        assert_eq!(so_far.group().unwrap().done(), 0);
    }

    #[test]
    fn a_task_of_a_later_group_is_not_counted_in_this_one() {
        let mut so_far = LiveTasks::default();
        so_far.apply(at(0), &group_started("g", 1));
        so_far.apply(at(0), &started("h", "a", 1));
        so_far.apply(at(1), &failed("h", "a", 1, "no data"));
        assert_eq!(so_far.group().unwrap().done(), 0);
    }

    #[test]
    fn a_group_that_loads_ahead_is_counted_when_its_turn_comes() {
        let mut so_far = LiveTasks::default();
        so_far.apply(at(0), &group_started("g", 1));
        so_far.apply(at(0), &group_started("h", 1));
        so_far.apply(at(1), &started("h", "a", 1));
        so_far.apply(at(1), &failed("h", "a", 1, "no data"));
        assert_eq!((so_far.group().unwrap().name.as_str(), so_far.group().unwrap().done()), ("g", 0));
        so_far.apply(at(2), &group_finished("g", 1, 0, 0));
        assert_eq!((so_far.group().unwrap().name.as_str(), so_far.group().unwrap().failed), ("h", 1));
    }

    #[test]
    fn events_of_unknown_tasks_change_nothing() {
        let mut so_far = LiveTasks::default();
        for event in [loading("g", "x", 1), progress("g", "x", 1, 1, 2), finished("g", "x", 1)] {
            assert!(so_far.apply(at(0), &event).is_none());
        }
        assert!(so_far.running().is_empty());
    }
}
