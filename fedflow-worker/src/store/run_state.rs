//! `RunState`: what the journal says of a run, for the session that goes on with it.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use fedflow_core::{
    Dict, GroupProgress, History, Name, RecordedGroup, RecordedOutcome, RunEvent, RunOutcome, RunProgress,
    SessionSetup, TaskOutcome, TaskProgress,
};

use super::journal::{Head, JournalError, JournalReader, Record, Recovered};
use super::run_dir::RunDir;

/// What the journal says of a run: its [progress](RunProgress), read as if it stood in here, and the journal itself.
#[derive(Debug, Clone)]
pub struct RunState {
    /// The journal's head, its end, and whether it was torn; for
    /// [`JournalWriter::append`](super::JournalWriter::append).
    pub journal: Recovered,
    progress: Arc<RunProgress>,
    /// The tasks that the next session opens again, by group.
    reopened: BTreeMap<Name, Vec<Name>>,
}

/// Reads what the journal says of a run.
///
/// A group that begins again in a later session keeps what was recorded of it if its fingerprint is the same.
/// If not, it is another group: its outcomes are dropped, but its attempts are counted on, as their directories are
/// there. The first outcome of a task stands.
///
/// # Errors
/// The journal cannot be read, or its records contradict each other.
pub fn recover(run_dir: &RunDir) -> Result<RunState, JournalError> {
    recover_with(run_dir, |_| {})
}

/// Reads what the journal says of a run as [`recover`] does, and shows each record on the way: a caller that needs more
/// of them reads a long journal once.
///
/// # Errors
/// As for [`recover`]. What was shown before the error is to be forgotten.
pub fn recover_with(run_dir: &RunDir, mut show: impl FnMut(&Record)) -> Result<RunState, JournalError> {
    let mut reader = JournalReader::open(run_dir)?;
    let mut progress = RunProgress::default();
    while let Some(record) = reader.next() {
        let record = record?;
        show(&record);
        match progress.check_announced(&record.event) {
            Ok(()) => progress.apply(record.time, &record.event),
            Err(contradiction) if changes_history(&record.event) => {
                return Err(reader.contradiction(contradiction.to_string()));
            }
            Err(_) => {}
        }
    }
    Ok(RunState { journal: reader.recovered(), progress: Arc::new(progress), reopened: BTreeMap::new() })
}

impl RunState {
    /// What the engine goes on from.
    #[must_use]
    pub fn history(&self) -> History {
        let groups = self.progress.groups().iter();
        History {
            groups: groups.map(|group| (group.name.clone(), recorded_group(group))).collect(),
            reopened: self.reopened.clone(),
        }
    }

    /// Has the next session run tasks again that have their outcome, by group. It records this when it begins, so that
    /// a session after that goes on with it.
    pub fn reopen(&mut self, reopened: BTreeMap<Name, Vec<Name>>) {
        Arc::make_mut(&mut self.progress).reopen(&reopened);
        self.reopened = reopened;
    }

    /// How far the run has come, shared.
    #[must_use]
    pub fn progress(&self) -> Arc<RunProgress> {
        Arc::clone(&self.progress)
    }

    /// The journal's head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.journal.head
    }

    /// What the latest session was started with; in a run of an earlier version, what the first one was.
    #[must_use]
    pub fn setup(&self) -> SessionSetup {
        self.progress.setup().cloned().unwrap_or_else(|| {
            let Head { devices, config, .. } = self.head().clone();
            SessionSetup { devices, config, config_file: None, environment: None, vars: Dict::new() }
        })
    }

    /// The seed of the latest session; if none has begun, the one that the run was given.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.progress.seed().unwrap_or(self.head().seed)
    }

    /// The seed of the first session; if none has begun, the one that the run was given.
    #[must_use]
    pub fn first_seed(&self) -> u64 {
        self.progress.first_seed().unwrap_or(self.head().seed)
    }

    /// How many sessions the run has had.
    #[must_use]
    pub fn session_count(&self) -> u32 {
        let numbers = self.progress.sessions().iter().map(|session| session.number);
        numbers.fold(0, |count, number| number.max(count.saturating_add(1)))
    }

    /// Whether every group was executed, so that nothing is left to do.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.progress.outcome() == Some(&RunOutcome::Complete)
    }
}

impl Deref for RunState {
    type Target = RunProgress;

    fn deref(&self) -> &RunProgress {
        &self.progress
    }
}

/// Whether a session that goes on with the run depends on the event.
fn changes_history(event: &RunEvent) -> bool {
    matches!(
        event,
        RunEvent::TaskStarted { .. }
            | RunEvent::TaskFinished { .. }
            | RunEvent::TaskFailed { .. }
            | RunEvent::TaskSkipped { .. }
            | RunEvent::GroupFinished { .. }
    )
}

fn recorded_group(group: &GroupProgress) -> RecordedGroup {
    let outcomes = group.tasks().iter().filter_map(|task| Some((task.id.clone(), recorded_outcome(task)?)));
    let started = group.tasks().iter().filter(|task| task.counted_attempts() > 0);
    let kept =
        group.tasks().iter().filter_map(|task| Some((task.id.clone(), group.fingerprint_of(&task.id)?)));
    RecordedGroup {
        fingerprint: group.fingerprint,
        tasks: if group.fingerprint.is_none() { kept.collect() } else { BTreeMap::new() },
        finished: group.is_over(),
        outcomes: outcomes.collect(),
        attempts: started.map(|task| (task.id.clone(), task.counted_attempts())).collect(),
    }
}

fn recorded_outcome(task: &TaskProgress) -> Option<RecordedOutcome> {
    let result = match task.outcome.as_ref()? {
        TaskOutcome::Finished(result) => Ok(result.clone()),
        TaskOutcome::Failed(failure) => Err(failure.as_ref().clone()),
    };
    Some(RecordedOutcome { attempt: task.attempts, device: task.device, result })
}

#[cfg(test)]
mod tests {
    use fedflow_core::{Dict, Name};

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
        assert_eq!((state.session_count(), state.is_complete()), (1, false));
        assert_eq!(state.outcome(), Some(&RunOutcome::Stopped));
        let names: Vec<_> =
            state.groups().iter().map(|group| (group.name.as_str(), group.is_over())).collect();
        assert_eq!(names, [("split", true), ("train", false)]);
        let train = state.group(&name("train")).unwrap();
        let task = |id: &str| train.task(&name(id)).unwrap();
        assert_eq!(task("client-1").attempts, 2);
        let history = state.history();
        let recorded = &history.groups[&name("train")];
        let outcome = &recorded.outcomes[&name("client-1")];
        assert_eq!((outcome.attempt, outcome.result.is_ok()), (2, true));
        assert!(recorded.outcomes[&name("client-2")].result.is_err());
        let untouched = task("client-3");
        assert_eq!((untouched.attempts, &untouched.outcome), (0, &None));
        assert_eq!(train.workdir_of(untouched), None);
        assert_eq!(recorded.attempts.get(&name("client-3")), None);
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
            fingerprints: Vec::new(),
            order: None,
            params: Vec::new(),
        };
        let started = sample::events()[0].clone();
        let end = RunEvent::RunFinished { outcome: RunOutcome::Complete };
        let second = sample::finished("client-1", Dict::from([("accuracy", 0.0)]));

        let rest = [started.clone(), again(sample::FINGERPRINT), second, end];
        let state = recovered(&[&sample::events(), &rest]).unwrap();
        assert_eq!((state.session_count(), state.is_complete(), state.groups().len()), (2, true, 2));
        let task = state.groups()[1].task(&name("client-1")).unwrap();
        assert_eq!(task.result().unwrap().get("accuracy"), Some(&0.5.into()), "the first one stands");

        let state = recovered(&[&sample::events(), &[started, again(sample::FINGERPRINT + 1)]]).unwrap();
        assert_eq!((state.session_count(), state.outcome()), (2, None));
        let task = state.groups()[1].task(&name("client-1")).unwrap();
        assert_eq!((task.attempts, &task.outcome), (2, &None));
    }

    #[test]
    fn the_latest_session_says_what_the_next_one_goes_on_with() {
        let state = recovered(&[]).unwrap();
        let of_head = SessionSetup {
            devices: sample::head().devices,
            config: sample::head().config,
            config_file: None,
            environment: None,
            vars: Dict::new(),
        };
        assert_eq!((state.setup(), state.seed()), (of_head.clone(), sample::head().seed));
        let state = recovered(&[&sample::events()]).unwrap();
        assert_eq!((state.setup(), state.seed()), (of_head, 7), "of a session that does not tell");
        let mut second = sample::events()[0].clone();
        if let RunEvent::RunStarted { setup, seed, .. } = &mut second {
            (*setup, *seed) = (Some(Box::new(sample::setup())), 9);
        }
        let state = recovered(&[&sample::events(), &[second]]).unwrap();
        assert_eq!((state.setup(), state.seed()), (sample::setup(), 9));
        assert_eq!(state.first_seed(), 7, "samples are those of the first session");
    }

    #[test]
    fn a_task_that_was_opened_again_is_open_whatever_its_group_is_made_of_then() {
        let reopened = BTreeMap::from([(name("train"), vec![name("client-2")])]);
        let mut state = recovered(&[&sample::events()]).unwrap();
        assert_eq!(state.history().groups[&name("train")].fingerprint, Some(sample::FINGERPRINT));
        state.reopen(reopened.clone());
        let opened = state.history();
        let mut started = sample::events()[0].clone();
        if let RunEvent::RunStarted { reopened: told, .. } = &mut started {
            *told = reopened;
        }
        // The same in the session that opens it, and in one that follows a session that recorded it.
        let recorded = recovered(&[&sample::events(), &[started]]).unwrap().history();
        assert_eq!(recorded.groups, opened.groups);
        let train = &recorded.groups[&name("train")];
        assert_eq!((train.fingerprint, train.finished), (None, false));
        assert_eq!(
            (train.outcomes.contains_key(&name("client-1")), train.attempts[&name("client-2")] > 0),
            (true, true)
        );
        assert!(!train.outcomes.contains_key(&name("client-2")));
        let untouched = &recorded.groups[&name("split")];
        assert_eq!((untouched.fingerprint, untouched.finished), (Some(1), true));
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
