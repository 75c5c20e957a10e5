//! Why a run directory cannot be made, opened or cleared.

use std::io;
use std::path::{Path, PathBuf};

use fedflow_core::ProcessId;

use crate::store::journal::JournalError;
use crate::store::run_dir::LockError;

/// Why a run directory cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// The system refuses something.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is something else of this name.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The path is not UTF-8, so neither journal nor reports could name it.
    #[error("the path {} is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// Other users can write to the directory.
    #[error("others can write to {} (mode {mode:o}); take that from them with chmod go-w", path.display())]
    WritableByOthers {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The directory holds an earlier run.
    #[error("{} holds an earlier run", .0.display())]
    EarlierRun(PathBuf),
    /// The directory holds no run, but something of a name that Fedflow needs.
    #[error("{} is in the way; it was not made by this run", .0.display())]
    Taken(PathBuf),
    /// The directory holds no run.
    #[error("{} holds no run", .0.display())]
    NotARun(PathBuf),
    /// The earlier run cannot be removed, as it is going on.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The earlier run cannot be removed, as processes of it could not be ended.
    #[error("processes of the earlier run are left and cannot be ended: {}", pids(.0))]
    StillRunning(Vec<ProcessId>),
    /// The earlier run cannot be removed, as its journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// For `map_err`: the system's error with what was tried.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunDirError {
    move |source| RunDirError::Io { doing, path: path.into(), source }
}

fn pids(processes: &[ProcessId]) -> String {
    processes.iter().map(|process| process.pid.to_string()).collect::<Vec<_>>().join(", ")
}
