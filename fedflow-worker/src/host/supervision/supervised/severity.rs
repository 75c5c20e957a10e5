//! How a worker is ended: told to exit, SIGTERM, SIGKILL.

use fedflow_core::Severity;
use rustix::process::Signal;

use super::{Overdue, ReaderState, Supervised, WorkerKind};
use crate::host::options::Protocol;

impl Supervised {
    /// Ends the worker with a severity. Whatever it was asked before, it is asked this now.
    pub(crate) fn end(&mut self, severity: Severity) {
        self.asked = self.asked.max(Some(severity));
        // From here on the engine's own time limits count.
        self.deadline = self.deadline.filter(|(_, overdue)| matches!(overdue, Overdue::Reader(_)));
        // A process that the spawner is starting is asked as soon as it is there.
        if self.busy > 0 {
            return;
        }
        let Some(process) = &self.process else {
            // A command between its phases. A session still waits for its reader.
            if self.reader == ReaderState::None {
                self.over = true;
            }
            return;
        };
        // A worker that ends in order usually has no child; to look at every thread would cost more.
        let leaves_nothing = severity == Severity::Asked
            && (self.sees_to_its_children() || process.is_childless(self.kind.own_threads()));
        if !leaves_nothing {
            self.offspring.extend(process.descendants());
        }
        let number = process.number();
        match (severity, &mut self.kind) {
            (Severity::Asked, WorkerKind::Session { link: Some(link), .. }) => {
                self.context.talk(&self.assignment, || format!("process {number} is told to exit"));
                if link.exit().is_err() {
                    self.channel_lost();
                }
            }
            // A command has no channel on which it could be told.
            (Severity::Asked | Severity::Terminated, _) => {
                self.context
                    .talk(&self.assignment, || format!("SIGTERM is sent to process {number} and its group"));
                process.signal_group(Signal::TERM);
                // One that stopped itself would not notice.
                process.signal_group(Signal::CONT);
            }
            (Severity::Killed, _) => {
                self.context
                    .talk(&self.assignment, || format!("SIGKILL is sent to process {number} and its group"));
                process.signal_group(Signal::KILL);
            }
        }
    }

    /// Whether it ends its children itself when it is told to exit, as a Rust worker does. What gets away from it all the
    /// same is found where this program adopts it. To look before is not cheap: what was looked up of a process the kernel
    /// has to forget before it can be reaped.
    fn sees_to_its_children(&self) -> bool {
        match &self.kind {
            WorkerKind::Session { program, .. } => {
                program.protocol == Protocol::Ipc && self.context.options.adopt_orphans
            }
            WorkerKind::Command { .. } => false,
        }
    }
}

impl WorkerKind {
    /// How many threads of the process start no process: a Rust worker's life line beside its main thread.
    fn own_threads(&self) -> u64 {
        match self {
            Self::Session { program, .. } if program.protocol == Protocol::Ipc => 2,
            Self::Session { .. } | Self::Command { .. } => 1,
        }
    }
}
