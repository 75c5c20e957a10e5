//! The guard: a program that supervises runs is two processes, so that nothing of a run outlives either of them.
//!
//! The outer process, which the shell knows, is the guard. It does next to nothing and so has little to die of: it
//! starts this program again as the supervisor, hands signals on to it, and waits. It is a subreaper, so whatever the
//! supervisor leaves behind becomes its own child, wherever in the tree it was and whatever it made of its group,
//! session or environment; when the supervisor has ended, by whatever cause, the guard kills all of that.
//!
//! The supervisor in turn watches the guard. When the guard is gone, the supervisor ends its workers at once, and then
//! itself.
//!
//! The supervisor leads a process group of its own: a signal from the terminal, or to the job as a whole, reaches it
//! once, through the guard, and a SIGKILL to the group ends only one of the two.

mod guard_watch;
mod guarding;
mod supervisor_end;

use std::io;

use fedflow_core::ProcessId;
use fedflow_worker::{CannotStart, check_start};

use super::process_setup::{allow_background_output, prepare_process};
use crate::run::supervisor::process_environment;

pub(in crate::run) use guard_watch::GuardWatch;
pub use supervisor_end::SupervisorEnd;

/// Why a program cannot be guarded.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// This process may start no workers.
    #[error(transparent)]
    CannotStart(#[from] CannotStart),
    /// The supervisor cannot be started.
    #[error("cannot start the supervisor: {0}")]
    Start(io::Error),
    /// The system refuses the supervisor what it needs to watch its guard.
    #[error(transparent)]
    Watch(io::Error),
    /// The guard ended before the supervisor began.
    #[error("the guard of this run is gone")]
    Gone,
}

/// Decides what becomes of a run's processes when its supervisor dies; every run is opened with one.
///
/// [`Guard::start`] makes the program two processes: the one that the shell started becomes the *guard*, and the
/// program starts anew as the *supervisor*, in which `start` returns. When the supervisor ends, by whatever cause, the
/// guard kills every process that it left, and ends with the same exit code, or with 128 + n after signal n. When the
/// guard is killed, the supervisor ends its runs at once.
///
/// Call it at the beginning of `main`, right after [`run_if_worker`](fedflow_worker::Worker::run_if_worker): what comes
/// before it happens twice. From then on
///
/// * descriptors that the program inherited, but standard input, output and error, are closed on exec;
/// * the supervisor is in a process group of its own, and so cannot read from a terminal;
/// * SIGINT, SIGTERM, SIGHUP and SIGTSTP to the guard reach the supervisor.
///
/// Without a guard, with [`Guard::none`], a run works as well, and what is leased stays leased while a task uses it.
/// But if the supervisor is killed, command tasks run on until they end by themselves, or until the run is opened again;
/// and of what a task leaves behind, only what is still in its process group is killed.
#[derive(Debug, Clone)]
pub struct Guard {
    process: Option<ProcessId>,
}

impl Guard {
    /// Becomes the guard and does not return; in the supervisor that the guard starts, returns at once.
    ///
    /// # Errors
    /// The supervisor cannot be started, or its guard is gone.
    pub fn start() -> Result<Self, GuardError> {
        Self::start_and_then(|_| {})
    }

    /// As [`Guard::start`]; the guard calls a function when the supervisor has ended and every process of it, before
    /// it ends itself. The function must not block: while it runs, the program looks alive.
    ///
    /// # Errors
    /// As there.
    pub fn start_and_then(tell: impl FnOnce(&SupervisorEnd)) -> Result<Self, GuardError> {
        check_start()?;
        prepare_process();
        if process_environment::guard().is_none() {
            let end = guarding::guard_supervisor().map_err(GuardError::Start)?;
            tell(&end);
            std::process::exit(end.exit_code().into());
        }
        allow_background_output();
        match guard_watch::begin().map_err(GuardError::Watch)? {
            None => Err(GuardError::Gone),
            process => Ok(Self { process }),
        }
    }

    /// Runs of this process have no guard; see [`Guard`] for what is lost.
    #[must_use]
    pub fn none() -> Self {
        Self { process: None }
    }

    pub(in crate::run) fn is_guarded(&self) -> bool {
        self.process.is_some()
    }

    /// The process that guards this one's runs.
    pub(in crate::run) fn process(&self) -> Option<ProcessId> {
        self.process
    }
}
