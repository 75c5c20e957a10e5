//! `Overview`: a run as its journal tells it, for those who look at it from another terminal.

use std::ops::Deref;
use std::path::PathBuf;

use fedflow_core::{
    Device, GroupProgress, Moment, Name, RunEvent, RunProgress, TaskNotes, TaskPhase, TaskProgress,
};
use fedflow_worker::store::{JournalError, JournalFollower, Record};

/// A run as its journal tells it: its [progress](RunProgress), read as if it stood in here, and the last event.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    /// When the last record was written, in Unix seconds, and its event's name.
    pub(crate) last_event: Option<(f64, &'static str)>,
    progress: RunProgress<HeldDevices>,
}

/// A group.
pub(crate) type GroupOverview = GroupProgress<HeldDevices>;

/// A task.
pub(crate) type TaskOverview = TaskProgress<HeldDevices>;

/// The devices that a task holds while it trains.
#[derive(Debug, Default)]
pub(crate) struct HeldDevices {
    pub(crate) devices: Vec<Device>,
}

/// Where a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupState {
    /// It began in an earlier session and was not finished; the last session has not come to it again.
    Interrupted,
    /// It is the active group or loads ahead, or did so when the last session ended.
    Running,
    /// Every task has its outcome.
    Over,
}

impl TaskNotes for HeldDevices {
    fn apply(&mut self, _: Moment, event: &RunEvent) {
        match event {
            RunEvent::TaskTraining { device, devices, .. } => {
                self.devices = if devices.is_empty() { vec![*device] } else { devices.clone() };
            }
            RunEvent::TaskStarted { .. } | RunEvent::TaskReleased { .. } => self.devices.clear(),
            _ => {}
        }
    }
}

impl Overview {
    /// Takes what was added to a journal.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub(crate) fn catch_up(&mut self, journal: &mut JournalFollower) -> Result<(), JournalError> {
        journal.read_new(|record| self.apply(record))
    }

    /// The number of the last session, from 1; 0 if none has begun.
    pub(crate) fn session(&self) -> u32 {
        self.progress.sessions().last().map_or(0, |session| session.number)
    }

    /// Where a group is.
    pub(crate) fn state_of(&self, group: &GroupOverview) -> GroupState {
        if group.is_over() {
            GroupState::Over
        } else if self.progress.is_active(group) {
            GroupState::Running
        } else {
            GroupState::Interrupted
        }
    }

    /// The task of this group and name.
    pub(crate) fn task(&self, group: &Name, task: &Name) -> Option<&TaskOverview> {
        self.progress.group(group)?.task(task)
    }

    /// The directory of a task; `None` if it was never started.
    pub(crate) fn workdir_of(&self, group: &Name, task: &Name) -> Option<PathBuf> {
        let group = self.progress.group(group)?;
        Some(PathBuf::from(group.workdir_of(group.task(task)?)?.as_ref()))
    }

    /// All tasks that have a process, with their groups and the phase that each is in.
    pub(crate) fn running(&self) -> impl Iterator<Item = (&GroupOverview, &TaskOverview, TaskPhase)> {
        self.progress.tasks().filter_map(|(group, task)| Some((group, task, task.phase?)))
    }

    fn apply(&mut self, Record { time, event, .. }: Record) {
        self.last_event = Some((time, event.name()));
        // What was never announced cannot be shown.
        if self.progress.check_announced(&event).is_ok() {
            self.progress.apply(time, &event);
        }
    }
}

impl Deref for Overview {
    type Target = RunProgress<HeldDevices>;

    fn deref(&self) -> &Self::Target {
        &self.progress
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use fedflow_core::{Dict, Failure, FailureKind, Stage, TaskCounts};

    use super::*;

    pub(crate) fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    pub(crate) fn started(session: u32) -> RunEvent {
        let flow = "sweep".into();
        let (workdir, reopened) = ("/res".into(), std::collections::BTreeMap::new());
        RunEvent::RunStarted { flow, workdir, session, devices: Vec::new(), seed: 0, reopened, setup: None }
    }

    pub(crate) fn group(group: &str, fingerprint: u64, tasks: &[&str]) -> RunEvent {
        RunEvent::GroupStarted {
            group: name(group),
            index: 1,
            workdir: format!("/res/{group}"),
            fingerprint,
            tasks: tasks.iter().map(|task| name(task)).collect(),
            fingerprints: Vec::new(),
            order: None,
            params: Vec::new(),
        }
    }

    pub(crate) fn start(group: &str, task: &str, attempt: u32) -> RunEvent {
        let workdir = format!("/res/{group}/{task}");
        RunEvent::TaskStarted { group: name(group), task: name(task), attempt, workdir, reused: false }
    }

    pub(crate) fn training(group: &str, task: &str, attempt: u32) -> RunEvent {
        RunEvent::TaskTraining {
            group: name(group),
            task: name(task),
            attempt,
            device: Device::Cuda(1),
            slot: 0,
            devices: Vec::new(),
            memory: None,
            pin: None,
        }
    }

    pub(crate) fn finished(group: &str, task: &str) -> RunEvent {
        RunEvent::TaskFinished {
            group: name(group),
            task: name(task),
            attempt: 1,
            device: Device::Cpu,
            load_time: Duration::ZERO,
            train_time: Duration::ZERO,
            result: Dict::new(),
        }
    }

    pub(crate) fn failed(group: &str, task: &str, kind: FailureKind, message: &str) -> RunEvent {
        RunEvent::TaskFailed {
            group: name(group),
            task: name(task),
            attempt: 1,
            device: None,
            load_time: None,
            train_time: None,
            error: Failure::new(Stage::Train, kind, message),
        }
    }

    pub(crate) fn exited(group: &str, task: &str) -> RunEvent {
        RunEvent::TaskExited { group: name(group), task: name(task), attempt: 1 }
    }

    /// The overview after these events, one a second from 1000 on.
    pub(crate) fn overview(events: impl IntoIterator<Item = RunEvent>) -> Overview {
        let mut overview = Overview::default();
        for (seq, event) in (0..).zip(events) {
            #[expect(clippy::cast_precision_loss, reason = "a few events")]
            let time = 1000.0 + seq as f64;
            overview.apply(Record { seq: seq + 1, time, event });
        }
        overview
    }

    fn counts_of_g(overview: &Overview) -> TaskCounts {
        overview.group(&name("g")).unwrap().counts()
    }

    #[test]
    fn a_task_is_over_when_its_outcome_is_there_and_its_process_gone() {
        let mut events =
            vec![started(1), group("g", 1, &["a", "b"]), start("g", "a", 1), training("g", "a", 1)];
        let of = |events: &[RunEvent]| overview(events.to_vec());
        let training = of(&events);
        let task = training.task(&name("g"), &name("a")).unwrap();
        assert_eq!(
            (task.phase, task.since, task.devices.as_slice()),
            (Some(TaskPhase::Training), 1003.0, [Device::Cuda(1)].as_slice())
        );
        events.push(finished("g", "a"));
        assert!(!of(&events).task(&name("g"), &name("a")).unwrap().is_over());
        events.push(exited("g", "a"));
        assert!(of(&events).task(&name("g"), &name("a")).unwrap().is_over());
        events.push(failed("g", "b", FailureKind::Cancelled, "it was cancelled"));
        let end = of(&events);
        assert!(end.task(&name("g"), &name("b")).unwrap().is_over(), "it never had a process");
        let counts = counts_of_g(&end);
        assert_eq!(counts, TaskCounts { tasks: 2, finished: 1, cancelled: 1, ..TaskCounts::default() });
        assert_eq!(end.last_event, Some((1006.0, "task-failed")));
    }

    #[test]
    fn another_session_begins_with_no_process_and_keeps_outcomes() {
        let first = [started(1), group("g", 1, &["a", "b"]), finished("g", "a"), start("g", "b", 1)];
        let broken = overview(first.clone().into_iter().chain([started(2)]));
        let state = |overview: &Overview| overview.state_of(overview.group(&name("g")).unwrap());
        assert_eq!(state(&broken), GroupState::Interrupted);
        assert_eq!(counts_of_g(&broken).running, 0);
        let again = overview(first.clone().into_iter().chain([started(2), group("g", 1, &["a", "b"])]));
        assert_eq!(state(&again), GroupState::Running);
        assert_eq!(counts_of_g(&again).finished, 1);
        assert_eq!(again.task(&name("g"), &name("b")).unwrap().attempts, 1);
        let changed = overview(first.into_iter().chain([started(2), group("g", 2, &["a", "c"])]));
        assert_eq!(counts_of_g(&changed).finished, 0);
        assert!(changed.task(&name("g"), &name("b")).is_none());
    }
}
