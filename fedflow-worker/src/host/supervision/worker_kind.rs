//! `WorkerKind`: what runs a task, a worker program or a command, and which stage it is in.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use fedflow_core::Stage;
use rustix::net::{Shutdown, shutdown};

use crate::host::sessions::link::Link;
use crate::host::sessions::listener::SessionPhase;
use crate::host::setup::options::{Protocol, WorkerProgram};
use crate::processes::spawn::Process;

/// What runs the task.
pub(crate) enum WorkerKind {
    /// A worker program, which serves all phases in one process.
    Session(Session),
    /// A command, one process per phase; the phase that runs or ran last.
    Command(CommandPhase),
}

/// The session with a worker program.
pub(crate) struct Session {
    pub(crate) program: WorkerProgram,
    /// The directory that was made for a Rust worker.
    pub(crate) private: Option<PathBuf>,
    /// The way to the worker, once it has shaken hands.
    pub(crate) link: Option<Link>,
    /// The supervisor's end of the worker's standard input, once the process is there.
    pub(crate) socket: Option<Arc<OwnedFd>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandPhase {
    /// Its directories are being made.
    Preparing,
    /// No process: before `load`, between the phases, or after `train`.
    Idle,
    Loading,
    Training,
}

impl WorkerKind {
    /// A session before anything is started.
    pub(crate) fn session(program: WorkerProgram) -> Self {
        Self::Session(Session { program, private: None, link: None, socket: None })
    }

    pub(crate) fn program(&self) -> Option<&WorkerProgram> {
        match self {
            Self::Session(session) => Some(&session.program),
            Self::Command(_) => None,
        }
    }

    /// The protocol of a worker program; none for a command.
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        self.program().map(|program| program.protocol)
    }

    /// The directory that was made for a Rust worker; none for others.
    pub(crate) fn private_directory(&self) -> Option<&PathBuf> {
        match self {
            Self::Session(session) => session.private.as_ref(),
            Self::Command(_) => None,
        }
    }

    /// The stage that it is in, if memory can run out there. `phase` is what its listener says.
    pub(crate) fn stage(&self, phase: SessionPhase) -> Option<Stage> {
        match (self, phase) {
            (Self::Session(_), SessionPhase::Loading) | (Self::Command(CommandPhase::Loading), _) => {
                Some(Stage::Load)
            }
            (Self::Session(_), SessionPhase::Training) | (Self::Command(CommandPhase::Training), _) => {
                Some(Stage::Train)
            }
            _ => None,
        }
    }

    /// Whether its task has its result. `phase` is what its listener says.
    pub(crate) fn has_result(&self, phase: SessionPhase) -> bool {
        match self {
            Self::Session(_) => phase == SessionPhase::Idle,
            Self::Command(of_command) => *of_command == CommandPhase::Idle,
        }
    }

    /// Whether a worker that is told to exit is sure to leave no process behind. To look at every thread of it would cost
    /// more.
    pub(crate) fn leaves_nothing(&self, process: &Process, adopt_orphans: bool) -> bool {
        // A Rust worker ends its children itself when it is told to exit. What escapes it all the same is found where this
        // program adopts it. To look before is not cheap: what was looked up of a process the kernel has to forget before
        // it can be reaped.
        let ends_its_children = self.protocol() == Some(Protocol::Ipc) && adopt_orphans;
        ends_its_children || process.is_childless(self.own_threads())
    }

    /// How many threads of the process start no process: a Rust worker's life line beside its main thread.
    fn own_threads(&self) -> u64 {
        if self.protocol() == Some(Protocol::Ipc) { 2 } else { 1 }
    }

    /// Whether a worker program has shaken hands; a command needs not.
    pub(crate) fn has_greeted(&self) -> bool {
        match self {
            Self::Session(session) => session.link.is_some(),
            Self::Command(_) => true,
        }
    }

    /// Lets threads go that still wait for a worker whose children hold its socket open.
    pub(crate) fn hang_up(&self) {
        if let Self::Session(Session { socket: Some(socket), .. }) = self {
            let _ = shutdown(socket, Shutdown::Both);
        }
    }
}
