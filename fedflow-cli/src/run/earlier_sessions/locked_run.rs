//! `LockedRun`: a run that has begun, locked and read before a session goes on with it.

#[cfg(feature = "cli")]
use std::collections::BTreeMap;

#[cfg(feature = "cli")]
use fedflow_core::Name;
#[cfg(feature = "cli")]
use fedflow_worker::store::RunState;
use fedflow_worker::store::{LockError, RunDir, RunLock};

use super::recorded_run::{RecordedRun, read_run};
use crate::run::notice::Notices;
use crate::run::open_error::OpenError;
use crate::run::supervisor::Guard;

/// Locks a run directory for a supervisor with this guard. One that has lost its guard is waited for, and that is said.
///
/// # Errors
/// Another supervisor works there, or the file system has no locks.
pub(in crate::run) fn lock_run(
    run_dir: &RunDir,
    guard: &Guard,
    notices: &Notices,
) -> Result<RunLock, LockError> {
    RunLock::acquire_guarded(run_dir, guard.process(), |holder| {
        let process = holder.process.pid;
        notices.note(format_args!(
            "the guard of this run was killed; waiting for its supervisor, process {process}, to end"
        ));
    })
}

/// A run that has begun, locked and read. Until a session goes on with it, nothing is written or started; dropping it
/// releases the lock.
pub(crate) struct LockedRun {
    pub(in crate::run) run_dir: RunDir,
    pub(in crate::run) lock: RunLock,
    pub(in crate::run) recorded: RecordedRun,
}

impl LockedRun {
    /// Locks a run directory, as [`lock_run`] does, and reads what is recorded there.
    ///
    /// # Errors
    /// Another supervisor works there, or the journal cannot be read.
    pub(crate) fn open(run_dir: &RunDir, guard: &Guard, notices: &Notices) -> Result<Self, OpenError> {
        let lock = lock_run(run_dir, guard, notices)?;
        let recorded = read_run(run_dir, notices)?;
        Ok(Self { run_dir: run_dir.clone(), lock, recorded })
    }

    /// What is recorded.
    #[cfg(feature = "cli")]
    pub(crate) fn state(&self) -> &RunState {
        &self.recorded.state
    }

    /// Has the next session run tasks again that have their outcome, by group.
    #[cfg(feature = "cli")]
    pub(crate) fn reopen(&mut self, reopened: BTreeMap<Name, Vec<Name>>) {
        self.recorded.state.reopen(reopened);
    }
}
