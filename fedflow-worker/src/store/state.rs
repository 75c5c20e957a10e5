//! `RunState`: what the journal says of a run, for the session that goes on with it.

use std::collections::BTreeMap;

use fedflow_core::{History, Name, RecordedGroup, RecordedOutcome, RunEvent, RunOutcome};
use indexmap::IndexMap;

use super::journal::{Head, JournalError, JournalReader, Record, Recovered};
use super::run_dir::RunDir;

/// A run, as its journal tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// The journal's head, its end, and whether it was torn; for
    /// [`JournalWriter::append`](super::JournalWriter::append).
    pub journal: Recovered,
    /// How many sessions the run has had.
    pub sessions: u32,
    /// Its groups, in the order in which they began.
    pub groups: Vec<GroupState>,
    /// How the last session ended; `None` if nothing was recorded of its end.
    pub outcome: Option<RunOutcome>,
}

/// A group, as the journal tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupState {
    /// Its name.
    pub name: Name,
    /// Its place in the order of execution, from 1.
    pub index: u32,
    /// Its directory, an absolute path.
    pub workdir: String,
    /// A checksum of what it was made of.
    pub fingerprint: u64,
    /// Its tasks, in the order in which they were added.
    pub tasks: IndexMap<Name, TaskState>,
    /// Whether it was executed to its end.
    pub finished: bool,
}

/// A task, as the journal tells it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TaskState {
    /// The highest attempt that was started; 0 if none was.
    pub attempts: u32,
    /// Its directory, an absolute path; `None` if it was never started.
    pub workdir: Option<String>,
    /// What came of it, if that was recorded. It is final.
    pub outcome: Option<RecordedOutcome>,
}

impl GroupState {
    fn recorded(&self) -> RecordedGroup {
        let outcomes =
            self.tasks.iter().filter_map(|(name, task)| Some((name.clone(), task.outcome.clone()?)));
        let started = self.tasks.iter().filter(|(_, task)| task.attempts > 0);
        RecordedGroup {
            fingerprint: self.fingerprint,
            finished: self.finished,
            outcomes: outcomes.collect(),
            attempts: started.map(|(name, task)| (name.clone(), task.attempts)).collect(),
        }
    }
}

/// Reads what the journal says of a run.
///
/// A group that begins again in a later session keeps what was recorded of it if its fingerprint is the same.
/// If not, it is another group: outcomes are dropped, but attempts are counted on, as their directories are
/// there. The first outcome of a task stands.
///
/// # Errors
/// The journal cannot be read, or its records contradict each other.
pub fn recover(run_dir: &RunDir) -> Result<RunState, JournalError> {
    let mut reader = JournalReader::open(run_dir)?;
    let mut fold = Fold::default();
    while let Some(record) = reader.next() {
        fold.add(record?).map_err(|reason| reader.contradiction(reason))?;
    }
    let Fold { sessions, groups, outcome, .. } = fold;
    Ok(RunState { journal: reader.recovered(), sessions, groups, outcome })
}

impl RunState {
    /// What the engine goes on from.
    #[must_use]
    pub fn history(&self) -> History {
        let groups = self.groups.iter().map(|group| (group.name.clone(), group.recorded()));
        History { groups: groups.collect() }
    }

    /// The journal's head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.journal.head
    }

    /// Whether every group was executed, so that nothing is left to do.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.outcome == Some(RunOutcome::Complete)
    }

    /// The group of this name.
    #[must_use]
    pub fn group(&self, name: &Name) -> Option<&GroupState> {
        self.groups.iter().find(|group| group.name == *name)
    }
}

#[derive(Default)]
struct Fold {
    sessions: u32,
    groups: Vec<GroupState>,
    places: BTreeMap<Name, usize>,
    outcome: Option<RunOutcome>,
}

impl Fold {
    fn add(&mut self, record: Record) -> Result<(), String> {
        match record.event {
            RunEvent::RunStarted { session, .. } => {
                self.sessions = session.max(self.sessions.saturating_add(1));
                self.outcome = None;
            }
            RunEvent::GroupStarted { group, index, workdir, fingerprint, tasks } => {
                self.begin_group(GroupState {
                    name: group,
                    index,
                    workdir,
                    fingerprint,
                    tasks: tasks.into_iter().map(|task| (task, TaskState::default())).collect(),
                    finished: false,
                });
            }
            RunEvent::TaskStarted { group, task, attempt, workdir, .. } => {
                let task = self.task(&group, &task)?;
                task.attempts = attempt.max(task.attempts);
                task.workdir = Some(workdir);
            }
            RunEvent::TaskFinished { group, task, attempt, device, result, .. } => {
                let outcome = RecordedOutcome { attempt, device: Some(device), result: Ok(result) };
                self.task(&group, &task)?.end(outcome);
            }
            RunEvent::TaskFailed { group, task, attempt, device, error, .. } => {
                let outcome = RecordedOutcome { attempt, device, result: Err(error) };
                self.task(&group, &task)?.end(outcome);
            }
            RunEvent::GroupFinished { group, .. } => self.group(&group)?.finished = true,
            RunEvent::RunFinished { outcome } => self.outcome = Some(outcome),
            RunEvent::TaskLoading { .. }
            | RunEvent::TaskLoaded { .. }
            | RunEvent::TaskTraining { .. }
            | RunEvent::TaskProgress { .. }
            | RunEvent::TaskItem { .. }
            | RunEvent::TaskReleased { .. }
            | RunEvent::TaskRetried { .. }
            | RunEvent::TaskMemory { .. }
            | RunEvent::TaskExited { .. } => {}
        }
        Ok(())
    }

    fn begin_group(&mut self, mut group: GroupState) {
        let Some(known) = self.places.get(&group.name).and_then(|place| self.groups.get_mut(*place)) else {
            self.places.insert(group.name.clone(), self.groups.len());
            self.groups.push(group);
            return;
        };
        if known.fingerprint == group.fingerprint {
            known.index = group.index;
            known.workdir = group.workdir;
            return;
        }
        for (name, task) in &mut group.tasks {
            task.attempts = known.tasks.get(name).map_or(0, |earlier| earlier.attempts);
        }
        *known = group;
    }

    fn group(&mut self, name: &Name) -> Result<&mut GroupState, String> {
        self.places
            .get(name)
            .and_then(|place| self.groups.get_mut(*place))
            .ok_or_else(|| format!("it speaks of group {name:?}, which has not begun"))
    }

    fn task(&mut self, group: &Name, task: &Name) -> Result<&mut TaskState, String> {
        let tasks = &mut self.group(group)?.tasks;
        tasks.get_mut(task).ok_or_else(|| format!("group {group:?} has no task {task:?}"))
    }
}

impl TaskState {
    fn end(&mut self, outcome: RecordedOutcome) {
        self.attempts = self.attempts.max(outcome.attempt);
        self.outcome.get_or_insert(outcome);
    }
}

#[cfg(test)]
mod tests {
    use fedflow_core::Dict;

    use super::*;
    use crate::store::example_run as sample;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn recovered(sessions: &[&[RunEvent]]) -> Result<RunState, JournalError> {
        let root = sample::fast_dir();
        let run = sample::new_run(root.path());
        sample::write_run(&run, &sessions.concat());
        recover(&run)
    }

    #[test]
    fn a_run_is_recovered_as_it_was() {
        let state = recovered(&[&sample::events()]).unwrap();
        assert_eq!(state.head(), &sample::head());
        assert_eq!((state.sessions, state.is_complete()), (1, false));
        assert_eq!(state.outcome, Some(RunOutcome::Stopped));
        let names: Vec<_> = state.groups.iter().map(|group| (group.name.as_str(), group.finished)).collect();
        assert_eq!(names, [("split", true), ("train", false)]);
        let train = state.group(&name("train")).unwrap();
        let task = |id: &str| &train.tasks[&name(id)];
        assert_eq!(task("client-1").attempts, 2);
        let outcome = task("client-1").outcome.as_ref().unwrap();
        assert_eq!((outcome.attempt, outcome.result.is_ok()), (2, true));
        assert!(task("client-2").outcome.as_ref().unwrap().result.is_err());
        assert_eq!(task("client-3"), &TaskState::default());
    }

    #[test]
    fn a_later_session_goes_on_with_the_same_group() {
        let (group, index, workdir) = (name("train"), 2, "/res/train".to_owned());
        let tasks = vec![name("client-1"), name("client-2"), name("client-3")];
        let again = |fingerprint| RunEvent::GroupStarted {
            group: group.clone(),
            index,
            workdir: workdir.clone(),
            fingerprint,
            tasks: tasks.clone(),
        };
        let started = sample::events()[0].clone();
        let end = RunEvent::RunFinished { outcome: RunOutcome::Complete };
        let second = sample::finished("client-1", Dict::from([("accuracy", 0.0)]));

        let rest = [started.clone(), again(sample::FINGERPRINT), second, end];
        let state = recovered(&[&sample::events(), &rest]).unwrap();
        assert_eq!((state.sessions, state.is_complete(), state.groups.len()), (2, true, 2));
        let outcome = state.groups[1].tasks[&name("client-1")].outcome.as_ref().unwrap();
        assert_eq!(
            outcome.result.as_ref().unwrap().get("accuracy"),
            Some(&0.5.into()),
            "the first one stands"
        );

        let state = recovered(&[&sample::events(), &[started, again(sample::FINGERPRINT + 1)]]).unwrap();
        assert_eq!((state.sessions, state.outcome), (2, None));
        let task = &state.groups[1].tasks[&name("client-1")];
        assert_eq!((task.attempts, &task.outcome), (2, &None));
    }

    #[test]
    fn records_that_contradict_each_other_are_refused() {
        let stray = sample::finished("nobody", Dict::new());
        let events = [sample::events(), vec![stray]].concat();
        match recovered(&[&events]) {
            Err(JournalError::Damaged { line, reason, .. }) => {
                assert_eq!(line, events.len() as u64 + 1);
                assert!(reason.contains("nobody"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}
