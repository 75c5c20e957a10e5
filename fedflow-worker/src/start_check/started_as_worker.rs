//! `StartedAsWorker`: a program that is supervisor and worker in one forgot that it was started as the worker.

use std::fmt;

use crate::processes::own_process::own_environment::is_unanswered_worker;

/// This process was started as a worker, and is about to start workers itself. Each of them would run `main` again and do
/// the same, without end.
// `main` shows the error that it returns as `Debug` does: there, too, it has to say what to do.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process was started as a worker and has not served its supervisor: begin `main` with \
     `Worker::new().task::<YourTask>().run_if_worker();`, with every task type of the program"
)]
pub struct StartedAsWorker;

impl fmt::Debug for StartedAsWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Refuses a process that was started as a worker and goes on as if it was not.
pub(crate) fn refuse_in_worker() -> Result<(), StartedAsWorker> {
    if is_unanswered_worker() { Err(StartedAsWorker) } else { Ok(()) }
}
