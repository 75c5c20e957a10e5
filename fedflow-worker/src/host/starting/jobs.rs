//! What the spawner does for a worker: start it, start the process of its next phase, or prepare it for its next task.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use fedflow_core::{Assignment, Program, WorkerId};

use crate::host::cause::Cause;
use crate::host::logs::task_logs::Logs;
use crate::host::setup::options::{Protocol, WorkerProgram};
use crate::host::starting::hand_over::HandOver;
use crate::host::starting::rendezvous::Rendezvous;
use crate::processes::spawn::Process;

/// Work for the spawner.
pub(crate) enum Job {
    /// Make a task's directories and start its process.
    Start(StartJob),
    /// Prepare a process for its next task.
    HandOver(HandOver),
}

/// What came of a job. The worker is named by its first id.
pub(crate) enum JobReport {
    Started {
        first_id: WorkerId,
        done: Result<Box<Started>, Cause>,
    },
    /// The process can be given its next task, which has these logs.
    Prepared {
        first_id: WorkerId,
        done: Result<Logs, Cause>,
    },
}

impl Job {
    /// Whether a device waits for it: a command is given its lease before its process is started.
    pub(crate) fn is_urgent(&self) -> bool {
        match self {
            Self::Start(StartJob { process: Some(_), assignment, .. }) => {
                matches!(assignment.program.as_ref(), Program::Command { .. })
            }
            Self::Start(_) | Self::HandOver(_) => false,
        }
    }
}

/// A start: of a worker, or of one phase of a command.
pub(crate) struct StartJob {
    pub(crate) first_id: WorkerId,
    pub(crate) assignment: Arc<Assignment>,
    /// The task's log files; without them the task's directory is made first.
    pub(crate) logs: Option<Logs>,
    /// The process to start; without one there is only the directory to make.
    pub(crate) process: Option<ProcessSpec>,
}

/// A process to be started for a task.
pub(crate) struct ProcessSpec {
    pub(crate) command: Vec<String>,
    /// The protocol of a worker program, which finds a socket as its standard input; a command finds nothing there.
    pub(crate) protocol: Option<Protocol>,
    /// Variables of the worker program.
    pub(crate) program_environment: Vec<(String, String)>,
    /// Variables of this phase: the lease.
    pub(crate) environment: Vec<(String, String)>,
}

impl ProcessSpec {
    /// The process of a worker program.
    pub(crate) fn of_worker(program: &WorkerProgram) -> Self {
        Self {
            command: program.command.clone(),
            protocol: Some(program.protocol),
            program_environment: program.env.clone(),
            environment: Vec::new(),
        }
    }

    /// The process of one phase of a command.
    pub(crate) fn of_command(command: Vec<String>, environment: Vec<(String, String)>) -> Self {
        Self { command, protocol: None, program_environment: Vec::new(), environment }
    }
}

/// What was started.
pub(crate) struct Started {
    pub(crate) logs: Logs,
    pub(crate) process: Option<Process>,
    /// How the process of a worker program is met.
    pub(crate) meeting: Option<Meeting>,
}

/// How a worker is met.
pub(crate) struct Meeting {
    /// The supervisor's end of its standard input.
    pub(crate) socket: Arc<OwnedFd>,
    /// Where a Rust worker offers its channel; a worker in another language speaks over its standard input.
    pub(crate) rendezvous: Option<Rendezvous>,
}
