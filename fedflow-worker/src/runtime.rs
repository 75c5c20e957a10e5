//! The worker's side: what a custom worker crate calls from `main`.

mod describing;
mod handshake;
mod lifeline;
mod panics;
mod rate_limit;
mod reporter;
mod session;
mod surroundings;
mod task_kinds;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use fedflow_core::Task;

use crate::processes::own_process::own_environment;
use surroundings::Surroundings;
use task_kinds::{Kinds, listed};

/// A program that runs tasks for a Fedflow supervisor.
///
/// A worker binary is a `main` that names its task types:
///
/// ```no_run
/// # use fedflow_core::{Device, Dict, LoadContext, Task, TaskError, TrainContext};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Mean { count: u32 }
/// # impl Task for Mean {
/// #     const KIND: &'static str = "mean";
/// #     fn load(&mut self, _: &mut LoadContext) -> Result<(), TaskError> { Ok(()) }
/// #     fn train(&mut self, _: &mut TrainContext, _: &Device) -> Result<Dict, TaskError> { Ok(Dict::new()) }
/// # }
/// use std::process::ExitCode;
///
/// use fedflow_worker::Worker;
///
/// fn main() -> ExitCode {
///     Worker::new().task::<Mean>().run()
/// }
/// ```
///
/// Call it first in `main`, before anything opens a file or starts a thread: a worker begins with closing the
/// descriptors that it inherited, and refuses to run beside other threads.
#[derive(Default)]
pub struct Worker {
    kinds: Kinds,
}

/// The exit code of a worker that cannot begin its work.
const FAILED_TO_START: u8 = 70;

impl Worker {
    /// A worker without task types.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task type; a flow asks for it by [`Task::KIND`]. Of two types of one kind the later one counts.
    #[must_use]
    pub fn task<T: Task>(mut self) -> Self {
        self.kinds.add::<T>();
        self
    }

    /// Serves the supervisor that started this process. Blocks until the supervisor ends the worker.
    ///
    /// With `FEDFLOW_DESCRIBE=1` in the environment it writes the task kinds as one line of JSON, answers whether parameters fit
    /// them, if it is asked, and returns. Started by hand, it explains itself on standard error and returns a failure.
    #[must_use]
    pub fn run(self) -> ExitCode {
        if own_environment::get(own_environment::DESCRIBE).is_some() {
            return self.describe();
        }
        if !own_environment::is_unanswered_worker() {
            self.explain();
            return ExitCode::from(2);
        }
        match handshake::begin(&self.kinds) {
            Ok(channels) => {
                let mut surroundings = Surroundings::default();
                let mut enter = |workdir: &Path, entry| surroundings.enter(workdir, entry);
                session::serve(&self.kinds, &channels.commands, &channels.events, &mut enter);
                surroundings::leave();
                ExitCode::SUCCESS
            }
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "fedflow worker: {error}");
                ExitCode::from(FAILED_TO_START)
            }
        }
    }

    /// Does [`run`](Self::run) and ends the process if a supervisor started it as a worker; else returns at once.
    ///
    /// For a program that is supervisor and worker in one: call it first in `main`. Without this call each worker would
    /// run `main` again and start workers itself; everything that starts some refuses to do so in a process that was
    /// started as a worker.
    pub fn run_if_worker(self) {
        if own_environment::is_unanswered_worker() {
            let code = self.run();
            // What `main` would do with the code; a worker has nothing left to drop.
            std::process::exit(if code == ExitCode::SUCCESS { 0 } else { i32::from(FAILED_TO_START) });
        }
    }

    fn describe(&self) -> ExitCode {
        match describing::describe(&self.kinds) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    }

    fn explain(&self) {
        let mut stderr = std::io::stderr();
        let _ = writeln!(
            stderr,
            "This program is a Fedflow worker. It is not started by hand: name it in a flow file,\n\n    \
             [workers.NAME]\n    command = [\"path/to/this/program\"]\n\n\
             and start the flow with `fedflow run FLOW.toml`. It knows these task kinds: {}",
            listed(&self.kinds.names())
        );
        if stderr.is_terminal() {
            let _ = writeln!(stderr, "hint: FEDFLOW_DESCRIBE=1 in its environment lists them as JSON");
        }
    }
}
