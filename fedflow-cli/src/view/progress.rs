//! `RunProgress`: the state of a run as the views need it: the counts of its groups, and the running tasks.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use fedflow_core::{Device, FailureKind, Name, RunEvent, Time};

use super::failure_text::made_room;
use super::wording;

/// A fold over the run's events. Its size depends on how many tasks run, not on how many there are.
#[derive(Debug, Default)]
pub(super) struct RunProgress {
    /// The groups that have started and are not over: the active one, and one that loads ahead.
    groups: VecDeque<GroupProgress>,
    running: HashMap<(Name, Name), RunningTask>,
    /// The number of starts so far.
    started: u64,
}

/// The counts of a group that has started and is not over.
#[derive(Debug, Clone)]
pub(super) struct GroupProgress {
    pub(super) name: Name,
    pub(super) since: Time,
    pub(super) total: u64,
    pub(super) finished: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    pub(super) retried: u64,
}

/// A task with a process.
#[derive(Debug, Clone)]
pub(super) struct RunningTask {
    /// The number of its start: running tasks are shown in this order.
    pub(super) order: u64,
    pub(super) phase: TaskPhase,
    /// The beginning of the phase.
    pub(super) since: Time,
    pub(super) workdir: PathBuf,
}

/// The phase of a running task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TaskPhase {
    /// Its process is being started.
    Starting,
    Loading,
    /// Waits for a device.
    Waiting,
    Training {
        devices: Vec<Device>,
        /// Steps done, and all steps; `None` until the task reports them.
        progress: Option<(u64, u64)>,
    },
    /// The device is given back and the outcome is being recorded.
    Ending,
}

impl RunProgress {
    /// Applies an event. Returns the task that it ended, if it ended one.
    pub(super) fn apply(&mut self, time: Time, event: &RunEvent) -> Option<RunningTask> {
        match event {
            RunEvent::GroupStarted { group, tasks, .. } => {
                self.groups.push_back(GroupProgress::new(group.clone(), time, tasks.len() as u64));
            }
            RunEvent::GroupFinished { group, .. } => self.groups.retain(|count| count.name != *group),
            RunEvent::TaskStarted { group, task, workdir, .. } => {
                self.started += 1;
                let running = RunningTask {
                    order: self.started,
                    phase: TaskPhase::Starting,
                    since: time,
                    workdir: workdir.into(),
                };
                self.running.insert((group.clone(), task.clone()), running);
            }
            RunEvent::TaskLoading { .. } => self.enter(time, event, TaskPhase::Loading),
            RunEvent::TaskLoaded { .. } => self.enter(time, event, TaskPhase::Waiting),
            RunEvent::TaskTraining { device, devices, .. } => {
                let devices = if devices.is_empty() { vec![*device] } else { devices.clone() };
                self.enter(time, event, TaskPhase::Training { devices, progress: None });
            }
            RunEvent::TaskProgress { done, total, .. } => {
                if let Some(RunningTask { phase: TaskPhase::Training { progress, .. }, .. }) = self.of(event)
                {
                    *progress = Some((*done, *total));
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
            RunEvent::TaskFinished { .. } | RunEvent::TaskFailed { .. } => {
                self.count(event);
                return self.end(event);
            }
            RunEvent::TaskItem { .. }
            | RunEvent::TaskMemory { .. }
            | RunEvent::TaskExited { .. }
            | RunEvent::RunStarted { .. }
            | RunEvent::RunFinished { .. } => {}
        }
        None
    }

    /// The active group.
    pub(super) fn group(&self) -> Option<&GroupProgress> {
        self.groups.front()
    }

    /// The counts of a group that has started and is not over.
    pub(super) fn count_of(&self, name: &Name) -> Option<&GroupProgress> {
        self.groups.iter().find(|count| count.name == *name)
    }

    /// The running tasks: those that train first, otherwise in the order of their starts.
    pub(super) fn running(&self) -> Vec<(&Name, &Name, &RunningTask)> {
        let mut all: Vec<_> = self.running.iter().map(|((group, id), task)| (group, id, task)).collect();
        all.sort_unstable_by_key(|(_, _, task)| {
            (!matches!(task.phase, TaskPhase::Training { .. }), task.order)
        });
        all
    }

    /// The time that the active group will still take if its tasks take as long as before.
    pub(super) fn time_left(&self, now: Time) -> Option<Duration> {
        let group = self.group()?;
        let begun: f64 = self
            .running
            .iter()
            .filter(|((name, _), _)| *name == group.name)
            .map(|(_, task)| task.phase.fraction())
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let (done, total) = (group.done() as f64 + begun, group.total as f64);
        if done <= 0.0 || done > total {
            return None;
        }
        Duration::try_from_secs_f64(now.since(group.since).as_secs_f64() * (total - done) / done).ok()
    }

    fn of(&mut self, event: &RunEvent) -> Option<&mut RunningTask> {
        let (group, task, _) = event.task()?;
        self.running.get_mut(&(group.clone(), task.clone()))
    }

    fn enter(&mut self, time: Time, event: &RunEvent, phase: TaskPhase) {
        if let Some(running) = self.of(event) {
            running.phase = phase;
            running.since = time;
        }
    }

    fn end(&mut self, event: &RunEvent) -> Option<RunningTask> {
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
            _ if made_room(event) => {}
            _ => count.retried += 1,
        }
    }
}

impl GroupProgress {
    fn new(name: Name, since: Time, total: u64) -> Self {
        Self { name, since, total, finished: 0, failed: 0, cancelled: 0, retried: 0 }
    }

    /// The number of tasks with an outcome.
    pub(super) fn done(&self) -> u64 {
        self.finished + self.failed + self.cancelled
    }
}

impl TaskPhase {
    /// The name of the phase.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Loading => "loading",
            Self::Waiting => "waiting",
            Self::Training { .. } => "training",
            Self::Ending => "ending",
        }
    }

    /// The devices that the task holds, as a list.
    pub(super) fn devices(&self) -> String {
        match self {
            Self::Training { devices, .. } => wording::list(devices),
            _ => String::new(),
        }
    }

    /// The part of the training that is done, from 0 to 1.
    pub(super) fn fraction(&self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            Self::Training { progress: Some((done, total)), .. } if *total > 0 => {
                (*done as f64 / *total as f64).min(1.0)
            }
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
        let mut so_far = RunProgress::default();
        let phase = |seen: &RunProgress| seen.running().first().map(|(_, _, task)| task.phase.name());
        so_far.apply(at(0), &group_started("g", 2));
        so_far.apply(at(0), &started("g", "a", 1));
        assert_eq!(phase(&so_far), Some("starting"));
        so_far.apply(at(1), &loading("g", "a", 1));
        assert_eq!(phase(&so_far), Some("loading"));
        so_far.apply(at(2), &loaded("g", "a", 1));
        assert_eq!(phase(&so_far), Some("waiting"));
        so_far.apply(at(3), &training("g", "a", 1, Device::Cuda(1)));
        assert_eq!(so_far.running()[0].2.phase.devices(), "cuda:1");
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
        let mut so_far = RunProgress::default();
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
        let mut so_far = RunProgress::default();
        so_far.apply(at(0), &group_started("g", 1));
        so_far.apply(at(0), &started("h", "a", 1));
        so_far.apply(at(1), &failed("h", "a", 1, "no data"));
        assert_eq!(so_far.group().unwrap().done(), 0);
    }

    #[test]
    fn a_group_that_loads_ahead_is_counted_when_its_turn_comes() {
        let mut so_far = RunProgress::default();
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
        let mut so_far = RunProgress::default();
        for event in [loading("g", "x", 1), progress("g", "x", 1, 1, 2), finished("g", "x", 1)] {
            assert!(so_far.apply(at(0), &event).is_none());
        }
        assert!(so_far.running().is_empty());
    }
}
