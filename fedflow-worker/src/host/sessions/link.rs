//! `Link`: the way to a worker, whatever protocol it speaks.

use crossbeam_channel::Sender;
use fedflow_core::{Assignment, Dict, Lease, Program, WorkerId};

use crate::host::sessions::ipc::ipc_link::{IpcLink, Unreachable};
use crate::host::sessions::json::json_commands::Line;

/// Sends commands to a worker.
pub(crate) enum Link {
    Ipc(IpcLink),
    /// To the thread that writes the worker's lines.
    Json(Sender<Line>),
}

impl Link {
    /// Gives the process its next task, for which it is known as `worker`. Its last task is done.
    pub(crate) fn task(
        &mut self,
        worker: WorkerId,
        assignment: &Assignment,
        result_limit: u64,
    ) -> Result<(), Unreachable> {
        match (self, assignment.program.as_ref()) {
            (Self::Ipc(link), _) => link.give(worker, assignment, result_limit),
            (Self::Json(lines), Program::Worker { kind, .. }) => {
                send_line(lines, Line::task(assignment, kind))
            }
            (Self::Json(_), Program::Command { .. }) => {
                Err(Unreachable::Unsendable("a command is no worker".into()))
            }
        }
    }

    pub(crate) fn load(&mut self) -> Result<(), Unreachable> {
        match self {
            Self::Ipc(link) => link.load(),
            Self::Json(lines) => send_line(lines, Line::load()),
        }
    }

    pub(crate) fn train(&mut self, lease: &Lease, params: Dict) -> Result<(), Unreachable> {
        // It loaded before it was leased anything, so it names its device as the run does.
        let lease = lease.info(false);
        match self {
            Self::Ipc(link) => link.train(lease, params),
            Self::Json(lines) => send_line(lines, Line::train(&lease, &params)),
        }
    }

    pub(crate) fn exit(&mut self) -> Result<(), Unreachable> {
        match self {
            Self::Ipc(link) => link.exit(),
            Self::Json(lines) => send_line(lines, Line::exit()),
        }
    }
}

fn send_line(lines: &Sender<Line>, line: Line) -> Result<(), Unreachable> {
    lines.send(line).map_err(|_| Unreachable::Gone("its connection is closed".into()))
}
