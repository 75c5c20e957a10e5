//! What the spawner does for a worker: start it, start the process of its next phase, or prepare it for its next task.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use fedflow_core::{Assignment, FailureKind, Program, WorkerId};

use crate::host::cause::Cause;
use crate::host::logs::task_logs::Logs;
use crate::host::setup::options::{Protocol, WorkerProgram};
use crate::host::starting::hand_over::HandOver;
use crate::processes::spawn::Process;
use crate::processes::spawn::environment;

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
    pub(crate) stdin: Stdin,
    /// Variables of the worker program.
    pub(crate) program_environment: Vec<(String, String)>,
    /// Variables of this phase: the lease, the token.
    pub(crate) environment: Vec<(String, String)>,
    /// The worker's private directory, made for the process, if it has a session.
    pub(crate) private: Option<PathBuf>,
}

impl ProcessSpec {
    /// The process of a worker program, and the token by which a Rust worker is known.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn of_worker(program: &WorkerProgram, private: PathBuf) -> Result<(Self, String), Cause> {
        let no_token = || Cause::new(FailureKind::Spawn, "the system gives no random numbers");
        let token = make_token().ok_or_else(no_token)?;
        let mut environment = vec![(environment::FD.to_owned(), "0".to_owned())];
        if program.protocol == Protocol::Ipc {
            environment.push((environment::TOKEN.into(), token.clone()));
            environment.push((environment::BOOTSTRAP.into(), private.to_string_lossy().into_owned()));
        }
        let process = Self {
            command: program.command.clone(),
            stdin: Stdin::Socket,
            program_environment: program.env.clone(),
            environment,
            private: Some(private),
        };
        Ok((process, token))
    }

    /// The process of one phase of a command.
    pub(crate) fn of_command(command: Vec<String>, environment: Vec<(String, String)>) -> Self {
        Self { command, stdin: Stdin::Null, program_environment: Vec::new(), environment, private: None }
    }
}

/// What a process finds as its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdin {
    Null,
    /// One end of a socket pair.
    Socket,
}

/// What was started.
pub(crate) struct Started {
    pub(crate) logs: Logs,
    pub(crate) process: Option<Process>,
    /// The supervisor's end of the process's standard input.
    pub(crate) socket: Option<OwnedFd>,
}

/// A random text that cannot be guessed.
fn make_token() -> Option<String> {
    let mut bytes = [0_u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
