//! A shell as a child process, for the tests of this module.

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use fedflow_core::ProcessId;
#[cfg(feature = "host")]
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::process_identity::identify;

/// A shell that leads a group of its own.
pub(crate) struct Shell {
    child: Child,
    id: ProcessId,
}

impl Shell {
    /// Starts a shell that runs a script, and waits until the script has said `ready`.
    pub(crate) fn start(script: &str) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the tests' one place that starts a process")]
        let mut command = Command::new("sh");
        command.args(["-c", script]).process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let id = identify(child.id()).unwrap();
        Self { child, id }
    }

    pub(crate) fn id(&self) -> ProcessId {
        self.id
    }

    pub(crate) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits until it has ended, and leaves it unreaped.
    #[cfg(feature = "host")]
    pub(crate) fn wait_for_end(&self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&self.child)), options).unwrap();
    }

    /// Reaps it; the signal that ended it, if one did.
    pub(crate) fn signal(&mut self) -> Option<i32> {
        self.child.wait().unwrap().signal()
    }
}
