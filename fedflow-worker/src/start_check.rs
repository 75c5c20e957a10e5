//! The start check: whether this process may start workers at all. Everything that starts some asks it first.

mod started_as_worker;
mod system_check;

pub use started_as_worker::StartedAsWorker;
pub(crate) use started_as_worker::refuse_in_worker;
pub use system_check::{MissingCall, SystemTooOld, check_system};

/// Why this process can start no worker.
#[derive(Debug, thiserror::Error)]
pub enum CannotStart {
    /// The kernel lacks calls that Fedflow needs.
    #[error(transparent)]
    System(#[from] SystemTooOld),
    /// It was started as a worker, and has not served its supervisor.
    #[error(transparent)]
    StartedAsWorker(#[from] StartedAsWorker),
}

/// Whether this process may start workers: the system is new enough, and the process is not itself a worker that has not
/// served its supervisor. [`Host::start`](crate::Host::start), [`RunningTask::start`](crate::RunningTask::start) and
/// [`WorkerCheck::run`](crate::WorkerCheck::run) ask by themselves.
///
/// # Errors
/// It may not.
pub fn check_start() -> Result<(), CannotStart> {
    refuse_in_worker()?;
    Ok(check_system()?)
}
