//! `LockedRun`: a run that has begun, locked and read before a session goes on with it.

#[cfg(feature = "cli")]
use std::collections::BTreeMap;

#[cfg(feature = "cli")]
use fedflow_core::Name;
#[cfg(feature = "cli")]
use fedflow_worker::store::RunState;
use fedflow_worker::store::{RunDir, RunLock};

use super::recorded_run::{RecordedRun, read_run};
use crate::run::notice::Notices;
use crate::run::open_error::OpenError;

/// A run that has begun, locked and read. Until a session goes on with it, nothing is written or started; dropping it
/// releases the lock.
pub(crate) struct LockedRun {
    pub(in crate::run) run_dir: RunDir,
    pub(in crate::run) lock: RunLock,
    pub(in crate::run) recorded: RecordedRun,
}

impl LockedRun {
    /// Locks a run directory and reads what is recorded there.
    ///
    /// # Errors
    /// Another supervisor works there, or the journal cannot be read.
    pub(crate) fn open(run_dir: &RunDir, notices: &Notices) -> Result<Self, OpenError> {
        let lock = RunLock::acquire(run_dir)?;
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
