//! `IpcLink`: the way to a Rust worker.

use std::fs;
use std::io;
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
    /// Where large parameters lie: in memory, else in the task's directory.
    private: PathBuf,
    workdir: PathBuf,
    inline_left: usize,
    files: Vec<PathBuf>,
}

impl IpcLink {
    /// A link that sends large parameters by files in a private directory.
    pub(crate) fn new(commands: IpcSender<ToWorker>, private: &Path) -> Self {
        let (private, workdir) = (private.to_owned(), PathBuf::new());
        Self { commands, private, workdir, inline_left: MAX_INLINE, files: Vec::new() }
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
        self.remove_files();
        self.workdir.clone_from(&assignment.workdir);
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
        let path = self.write(&bytes).map_err(|error| unsendable(&error))?;
        Ok(Carried::File { path: path.as_path().into(), length: bytes.len() as u64 })
    }

    /// Writes a file for the worker to read. The directory in memory may be full or removed: then there is room for it
    /// where the run is.
    fn write(&mut self, bytes: &[u8]) -> io::Result<PathBuf> {
        let name = format!("params-{}", self.files.len() + 1);
        let in_memory = self.private.join(&name);
        if fs::write(&in_memory, bytes).is_ok() {
            self.files.push(in_memory.clone());
            return Ok(in_memory);
        }
        // What was written of it takes the room of others.
        let _ = fs::remove_file(&in_memory);
        let path = self.workdir.join(format!(".fedflow-{name}"));
        self.files.push(path.clone());
        fs::write(&path, bytes)?;
        Ok(path)
    }

    fn remove_files(&mut self) {
        for file in self.files.drain(..) {
            // One that cannot be removed goes with its directory.
            let _ = fs::remove_file(file);
        }
    }
}

impl Drop for IpcLink {
    fn drop(&mut self) {
        self.remove_files();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fedflow_core::Name;
    use ipc_channel::ipc;

    use super::*;

    #[test]
    fn large_parameters_lie_in_the_tasks_directory_where_memory_has_no_room() {
        let root = tempfile::tempdir().unwrap();
        let [private, workdir] = ["private", "task"].map(|name| root.path().join(name));
        [&private, &workdir].into_iter().for_each(|path| fs::create_dir(path).unwrap());
        let name = |name: &str| Name::new(name).unwrap();
        let assignment = Assignment {
            group: name("g"),
            task_id: name("t"),
            attempt: 1,
            workdir: workdir.clone(),
            cwd: None,
            on_cpu: false,
            checkpoint_dir: root.path().join("checkpoint"),
            program: Arc::new(Program::Worker { worker: "w".into(), kind: "k".into() }),
            params: Dict::from([("text", "x".repeat(2 * MAX_INLINE))]),
            keep: None,
            oom_signs: Default::default(),
        };
        let (sender, receiver) = ipc::channel().unwrap();
        let mut link = IpcLink::new(sender, &private);
        let mut given = || {
            link.give(WorkerId(1), &assignment, 1).unwrap();
            let ToWorker::Task(TaskMessage { params: Carried::File { path, length }, .. }) =
                receiver.recv().unwrap()
            else {
                panic!("they are large");
            };
            let path = PathBuf::from(path);
            assert_eq!(fs::metadata(&path).unwrap().len(), length);
            path
        };
        let in_memory = given();
        assert!(in_memory.starts_with(&private));
        fs::remove_dir_all(&private).unwrap();
        let beside = given();
        assert!(beside.starts_with(&workdir));
        drop(link);
        assert!(!beside.exists(), "nothing of it stays");
    }
}
