//! `IpcLink`: the way to a Rust worker.

use std::path::{Path, PathBuf};

use fedflow_core::{Assignment, Dict, LeaseInfo, Program, WorkerId};
use ipc_channel::ipc::IpcSender;

use crate::protocol::codec;
use crate::protocol::{Bytes, Carried, MAX_INLINE, TaskMessage, ToWorker};

/// Why a command did not reach a worker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// Its channel is closed: its end will say why.
    #[error("it cannot be reached: {0}")]
    Gone(String),
    /// The command cannot be sent.
    #[error("it cannot be told: {0}")]
    Unsendable(String),
}

/// Sends commands over ipc-channel. They are few and small: less than the socket takes for a worker that does not
/// read.
pub(crate) struct IpcLink {
    commands: IpcSender<ToWorker>,
    private: PathBuf,
    inline_left: usize,
    files: u32,
}

impl IpcLink {
    /// A link that sends large parameters by files in a private directory.
    pub(crate) fn new(commands: IpcSender<ToWorker>, private: &Path) -> Self {
        Self { commands, private: private.into(), inline_left: MAX_INLINE, files: 0 }
    }

    /// Gives the process a task. It has read everything that it was sent for its last one.
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
            // A file that cannot be removed is removed with the directory.
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

    pub(crate) fn load(&self) -> Result<(), Unreachable> {
        self.send(ToWorker::Load)
    }

    pub(crate) fn train(&mut self, lease: LeaseInfo, params: Dict) -> Result<(), Unreachable> {
        let params = self.carry(params)?;
        self.send(ToWorker::Train { lease: lease.into(), params })
    }

    pub(crate) fn exit(&self) -> Result<(), Unreachable> {
        self.send(ToWorker::Exit)
    }

    fn send(&self, command: ToWorker) -> Result<(), Unreachable> {
        self.commands.send(command).map_err(|error| Unreachable::Gone(error.to_string()))
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
