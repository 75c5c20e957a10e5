//! The surroundings of a worker's process: its current directory, its logs, and the processes that a task has left below it.

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
use crate::processes::own_process::own_environment::{self, CWD};

/// How long to wait for killed processes. Only the kernel can delay their end.
const WAIT: Duration = Duration::from_secs(2);

/// What this process has set up for its tasks.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// Whether this process is a subreaper, so that no descendant escapes it.
    is_reaper: bool,
}

impl Surroundings {
    /// Enters a task's directory, or the one in which all tasks of this process work. After another task, first ends the processes that it left behind, and directs standard
    /// output and error to the new task's logs.
    ///
    /// # Errors
    /// There is no such directory, or the task's own lacks the logs.
    pub(super) fn enter(&mut self, workdir: &Path, entry: Entry) -> io::Result<()> {
        if (entry.reused || entry.kept) && !self.is_reaper {
            // Nothing that a task starts may outlive its task in a process that serves several.
            set_child_subreaper(Some(getpid()))?;
            self.is_reaper = true;
        }
        if entry.reused {
            // Without a child this is one system call. What cannot be ended is left to this process's own end.
            let _ = end_descendants(&[], WAIT);
        }
        std::env::set_current_dir(own_environment::get(CWD).as_deref().map_or(workdir, Path::new))?;
        if entry.reused {
            // What is still buffered was written by the task before.
            let _ = io::stdout().flush();
            dup2_stdout(open_log(&workdir.join("stdout.log"))?)?;
            dup2_stderr(open_log(&workdir.join("stderr.log"))?)?;
        }
        Ok(())
    }
}

/// Ends what the tasks of this process have left running below it. The supervisor relies on it.
pub(super) fn leave() {
    // As above.
    let _ = end_descendants(&[], WAIT);
}

/// Opens a log. The supervisor has made it; a link in its place is not followed.
fn open_log(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    File::options().append(true).custom_flags(flags).open(path)
}
