//! `OpenError`: why a run cannot be opened.

use std::io;
use std::path::PathBuf;

use fedflow_core::ProcessId;
use fedflow_worker::store::{CreateRunDirError, JournalError, LockError, RunDirError};
use fedflow_worker::{CannotStart, HostError};

use super::devices::DevicesError;
use super::short_path::short_path;

/// Why a run cannot be opened. No task was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// This process may start no workers.
    #[error(transparent)]
    CannotStart(#[from] CannotStart),
    /// The devices cannot be used.
    #[error(transparent)]
    Devices(#[from] DevicesError),
    /// The run directory cannot be made or opened.
    #[error(transparent)]
    Directory(CreateRunDirError),
    /// The flow's text cannot be kept in the run directory.
    #[error(transparent)]
    FlowText(RunDirError),
    /// Another supervisor works in the run directory, or it cannot be locked.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run directory holds a run of another flow.
    #[error("{} holds a run of the flow {recorded:?}, not of {asked:?}", short_path(run_dir))]
    OtherFlow {
        /// The run directory.
        run_dir: PathBuf,
        /// The name of the flow in its journal.
        recorded: String,
        /// The name that was asked for.
        asked: String,
    },
    /// `/proc` cannot be searched for processes of an earlier session.
    #[error(transparent)]
    LeftoverSearch(io::Error),
    /// Processes of an earlier session are left and cannot be ended.
    #[error(
        "processes of an earlier session of {} could not be ended: {}",
        short_path(run_dir),
        numbers(processes)
    )]
    Leftover {
        /// The run directory.
        run_dir: PathBuf,
        /// The processes.
        processes: Vec<ProcessId>,
    },
    /// The system gives no random numbers for the run's token.
    #[error(transparent)]
    RunToken(io::Error),
    /// There is no current directory to which relative program paths could be relative.
    #[error("no current directory: {0}")]
    BaseDirectory(io::Error),
    /// The host cannot start.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The system gives no thread or timer that watches the devices.
    #[error(transparent)]
    DeviceWatch(io::Error),
    /// The system gives no descriptor or thread to watch with.
    #[error("cannot watch for signals and for the guard: {0}")]
    Watch(io::Error),
    /// The caller's observer cannot be made.
    #[error(transparent)]
    Observer(io::Error),
}

fn numbers(processes: &[ProcessId]) -> String {
    processes.iter().map(|process| process.pid.to_string()).collect::<Vec<_>>().join(", ")
}
