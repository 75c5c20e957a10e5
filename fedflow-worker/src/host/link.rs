//! The way from the supervisor to one worker, whatever protocol it speaks. Sending never blocks.

use std::path::{Path, PathBuf};

use crossbeam_channel::Sender;
use fedflow_core::{Assignment, Dict, Lease, Program};
use ipc_channel::ipc::IpcSender;

use super::json_session::Line;
use crate::codec;
use crate::protocol::{Bytes, Carried, MAX_INLINE, TaskMessage, ToWorker};

/// Where a worker is told what to do.
pub(super) enum Link {
    Ipc(IpcLink),
    /// To the thread that writes the worker's lines.
    Json(Sender<Line>),
}

/// A worker cannot be told anything any more.
#[derive(Debug, thiserror::Error)]
#[error("it cannot be reached: {0}")]
pub(super) struct Unreachable(String);

impl Link {
    /// Gives the worker its next task.
    pub(super) fn task(&mut self, assignment: &Assignment, result_limit: u64) -> Result<(), Unreachable> {
        match (self, assignment.program.as_ref()) {
            (Self::Ipc(link), _) => link.give(assignment, result_limit),
            (Self::Json(lines), Program::Worker { kind, .. }) => {
                send_line(lines, Line::task(assignment, kind))
            }
            (Self::Json(_), Program::Command { .. }) => Err(Unreachable("a command is no worker".into())),
        }
    }

    pub(super) fn load(&mut self) -> Result<(), Unreachable> {
        match self {
            Self::Ipc(link) => link.send(ToWorker::Load),
            Self::Json(lines) => send_line(lines, Line::load()),
        }
    }

    pub(super) fn train(&mut self, lease: &Lease, params: Dict) -> Result<(), Unreachable> {
        // It loaded before it was leased anything, so it names its device as the run does.
        let lease = lease.info(false);
        match self {
            Self::Ipc(link) => {
                let params = link.carry(params)?;
                link.send(ToWorker::Train { lease: lease.into(), params })
            }
            Self::Json(lines) => send_line(lines, Line::train(&lease, &params)),
        }
    }

    pub(super) fn exit(&mut self) -> Result<(), Unreachable> {
        match self {
            Self::Ipc(link) => link.send(ToWorker::Exit),
            Self::Json(lines) => send_line(lines, Line::exit()),
        }
    }
}

fn send_line(lines: &Sender<Line>, line: Line) -> Result<(), Unreachable> {
    lines.send(line).map_err(|_| Unreachable("its connection is closed".into()))
}

/// Orders over ipc-channel. They are few and small: less than the socket takes of a worker that does not read.
pub(super) struct IpcLink {
    orders: IpcSender<ToWorker>,
    private: PathBuf,
    inline_left: usize,
    files: u32,
}

impl IpcLink {
    /// A link whose large parameters go by files in a private directory.
    pub(super) fn new(orders: IpcSender<ToWorker>, private: &Path) -> Self {
        Self { orders, private: private.into(), inline_left: MAX_INLINE, files: 0 }
    }

    /// Gives the worker its task.
    pub(super) fn give(&mut self, assignment: &Assignment, result_limit: u64) -> Result<(), Unreachable> {
        let Program::Worker { kind, .. } = assignment.program.as_ref() else {
            return Err(Unreachable("a command is no worker".into()));
        };
        let params = self.carry(assignment.params.clone())?;
        self.send(ToWorker::Task(TaskMessage {
            group: assignment.group.to_string(),
            task_id: assignment.task_id.to_string(),
            attempt: assignment.attempt,
            kind: kind.clone(),
            workdir: assignment.workdir.as_path().into(),
            checkpoint_dir: assignment.checkpoint_dir.as_path().into(),
            params,
            result_limit,
        }))
    }

    fn send(&self, order: ToWorker) -> Result<(), Unreachable> {
        self.orders.send(order).map_err(|error| Unreachable(error.to_string()))
    }

    fn carry(&mut self, params: Dict) -> Result<Carried, Unreachable> {
        let unsendable = |error: &dyn std::fmt::Display| Unreachable(format!("the parameters: {error}"));
        let bytes = codec::encode(params, u64::MAX).map_err(|error| unsendable(&error))?;
        if bytes.len() <= self.inline_left {
            self.inline_left -= bytes.len();
            return Ok(Carried::Inline(Bytes(bytes)));
        }
        self.files += 1;
        let path = self.private.join(format!("params-{}", self.files));
        std::fs::write(&path, &bytes).map_err(|error| unsendable(&error))?;
        Ok(Carried::File { path: path.as_path().into(), length: bytes.len() as u64 })
    }
}
