//! `Board`: what a view knows of the run while it goes on: the current group's counts and the running tasks.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use fedflow_core::{Device, FailureKind, Name, RunEvent, Time};

use super::incident::made_room;
use super::text;

/// A fold over the run's events. Its size depends on what runs, not on how many tasks there are.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// The groups that have begun and are not over: the one whose turn it is, and one that loads ahead.
    groups: VecDeque<GroupCount>,
    running: HashMap<(Name, Name), Running>,
    started: u64,
}

/// The counts of a group that is being executed.
#[derive(Debug, Clone)]
pub(super) struct GroupCount {
    pub(super) name: Name,
    pub(super) since: Time,
    pub(super) total: u64,
    pub(super) finished: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    pub(super) retried: u64,
}

/// A task whose process lives, as far as is known.
#[derive(Debug, Clone)]
pub(super) struct Running {
    /// Counts the starts: the order of running tasks.
    pub(super) order: u64,
    pub(super) phase: Phase,
    /// When the phase began.
    pub(super) since: Time,
    pub(super) workdir: PathBuf,
}

/// What a running task does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its process is being started.
    Starting,
    Loading,
    /// For a device.
    Waiting,
    Training {
        devices: Vec<Device>,
        /// Steps done, and steps in all.
        progress: Option<(u64, u64)>,
    },
    /// The device is given back; the outcome is being recorded.
    Ending,
}

impl Board {
    /// Takes what happened. Returns the task that does not run any more, if there is one now.
    pub(super) fn apply(&mut self, time: Time, event: &RunEvent) -> Option<Running> {
        match event {
            RunEvent::GroupStarted { group, tasks, .. } => {
                self.groups.push_back(GroupCount::new(group.clone(), time, tasks.len() as u64));
            }
            RunEvent::GroupFinished { group, .. } => self.groups.retain(|count| count.name != *group),
            RunEvent::TaskStarted { group, task, workdir, .. } => {
                self.started += 1;
                let running = Running {
                    order: self.started,
                    phase: Phase::Starting,
                    since: time,
                    workdir: workdir.into(),
                };
                self.running.insert((group.clone(), task.clone()), running);
            }
            RunEvent::TaskLoading { .. } => self.enter(time, event, Phase::Loading),
            RunEvent::TaskLoaded { .. } => self.enter(time, event, Phase::Waiting),
            RunEvent::TaskTraining { device, devices, .. } => {
                let devices = if devices.is_empty() { vec![*device] } else { devices.clone() };
                self.enter(time, event, Phase::Training { devices, progress: None });
            }
            RunEvent::TaskProgress { done, total, .. } => {
                if let Some(Running { phase: Phase::Training { progress, .. }, .. }) = self.of(event) {
                    *progress = Some((*done, *total));
                }
            }
            RunEvent::TaskReleased { .. } => self.enter(time, event, Phase::Ending),
            RunEvent::TaskRetried { data_kept, .. } => {
                self.count(event);
                if *data_kept {
                    self.enter(time, event, Phase::Waiting);
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

    /// The group whose turn it is.
    pub(super) fn group(&self) -> Option<&GroupCount> {
        self.groups.front()
    }

    /// The counts of a group that has begun and is not over.
    pub(super) fn count_of(&self, name: &Name) -> Option<&GroupCount> {
        self.groups.iter().find(|count| count.name == *name)
    }

    /// The running tasks, those that train first, and then in the order in which they were started.
    pub(super) fn running(&self) -> Vec<(&Name, &Name, &Running)> {
        let mut all: Vec<_> = self.running.iter().map(|((group, task), it)| (group, task, it)).collect();
        all.sort_unstable_by_key(|(_, _, it)| (!matches!(it.phase, Phase::Training { .. }), it.order));
        all
    }

    /// How long the current group will go on, if its tasks take as long as they took so far.
    pub(super) fn time_left(&self, now: Time) -> Option<Duration> {
        let group = self.group()?;
        let begun: f64 = self
            .running
            .iter()
            .filter(|((name, _), _)| *name == group.name)
            .map(|(_, it)| it.phase.fraction())
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let (done, total) = (group.done() as f64 + begun, group.total as f64);
        if done <= 0.0 || done > total {
            return None;
        }
        Duration::try_from_secs_f64(now.since(group.since).as_secs_f64() * (total - done) / done).ok()
    }

    fn of(&mut self, event: &RunEvent) -> Option<&mut Running> {
        let (group, task, _) = event.task()?;
        self.running.get_mut(&(group.clone(), task.clone()))
    }

    fn enter(&mut self, time: Time, event: &RunEvent, phase: Phase) {
        if let Some(running) = self.of(event) {
            running.phase = phase;
            running.since = time;
        }
    }

    fn end(&mut self, event: &RunEvent) -> Option<Running> {
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

impl GroupCount {
    fn new(name: Name, since: Time, total: u64) -> Self {
        Self { name, since, total, finished: 0, failed: 0, cancelled: 0, retried: 0 }
    }

    /// How many tasks have their outcome.
    pub(super) fn done(&self) -> u64 {
        self.finished + self.failed + self.cancelled
    }
}

impl Phase {
    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Loading => "loading",
            Self::Waiting => "waiting",
            Self::Training { .. } => "training",
            Self::Ending => "ending",
        }
    }

    /// The devices that it holds, as a list.
    pub(super) fn devices(&self) -> String {
        match self {
            Self::Training { devices, .. } => text::list(devices),
            _ => String::new(),
        }
    }

    /// How much of the training is done, from 0 to 1.
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
    use super::super::made_up::*;
    use super::*;

    #[test]
    fn a_task_is_followed_through_its_life() {
        let mut board = Board::default();
        let phase = |board: &Board| board.running().first().map(|(_, _, it)| it.phase.name());
        board.apply(at(0), &group_started("g", 2));
        board.apply(at(0), &started("g", "a", 1));
        assert_eq!(phase(&board), Some("starting"));
        board.apply(at(1), &loading("g", "a", 1));
        assert_eq!(phase(&board), Some("loading"));
        board.apply(at(2), &loaded("g", "a", 1));
        assert_eq!(phase(&board), Some("waiting"));
        board.apply(at(3), &training("g", "a", 1, Device::Cuda(1)));
        assert_eq!(board.running()[0].2.phase.devices(), "cuda:1");
        assert_eq!(board.time_left(at(4)), None, "nothing is done yet");
        board.apply(at(5), &progress("g", "a", 1, 2, 4));
        assert_eq!(board.time_left(at(5)), Some(Duration::from_secs(15)));
        let ended = board.apply(at(6), &finished("g", "a", 1)).unwrap();
        assert_eq!(ended.workdir, PathBuf::from("/res/g/a"));
        assert!(board.running().is_empty());
        assert_eq!(board.time_left(at(6)), Some(Duration::from_secs(6)));
    }

    #[test]
    fn a_retry_keeps_the_process_or_not() {
        let mut board = Board::default();
        board.apply(at(0), &group_started("g", 2));
        for task in ["a", "b"] {
            board.apply(at(0), &started("g", task, 1));
            board.apply(at(0), &training("g", task, 1, Device::Cpu));
        }
        board.apply(at(1), &retried("g", "a", 1, true));
        board.apply(at(1), &retried("g", "b", 1, false));
        let running = board.running();
        assert_eq!(running.len(), 1);
        assert_eq!(running[0].2.phase, Phase::Waiting);
        assert_eq!(board.group().unwrap().retried, 2);
        assert_eq!(board.group().unwrap().done(), 0);
    }

    #[test]
    fn a_task_of_a_later_group_is_not_counted_in_this_one() {
        let mut board = Board::default();
        board.apply(at(0), &group_started("g", 1));
        board.apply(at(0), &started("h", "a", 1));
        board.apply(at(1), &failed("h", "a", 1, "no data"));
        assert_eq!(board.group().unwrap().done(), 0);
    }

    #[test]
    fn a_group_that_loads_ahead_is_counted_when_its_turn_comes() {
        let mut board = Board::default();
        board.apply(at(0), &group_started("g", 1));
        board.apply(at(0), &group_started("h", 1));
        board.apply(at(1), &started("h", "a", 1));
        board.apply(at(1), &failed("h", "a", 1, "no data"));
        assert_eq!((board.group().unwrap().name.as_str(), board.group().unwrap().done()), ("g", 0));
        board.apply(at(2), &group_finished("g", 1, 0, 0));
        assert_eq!((board.group().unwrap().name.as_str(), board.group().unwrap().failed), ("h", 1));
    }

    #[test]
    fn events_of_unknown_tasks_change_nothing() {
        let mut board = Board::default();
        for event in [loading("g", "x", 1), progress("g", "x", 1, 1, 2), finished("g", "x", 1)] {
            assert!(board.apply(at(0), &event).is_none());
        }
        assert!(board.running().is_empty());
    }
}
