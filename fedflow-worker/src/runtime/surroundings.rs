//! Where a worker's process stands: its current directory, its logs, and the processes that a task has left in it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::{getpid, set_child_subreaper};
use rustix::stdio::{dup2_stderr, dup2_stdout};

use super::session::Entry;
use crate::processes::end_descendants;

/// How long killed processes are waited for. Only the kernel can hold them.
const WAIT: Duration = Duration::from_secs(2);

/// Where this process stands.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// Whether nothing gets away from below this process any more.
    is_reaper: bool,
}

impl Surroundings {
    /// Has this process stand at a task's place. After another task, it first ends what that one has left behind,
    /// and has standard output and error lead to the new task's logs.
    ///
    /// # Errors
    /// There is no such directory, or it lacks the logs.
    pub(super) fn enter(&mut self, workdir: &Path, entry: Entry) -> io::Result<()> {
        if (entry.reused || entry.kept) && !self.is_reaper {
            // Of a process that serves several tasks nothing may get away.
            set_child_subreaper(Some(getpid()))?;
            self.is_reaper = true;
        }
        if entry.reused {
            // Without a child this is one call of the kernel. What cannot be ended is left to this process's own end.
            let _ = end_descendants(&[], WAIT);
        }
        std::env::set_current_dir(workdir)?;
        if entry.reused {
            // What is still held back was written by the task before.
            let _ = io::stdout().flush();
            dup2_stdout(open_log("stdout.log")?)?;
            dup2_stderr(open_log("stderr.log")?)?;
        }
        Ok(())
    }
}

/// Ends what the tasks of this process have left running below it. The supervisor counts on it.
pub(super) fn leave() {
    // As above.
    let _ = end_descendants(&[], WAIT);
}

/// Opens a log in the current directory. The supervisor has made it: what lies there otherwise is not written to.
fn open_log(name: &str) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    File::options().append(true).custom_flags(flags).open(name)
}
