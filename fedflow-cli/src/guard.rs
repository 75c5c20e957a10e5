//! The guard: a command that runs a flow is two processes, so that nothing of the run outlives either of them.
//!
//! The outer process, which the shell knows, is the guard. It does next to nothing and so has little to die of: it
//! starts this program again as the supervisor, hands signals on to it, and waits. It is a subreaper, so whatever the
//! supervisor leaves behind becomes its own child, wherever in the tree it was and whatever it made of its group,
//! session or environment; when the supervisor has ended, by whatever cause, all of that is killed.
//!
//! The supervisor in turn watches the guard. When that is gone it ends its workers at once, and itself.
//!
//! The supervisor leads a process group of its own: a signal from the terminal, or to the job as a whole, reaches it
//! once, through the guard, and a SIGKILL to the group ends only one of the two.

mod outer;
mod watch;

use std::path::PathBuf;

use crate::command_error::CommandError;
use crate::environment;

pub(crate) use watch::GuardWatch;

/// Runs a command under a guard: called by the shell, this process becomes the guard and `run` is not called; started
/// by a guard, it is the supervisor and calls it.
///
/// # Errors
/// What `run` returned, here or in the supervisor, or why there can be no guard.
pub(crate) fn run_guarded(
    run_dir: impl FnOnce() -> Option<PathBuf>,
    run: impl FnOnce() -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    if environment::guard().is_none() {
        return outer::guard_supervisor(run_dir);
    }
    watch::begin()?;
    run()
}
