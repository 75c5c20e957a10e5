//! Why a run directory cannot be made, or an earlier run in it removed.

use std::path::PathBuf;

use fedflow_core::ProcessId;

use crate::store::journal::JournalError;
use crate::store::run_dir::RunDirError;

/// Why a run directory cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateRunDirError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] RunDirError),
    /// The directory holds an earlier run.
    #[error("{} holds an earlier run", .0.display())]
    EarlierRun(PathBuf),
    /// The earlier run cannot be removed, as processes of it could not be ended.
    #[error("processes of the earlier run are left and cannot be ended: {}", pids(.0))]
    StillRunning(Vec<ProcessId>),
    /// The earlier run cannot be removed, as its journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

fn pids(processes: &[ProcessId]) -> String {
    processes.iter().map(|process| process.pid.to_string()).collect::<Vec<_>>().join(", ")
}
