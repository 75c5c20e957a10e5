//! `Run`: an open run, which executes groups until it is finished.

use std::path::Path;
use std::thread;

use fedflow_core::{FlowError, GroupSummary, Observer, Ports, RunOutcome, TaskGroup};
use fedflow_report::{FinishedReport, Report, ResultsUnwritten};
use fedflow_worker::HostHandle;
use fedflow_worker::store::{JournalError, RunDir};
use tracing::debug_span;

use super::notice::{Notice, Notices};
use super::run_handle::RunHandle;
use super::wiring::{Hold, Observers, Session, Unobserved};

/// An open run: this process is the supervisor of its run directory.
///
/// [`RunBuilder`](super::RunBuilder) opens it. Groups are executed strictly in order; a task whose result the journal has from an
/// earlier session, in a group of the same tasks and parameters, is not run again. A run that is dropped without
/// [`Run::finish`] ends as failed, and can be opened again.
///
/// While it is open, SIGINT, SIGTERM and SIGHUP stop it in order, and a second one at once: the call that executes
/// then returns [`FlowError::Stopped`]. With a [guard](super::Guard), a child process of this program that is not a worker
/// is taken for one that a worker has left behind, and killed: start none meanwhile.
pub struct Run<O: Observer = Unobserved> {
    /// None once it is finished.
    session: Option<Session<O>>,
    run_dir: RunDir,
    host: HostHandle,
    notices: Notices,
    /// How it would end now.
    outcome: RunOutcome,
    any_failed: bool,
    /// How it ended, if that could not be written.
    unwritten: Option<RunEnd<O>>,
}

/// A run that is over.
///
/// It holds the run directory's lock until it is dropped: no other supervisor works there while the caller still tells
/// of the run.
#[non_exhaustive]
pub struct RunEnd<O = Unobserved> {
    /// How it ended.
    pub outcome: RunOutcome,
    /// Whether a task failed or was cancelled.
    pub any_failed: bool,
    /// The signal that stopped it, if one did.
    pub signal: Option<i32>,
    /// The report, as it was written.
    pub report: Report,
    /// The caller's observer.
    pub observer: O,
    _hold: Hold,
}

/// Why a run cannot be finished.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// It was finished before.
    #[error("the run is finished already")]
    Finished,
    /// The last records could not be written. The results and the reports are written even so.
    #[error("the run's last records could not be written: {0}")]
    Records(JournalError),
    /// `results.json` or `results.csv` could not be written. The records are; both can be made from them again.
    #[error(transparent)]
    Results(ResultsUnwritten),
}

impl<O: Observer> Run<O> {
    pub(super) fn of(session: Session<O>, run_dir: RunDir, host: HostHandle, notices: Notices) -> Self {
        let session = Some(session);
        Self {
            session,
            run_dir,
            host,
            notices,
            outcome: RunOutcome::Complete,
            any_failed: false,
            unwritten: None,
        }
    }

    /// Executes a group: blocks until every task has its outcome and every outcome is on disk.
    ///
    /// # Errors
    /// A task asks for what no device can give (then nothing was started), the run was stopped, or its records cannot
    /// be written.
    pub fn execute(&mut self, group: &mut TaskGroup) -> Result<GroupSummary, FlowError> {
        let Some(session) = &mut self.session else { return Err(FlowError::Stopped) };
        let span = debug_span!(parent: &session.span, "group", group = %group.group_name()).entered();
        session.expect(group);
        let executed = session.flow.execute(group);
        drop(span);
        self.take_in(executed)
    }

    /// Executes a group as [`Run::execute`] does, while the tasks of the next one start and load. Those train only when
    /// the next group is executed, which has to be with the next call.
    ///
    /// # Errors
    /// As for [`Run::execute`], of either group.
    pub fn execute_and_load(
        &mut self,
        group: &mut TaskGroup,
        next: &mut TaskGroup,
    ) -> Result<GroupSummary, FlowError> {
        let Some(session) = &mut self.session else { return Err(FlowError::Stopped) };
        let span = debug_span!(parent: &session.span, "group", group = %group.group_name()).entered();
        // The next one is opened now: the order in which it starts is decided here, not when it becomes active.
        session.expect(group);
        session.expect(next);
        let executed = session.flow.execute_and_load(group, next);
        drop(span);
        self.take_in(executed)
    }

    /// A handle that acts on the run from another thread.
    #[must_use]
    pub fn handle(&self) -> RunHandle {
        RunHandle(self.host.clone())
    }

    /// The run directory, and the paths in it.
    #[must_use]
    pub fn directory(&self) -> &RunDir {
        &self.run_dir
    }

    /// Where the run keeps its files, an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.run_dir.path()
    }

    /// What a person should know of the run since the last call; nothing if the builder was given a callback.
    #[must_use]
    pub fn take_notices(&self) -> Vec<Notice> {
        self.notices.take()
    }

    /// Ends the run, or this session of it: ends the processes that were kept for later tasks, and writes the last
    /// records, the results and the reports. Blocks until that is done.
    ///
    /// # Errors
    /// The last records or the results could not be written: the run is over even so, and [`Run::take_end`] has how it
    /// ended. Or the run is finished already.
    pub fn finish(&mut self) -> Result<RunEnd<O>, FinishError> {
        let (end, recorded) = self.close(self.outcome.clone()).ok_or(FinishError::Finished)?;
        match recorded {
            Ok(()) => Ok(end),
            Err(error) => {
                self.unwritten = Some(end);
                Err(error)
            }
        }
    }

    /// How the run ended for which [`Run::finish`] returned that something could not be written: its report and the
    /// caller's observer are there all the same. `None` otherwise, and once it was taken.
    #[must_use]
    pub fn take_end(&mut self) -> Option<RunEnd<O>> {
        self.unwritten.take()
    }

    /// As [`Run::finish`], with an outcome that the caller knows better; tells beside the end whether the last records
    /// and the results are written. `None` if the run is finished already.
    pub(crate) fn close(&mut self, outcome: RunOutcome) -> Option<(RunEnd<O>, Result<(), FinishError>)> {
        let session = self.session.take()?;
        let Session { flow, estimates, device_watch, telemetry, control, span, hold, .. } = session;
        let _in_span = span.enter();
        let learned = flow.estimates().clone();
        let Ports { workers, pool, observer } = flow.finish(outcome.clone());
        drop(workers);
        drop(device_watch);
        // Its last sample is in the report that is written below.
        drop(telemetry);
        // Before the lock is released: its socket must not be taken for that of a later session.
        drop(control);
        // What the workers held is given back when they are gone.
        drop(pool);
        let Observers { journal, report, own, .. } = observer;
        estimates.save(&learned, &self.notices);
        let recorded = journal.finish().map_err(FinishError::Records);
        let FinishedReport { report, results, .. } = report.finish();
        let recorded = recorded.and(results.map_err(FinishError::Results));
        let (any_failed, signal) = (self.any_failed, hold.signals.signal());
        Some((RunEnd { outcome, any_failed, signal, report, observer: own, _hold: hold }, recorded))
    }

    /// Remembers what became of a group.
    fn take_in(&mut self, executed: Result<GroupSummary, FlowError>) -> Result<GroupSummary, FlowError> {
        match &executed {
            Ok(summary) => self.any_failed |= summary.failed + summary.cancelled > 0,
            Err(FlowError::Recording(_)) => self.outcome = RunOutcome::Failed,
            Err(FlowError::Stopped) if self.outcome == RunOutcome::Complete => {
                self.outcome = RunOutcome::Stopped;
            }
            // The caller may go on with another group, or has executed all that there was.
            Err(_) => {}
        }
        executed
    }
}

impl<O: Observer> Drop for Run<O> {
    fn drop(&mut self) {
        // What a panic has left is not driven on; its processes are ended all the same.
        if !thread::panicking() {
            let outcome = match self.outcome {
                RunOutcome::Complete => RunOutcome::Failed,
                ref outcome => outcome.clone(),
            };
            self.close(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use fedflow_core::{RunEvent, TaskSpec};
    use fedflow_worker::store::{JournalReader, RunLock, create_run_dir};

    use super::*;
    use crate::run::{Guard, OpenError, RunBuilder};

    /// Tries to take the lock when it is dropped.
    struct LockProbe {
        run_dir: RunDir,
        found: Rc<Cell<Option<bool>>>,
    }

    impl Observer for LockProbe {}

    impl Drop for LockProbe {
        fn drop(&mut self) {
            self.found.set(Some(is_locked(&self.run_dir)));
        }
    }

    fn is_locked(run_dir: &RunDir) -> bool {
        RunLock::acquire(run_dir).is_err()
    }

    fn probed(workdir: &Path) -> (Run<LockProbe>, Rc<Cell<Option<bool>>>) {
        let found = Rc::default();
        let told = Rc::clone(&found);
        let run = RunBuilder::new("locked", workdir, Guard::none())
            .devices("cpu:1")
            .observer(move |opening| {
                let run_dir = create_run_dir(opening.run_dir);
                Ok(LockProbe { run_dir: run_dir.map_err(std::io::Error::other)?, found: told })
            })
            .begin()
            .unwrap();
        (run, found)
    }

    #[test]
    fn the_lock_is_released_last() {
        let place = tempfile::tempdir().unwrap();
        let (mut run, found) = probed(place.path());
        let end = run.finish().unwrap();
        assert!(is_locked(run.directory()), "the caller may still tell of the run");
        drop(end);
        assert_eq!(found.get(), Some(true));
        assert!(!is_locked(run.directory()));
        assert!(matches!(run.finish(), Err(FinishError::Finished)));
        assert!(matches!(run.execute(&mut TaskGroup::new("g").unwrap()), Err(FlowError::Stopped)));
    }

    #[test]
    fn a_run_that_is_dropped_ends_as_failed_and_releases_its_lock_last() {
        let place = tempfile::tempdir().unwrap();
        let (run, found) = probed(place.path());
        let run_dir = run.directory().clone();
        drop(run);
        assert_eq!(found.get(), Some(true));
        assert!(!is_locked(&run_dir));
        let last = JournalReader::open(&run_dir).unwrap().last().unwrap().unwrap();
        assert_eq!(last.event, RunEvent::RunFinished { outcome: RunOutcome::Failed });
    }

    #[test]
    fn a_group_that_the_program_gave_up_does_not_make_the_run_a_failed_one() {
        let place = tempfile::tempdir().unwrap();
        let mut run = RunBuilder::new("g", place.path(), Guard::none()).devices("cpu:1").open().unwrap();
        let mut greedy = TaskSpec::command("t", ["true"]).unwrap();
        greedy.terms_mut().needs.devices = 5;
        let mut group = TaskGroup::new("greedy").unwrap();
        group.add_task(greedy).unwrap();
        assert!(matches!(run.execute(&mut group), Err(FlowError::Unleasable { .. })));
        let mut group = TaskGroup::new("modest").unwrap();
        group.add_task(TaskSpec::command("t", ["true"]).unwrap()).unwrap();
        assert_eq!(run.execute(&mut group).unwrap().finished, 1);
        assert_eq!(run.finish().unwrap().outcome, RunOutcome::Complete);
    }

    #[test]
    fn a_run_goes_on_only_with_its_own_flow() {
        let place = tempfile::tempdir().unwrap();
        let builder = |name: &str| RunBuilder::new(name, place.path(), Guard::none()).devices("cpu:1");
        let mut group = TaskGroup::new("g").unwrap();
        group.add_task(TaskSpec::command("t", ["true"]).unwrap()).unwrap();
        let mut run = builder("one").open().unwrap();
        assert_eq!(run.execute(&mut group).unwrap().finished, 1);
        assert!(matches!(builder("one").open(), Err(OpenError::Locked(_))));
        drop(run.finish().unwrap());

        assert!(matches!(builder("two").open(), Err(OpenError::OtherFlow { .. })));
        assert!(matches!(builder("one").begin(), Err(OpenError::Directory(_))));
        assert!(builder("two").fresh(true).open().is_ok(), "the earlier run is removed");
    }

    #[test]
    fn a_seed_counts_from_the_session_that_is_given_it() {
        let place = tempfile::tempdir().unwrap();
        let session = |seed: Option<u64>| {
            let mut builder = RunBuilder::new("seeds", place.path(), Guard::none()).devices("cpu:1");
            if let Some(seed) = seed {
                builder = builder.seed(seed);
            }
            let mut run = builder.open().unwrap();
            drop(run.finish().unwrap());
            JournalReader::open(run.directory()).unwrap()
        };
        for seed in [Some(5), None, Some(6), None] {
            session(seed);
        }
        let seeds = session(None).filter_map(|record| match record.unwrap().event {
            RunEvent::RunStarted { seed, .. } => Some(seed),
            _ => None,
        });
        assert_eq!(seeds.collect::<Vec<_>>(), [5, 5, 6, 6, 6]);
    }

    #[test]
    fn a_run_whose_results_cannot_be_written_has_its_end_all_the_same() {
        let place = tempfile::tempdir().unwrap();
        let (mut run, _) = probed(place.path());
        assert!(run.take_end().is_none());
        std::fs::create_dir(place.path().join("results.json")).unwrap();
        assert!(matches!(run.finish(), Err(FinishError::Results(_))));
        let end = run.take_end().unwrap();
        assert_eq!((end.outcome, end.report.flow()), (RunOutcome::Complete, "locked"));
        assert!(run.take_end().is_none());
    }
}
