//! `Overview`: a run as its journal tells it, for those who look at it from another terminal.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fedflow_core::{Device, Failure, FailureKind, Name, RunEvent, RunOutcome};
use fedflow_worker::store::{JournalError, JournalFollower, Record};
use indexmap::IndexMap;

/// A fold over the journal.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    /// The flow's name.
    pub(crate) flow: String,
    /// Which session of the run is the last one, from 1.
    pub(crate) session: u32,
    /// How the last session ended; none if nothing was recorded of its end.
    pub(crate) outcome: Option<RunOutcome>,
    /// When the last record was written, in Unix seconds, and its event's name.
    pub(crate) last_event: Option<(f64, &'static str)>,
    /// The groups that have begun, in the order in which they did.
    pub(crate) groups: IndexMap<Name, GroupOverview>,
}

/// A group.
#[derive(Debug)]
pub(crate) struct GroupOverview {
    /// Its place in the order of execution, from 1.
    pub(crate) index: u32,
    pub(crate) state: GroupState,
    fingerprint: u64,
    /// Its tasks, in the order in which they were added.
    pub(crate) tasks: IndexMap<Name, TaskOverview>,
}

/// Where a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupState {
    /// It began in an earlier session and was not finished; the last session has not come to it again.
    Interrupted,
    /// It is, or was in the end, the one that is executed.
    Running,
    /// Every task has its outcome.
    Over,
}

/// A task.
#[derive(Debug, Default)]
pub(crate) struct TaskOverview {
    /// The last attempt, from 1; 0 if it was never started.
    pub(crate) attempt: u32,
    /// Its directory; none if it was never started.
    pub(crate) workdir: Option<PathBuf>,
    /// What its process does; none if it has none.
    pub(crate) activity: Option<Activity>,
    /// What came of it.
    pub(crate) outcome: Option<TaskOutcome>,
}

/// What a task's process does.
#[derive(Debug, Clone)]
pub(crate) struct Activity {
    pub(crate) stage: &'static str,
    /// The devices that it trains on.
    pub(crate) devices: Vec<Device>,
    /// Since when, in Unix seconds.
    pub(crate) since: f64,
}

/// What came of a task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TaskOutcome {
    Finished,
    Failed(Failure),
}

/// How many tasks of a group came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TaskCounts {
    pub(crate) all: usize,
    pub(crate) finished: usize,
    /// Cancelled ones not counted.
    pub(crate) failed: usize,
    pub(crate) cancelled: usize,
    pub(crate) running: usize,
}

impl Overview {
    /// Takes what was added to a journal.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub(crate) fn catch_up(&mut self, journal: &mut JournalFollower) -> Result<(), JournalError> {
        journal.read_new(|record| self.apply(record))
    }

    /// The task of this group and name.
    pub(crate) fn task(&self, group: &Name, task: &Name) -> Option<&TaskOverview> {
        self.groups.get(group)?.tasks.get(task)
    }

    /// All tasks that are known, with their groups' names.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = (&Name, &Name, &TaskOverview)> {
        self.groups
            .iter()
            .flat_map(|(group, page)| page.tasks.iter().map(move |(name, task)| (group, name, task)))
    }

    fn apply(&mut self, Record { time, event, .. }: Record) {
        self.last_event = Some((time, event.name()));
        match event {
            RunEvent::RunStarted { flow, session, .. } => self.begin_session(flow, session),
            RunEvent::GroupStarted { group, index, fingerprint, tasks, .. } => {
                self.begin_group(group, index, fingerprint, tasks);
            }
            RunEvent::GroupFinished { group, .. } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.state = GroupState::Over;
                }
            }
            RunEvent::RunFinished { outcome } => self.outcome = Some(outcome),
            event => {
                let Some((group, task, _)) = event.task() else { return };
                let group = self.groups.get_mut(group);
                if let Some(task) = group.and_then(|group| group.tasks.get_mut(task)) {
                    task.apply(time, event);
                }
            }
        }
    }

    fn begin_session(&mut self, flow: String, session: u32) {
        (self.flow, self.session, self.outcome) = (flow, session, None);
        for group in self.groups.values_mut() {
            if group.state == GroupState::Running {
                group.state = GroupState::Interrupted;
            }
            // No process of an earlier session is left when another one begins.
            group.tasks.values_mut().for_each(|task| task.activity = None);
        }
    }

    fn begin_group(&mut self, name: Name, index: u32, fingerprint: u64, tasks: Vec<Name>) {
        let known = self.groups.get_mut(&name).map(|known| {
            let same = known.fingerprint == fingerprint;
            (same, std::mem::take(&mut known.tasks))
        });
        let mut before: BTreeMap<Name, TaskOverview> = match known {
            // The outcomes of a group that was made of other tasks are not this one's.
            Some((true, tasks)) => tasks.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        let tasks = tasks.into_iter().map(|task| {
            let state = before.remove(&task).unwrap_or_default();
            (task, state)
        });
        let tasks = tasks.collect();
        self.groups.insert(name, GroupOverview { index, state: GroupState::Running, fingerprint, tasks });
    }
}

impl GroupOverview {
    pub(crate) fn counts(&self) -> TaskCounts {
        let mut counts = TaskCounts { all: self.tasks.len(), ..TaskCounts::default() };
        for task in self.tasks.values() {
            counts.running += usize::from(task.activity.is_some());
            match &task.outcome {
                Some(TaskOutcome::Finished) => counts.finished += 1,
                Some(TaskOutcome::Failed(failure)) if failure.kind == FailureKind::Cancelled => {
                    counts.cancelled += 1;
                }
                Some(TaskOutcome::Failed(_)) => counts.failed += 1,
                None => {}
            }
        }
        counts
    }
}

impl TaskOverview {
    /// Whether it has its outcome and its process is gone, so that nothing more comes of it.
    pub(crate) fn is_over(&self) -> bool {
        self.outcome.is_some() && self.activity.is_none()
    }

    fn apply(&mut self, time: f64, event: RunEvent) {
        let mut enter = |stage, devices| {
            self.activity = Some(Activity { stage, devices, since: time });
        };
        match event {
            RunEvent::TaskStarted { attempt, workdir, .. } => {
                enter("starting", Vec::new());
                (self.attempt, self.workdir) = (attempt, Some(workdir.into()));
            }
            RunEvent::TaskLoading { .. } => enter("loading", Vec::new()),
            RunEvent::TaskLoaded { .. } | RunEvent::TaskRetried { data_kept: true, .. } => {
                enter("waiting", Vec::new());
            }
            RunEvent::TaskTraining { device, devices, .. } => {
                enter("training", if devices.is_empty() { vec![device] } else { devices });
            }
            RunEvent::TaskReleased { .. } => enter("ending", Vec::new()),
            RunEvent::TaskExited { .. } => self.activity = None,
            // The first outcome stands.
            RunEvent::TaskFinished { attempt, .. } if self.outcome.is_none() => {
                (self.attempt, self.outcome) = (attempt, Some(TaskOutcome::Finished));
            }
            RunEvent::TaskFailed { attempt, error, .. } if self.outcome.is_none() => {
                (self.attempt, self.outcome) = (attempt, Some(TaskOutcome::Failed(error)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use fedflow_core::{Dict, Stage};

    use super::*;

    pub(crate) fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    pub(crate) fn started(session: u32) -> RunEvent {
        let flow = "sweep".into();
        RunEvent::RunStarted { flow, workdir: "/res".into(), session, devices: Vec::new(), seed: 0 }
    }

    pub(crate) fn group(group: &str, fingerprint: u64, tasks: &[&str]) -> RunEvent {
        RunEvent::GroupStarted {
            group: name(group),
            index: 1,
            workdir: format!("/res/{group}"),
            fingerprint,
            tasks: tasks.iter().map(|task| name(task)).collect(),
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
        }
    }

    pub(crate) fn finished(group: &str, task: &str) -> RunEvent {
        RunEvent::TaskFinished {
            group: name(group),
            task: name(task),
            attempt: 1,
            device: Device::Cpu,
            load_seconds: 0.0,
            train_seconds: 0.0,
            result: Dict::new(),
        }
    }

    pub(crate) fn failed(group: &str, task: &str, kind: FailureKind, message: &str) -> RunEvent {
        RunEvent::TaskFailed {
            group: name(group),
            task: name(task),
            attempt: 1,
            device: None,
            load_seconds: None,
            train_seconds: None,
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

    #[test]
    fn a_task_is_over_when_its_outcome_is_there_and_its_process_gone() {
        let mut events =
            vec![started(1), group("g", 1, &["a", "b"]), start("g", "a", 1), training("g", "a", 1)];
        let of = |events: &[RunEvent]| overview(events.to_vec());
        let activity = of(&events).task(&name("g"), &name("a")).unwrap().activity.clone().unwrap();
        assert_eq!(
            (activity.stage, activity.since, activity.devices),
            ("training", 1003.0, vec![Device::Cuda(1)])
        );
        events.push(finished("g", "a"));
        assert!(!of(&events).task(&name("g"), &name("a")).unwrap().is_over());
        events.push(exited("g", "a"));
        assert!(of(&events).task(&name("g"), &name("a")).unwrap().is_over());
        events.push(failed("g", "b", FailureKind::Cancelled, "it was cancelled"));
        let end = of(&events);
        assert!(end.task(&name("g"), &name("b")).unwrap().is_over(), "it never had a process");
        let counts = end.groups[&name("g")].counts();
        assert_eq!(counts, TaskCounts { all: 2, finished: 1, failed: 0, cancelled: 1, running: 0 });
        assert_eq!(end.last_event, Some((1006.0, "task-failed")));
    }

    #[test]
    fn another_session_begins_with_no_process_and_keeps_outcomes() {
        let first = [started(1), group("g", 1, &["a", "b"]), finished("g", "a"), start("g", "b", 1)];
        let broken = overview(first.clone().into_iter().chain([started(2)]));
        assert_eq!(broken.groups[&name("g")].state, GroupState::Interrupted);
        assert_eq!(broken.groups[&name("g")].counts().running, 0);
        let again = overview(first.clone().into_iter().chain([started(2), group("g", 1, &["a", "b"])]));
        assert_eq!(again.groups[&name("g")].state, GroupState::Running);
        assert_eq!(again.groups[&name("g")].counts().finished, 1);
        assert_eq!(again.task(&name("g"), &name("b")).unwrap().attempt, 1);
        let changed = overview(first.into_iter().chain([started(2), group("g", 2, &["a", "c"])]));
        assert_eq!(changed.groups[&name("g")].counts().finished, 0);
        assert!(changed.task(&name("g"), &name("b")).is_none());
    }
}
