//! The way from the supervisor to one worker, whatever protocol it speaks. Sending never blocks.

use std::path::{Path, PathBuf};

use crossbeam_channel::Sender;
use fedflow_core::{Assignment, Dict, Lease, Program, WorkerId};
use ipc_channel::ipc::IpcSender;

use crate::host::sessions::json::Line;
use crate::protocol::codec;
use crate::protocol::{Bytes, Carried, MAX_INLINE, TaskMessage, ToWorker};

/// Where a worker is told what to do.
pub(crate) enum Link {
    Ipc(IpcLink),
    /// To the thread that writes the worker's lines.
    Json(Sender<Line>),
}

/// A worker was not told something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// Its channel is closed: its end will tell why.
    #[error("it cannot be reached: {0}")]
    Gone(String),
    /// What it was to be told cannot be sent.
    #[error("it cannot be told: {0}")]
    Unsendable(String),
}

impl Link {
    /// Gives the process its next task, of which it will be known as this worker. It has done the one before.
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
            Self::Ipc(link) => link.send(ToWorker::Load),
            Self::Json(lines) => send_line(lines, Line::load()),
        }
    }

    pub(crate) fn train(&mut self, lease: &Lease, params: Dict) -> Result<(), Unreachable> {
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

    pub(crate) fn exit(&mut self) -> Result<(), Unreachable> {
        match self {
            Self::Ipc(link) => link.send(ToWorker::Exit),
            Self::Json(lines) => send_line(lines, Line::exit()),
        }
    }
}

fn send_line(lines: &Sender<Line>, line: Line) -> Result<(), Unreachable> {
    lines.send(line).map_err(|_| Unreachable::Gone("its connection is closed".into()))
}

/// Orders over ipc-channel. They are few and small: less than the socket takes of a worker that does not read.
pub(crate) struct IpcLink {
    orders: IpcSender<ToWorker>,
    private: PathBuf,
    inline_left: usize,
    files: u32,
}

impl IpcLink {
    /// A link whose large parameters go by files in a private directory.
    pub(crate) fn new(orders: IpcSender<ToWorker>, private: &Path) -> Self {
        Self { orders, private: private.into(), inline_left: MAX_INLINE, files: 0 }
    }

    /// Gives the process a task. It has read everything that it was sent for the one before.
    pub(crate) fn give(
        &mut self,
        worker: WorkerId,
        assignment: &Assignment,
        result_limit: u64,
    ) -> Result<(), Unreachable> {
        let Program::Worker { kind, .. } = assignment.program.as_ref() else {
            return Err(Unreachable::Unsendable("a command is no worker".into()));
        };
        self.inline_left = MAX_INLINE;
        for file in 1..=std::mem::take(&mut self.files) {
            // What cannot be removed goes with the directory.
            let _ = std::fs::remove_file(self.file(file));
        }
        let params = self.carry(assignment.params.clone())?;
        self.send(ToWorker::Task(TaskMessage {
            number: worker.0,
            group: assignment.group.to_string(),
            task_id: assignment.task_id.to_string(),
            attempt: assignment.attempt,
            kind: kind.clone(),
            workdir: assignment.workdir.as_path().into(),
            checkpoint_dir: assignment.checkpoint_dir.as_path().into(),
            params,
            result_limit,
            keep: assignment.keep.clone(),
        }))
    }

    fn send(&self, order: ToWorker) -> Result<(), Unreachable> {
        self.orders.send(order).map_err(|error| Unreachable::Gone(error.to_string()))
    }

    fn carry(&mut self, params: Dict) -> Result<Carried, Unreachable> {
        let unsendable =
            |error: &dyn std::fmt::Display| Unreachable::Unsendable(format!("the parameters: {error}"));
        let bytes = codec::encode(params, u64::MAX).map_err(|error| unsendable(&error))?;
        if bytes.len() <= self.inline_left {
            self.inline_left -= bytes.len();
            return Ok(Carried::Inline(Bytes(bytes)));
        }
        self.files += 1;
        let path = self.file(self.files);
        std::fs::write(&path, &bytes).map_err(|error| unsendable(&error))?;
        Ok(Carried::File { path: path.as_path().into(), length: bytes.len() as u64 })
    }

    fn file(&self, number: u32) -> PathBuf {
        self.private.join(format!("params-{number}"))
    }
}
