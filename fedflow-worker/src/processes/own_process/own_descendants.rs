//! What descends from this process: reaped, and killed until none is left.

use std::io;
use std::time::Duration;

use fedflow_core::{ProcessId, Time};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};

use crate::pausable_clock::Clock;
use crate::processes::killing::end;
use crate::processes::process_tree::descendants;

/// Kills every process that descends from this one, stopped ones included, until none is left, and reaps those that are its
/// children. The processes in `spare` and their descendants are spared. Returns the processes that are still there.
///
/// Orphaned descendants are found only if this process is a subreaper (`PR_SET_CHILD_SUBREAPER`). Blocks for `wait` at
/// most, and returns as soon as none is left. No other part of this process may wait for a child meanwhile.
///
/// # Errors
/// `/proc` cannot be read.
pub fn end_descendants(spare: &[ProcessId], wait: Duration) -> io::Result<Vec<ProcessId>> {
    let clock = Clock::start();
    let deadline = Time::after(wait);
    // Without a child there is no descendant, and `/proc` need not be read.
    while reap_children() {
        let left = descendants(std::process::id(), spare)?;
        let wait = clock.until(deadline);
        if left.is_empty() || wait.is_zero() {
            return Ok(left);
        }
        end(&left, &[Signal::KILL], wait);
    }
    Ok(Vec::new())
}

/// Reaps the children that have ended. Returns whether there are others.
pub(super) fn reap_children() -> bool {
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}
