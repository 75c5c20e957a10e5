//! Commands that run a flow are guarded; what the guard says when the supervisor has ended.

use std::io;
use std::path::PathBuf;

use fedflow_worker::store::RunDir;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::commands::command_error::CommandError;
use crate::commands::printing::stderr;
use crate::run::short_path;
use crate::run::{Guard, SupervisorEnd};

/// Runs a command in the supervisor of a guard; the process that the shell started becomes the guard and does not
/// return. `run_dir` is asked in the guard, for the run directory as far as it can be told from outside.
///
/// # Errors
/// What `run` returned, or why there can be no guard.
pub(in crate::commands) fn run_guarded(
    run_dir: impl FnOnce() -> Option<PathBuf>,
    run: impl FnOnce(Guard) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let guard = Guard::start_and_then(|end| conclude(end, run_dir)).map_err(CommandError::failed)?;
    run(guard)
}

/// Says what the supervisor could not say itself.
fn conclude(end: &SupervisorEnd, run_dir: impl FnOnce() -> Option<PathBuf>) {
    match &end.left {
        Ok(left) if left.is_empty() => {}
        Ok(left) => {
            let pids: Vec<String> = left.iter().map(|process| process.pid.to_string()).collect();
            say(&format!("warning: processes of the run could not be ended: {}", pids.join(", ")));
        }
        Err(error) => say(&format!("warning: cannot tell whether processes of the run are left: {error}")),
    }
    let Some(signal) = end.signal else { return };
    say(&format!("error: the supervisor was killed by signal {signal}; every process of the run was ended"));
    // It may have been killed before there was a run.
    if let Some(run_dir) = run_dir().and_then(|run_dir| RunDir::open(run_dir).ok()) {
        say(&format!("hint: go on with `fedflow resume {}`", short_path(run_dir.path())));
    }
}

/// Says something on stderr, unless it would block: the guard must not be the process that is left.
fn say(text: &str) {
    let stderr = io::stderr();
    let mut descriptors = [PollFd::new(&stderr, PollFlags::OUT)];
    if poll(&mut descriptors, Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
        stderr::say(text);
    }
}
