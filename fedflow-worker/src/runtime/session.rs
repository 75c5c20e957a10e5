//! The worker's loop: receives commands, calls the author's task, answers.
//!
//! It takes its channels as parameters, so the tests run it without a process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fedflow_core::{Dict, LoadContext, Name, TaskError, TaskIdentity, TrainContext};
use ipc_channel::IpcError;
use ipc_channel::ipc::{IpcReceiver, IpcSender};

use super::panics;
use super::reporter::Reporter;
use super::task_kinds::{AnyTask, Kinds};
use crate::protocol::{
    Bytes, Carried, MAX_CHUNK, MAX_ITEM, TaskMessage, ToHost, ToWorker, WireLease, codec, shortened,
};

/// Prepares the process for a task: its directory, its logs, and what an earlier task left.
pub(super) type Enter<'a> = dyn FnMut(&Path, Entry) -> io::Result<()> + 'a;

/// How a task comes to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The process has served another task before.
    pub(super) reused: bool,
    /// The process is kept when the task is done.
    pub(super) kept: bool,
}

/// A task that was made, and what belongs to it.
struct Current {
    task: Box<dyn AnyTask>,
    identity: TaskIdentity,
    result_limit: u64,
    kind: String,
    keep: Option<String>,
    loaded: bool,
    /// The task before it, for which this process was kept, until it is taken over.
    earlier: Option<Box<dyn AnyTask>>,
}

/// Serves until the supervisor ends the worker or is gone.
pub(super) fn serve(
    kinds: &Kinds,
    commands: &IpcReceiver<ToWorker>,
    events: &IpcSender<ToHost>,
    enter: &mut Enter<'_>,
) {
    let mut current: Option<Current> = None;
    let mut used = false;
    while let Some(command) = next(commands) {
        match command {
            ToWorker::Task(message) => {
                let number = message.number;
                let reused = std::mem::replace(&mut used, true);
                // What the task before had loaded is freed before the next one loads, unless it is kept for that.
                let earlier = current.take().and_then(|before| before.kept_for(&message));
                match take_task(kinds, message, earlier, reused, enter) {
                    Ok(made) => {
                        current = Some(made);
                        tell(events, ToHost::Ready { number });
                    }
                    Err(message) => tell(events, ToHost::Refused { message: fitting(message) }),
                }
            }
            ToWorker::Load => tell(events, load(current.as_mut())),
            ToWorker::Train { lease, params } => train(current.as_mut(), events, lease, params),
            ToWorker::Exit => return,
        }
    }
}

impl Current {
    /// The task, if the process was kept with it for the one that comes; else it is dropped.
    fn kept_for(self, next: &TaskMessage) -> Option<Box<dyn AnyTask>> {
        let fits = self.loaded && self.keep.is_some() && self.keep == next.keep && self.kind == next.kind;
        let task = self.task;
        if fits {
            return Some(task);
        }
        // Dropping runs user code too; that of a task that is over must not end the next one.
        let _ = panics::catch(|| drop(task));
        None
    }
}

/// The next command; `None` when no more will come. A signal that interrupts the wait is no reason to stop.
fn next(commands: &IpcReceiver<ToWorker>) -> Option<ToWorker> {
    loop {
        match commands.recv() {
            Ok(command) => return Some(command),
            Err(IpcError::Io(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// If the supervisor is gone, the loop ends at the next command, or the life line ends the process.
fn tell(events: &IpcSender<ToHost>, message: ToHost) {
    let _ = events.send(message);
}

fn take_task(
    kinds: &Kinds,
    message: TaskMessage,
    earlier: Option<Box<dyn AnyTask>>,
    reused: bool,
    enter: &mut Enter<'_>,
) -> Result<Current, String> {
    let name = |text: String| Name::new(text).map_err(|error| error.to_string());
    let identity = TaskIdentity {
        task_id: name(message.task_id)?,
        group: name(message.group)?,
        attempt: message.attempt,
        workdir: message.workdir.into(),
        checkpoint_dir: message.checkpoint_dir.into(),
    };
    enter(&identity.workdir, Entry { reused, kept: message.keep.is_some() })
        .map_err(|error| format!("cannot enter the task's directory: {error}"))?;
    let params = unpack(message.params)?;
    // Deserialising runs user code too.
    let task = panics::catch(|| kinds.make(&message.kind, params)).and_then(|made| made)?;
    let TaskMessage { kind, keep, result_limit, .. } = message;
    Ok(Current { task, identity, result_limit, kind, keep, loaded: false, earlier })
}

fn load(current: Option<&mut Current>) -> ToHost {
    let Some(Current { task, identity, earlier, loaded, .. }) = current else { return no_task() };
    let mut ctx = LoadContext::new(identity);
    let earlier = earlier.take();
    let outcome = panics::catch(|| match earlier {
        Some(earlier) => task.take_over(earlier, &mut ctx),
        None => task.load(&mut ctx),
    });
    *loaded = matches!(outcome, Ok(Ok(())));
    match outcome {
        Ok(Ok(())) => ToHost::Loaded,
        Ok(Err(error)) => failed(&error),
        Err(panic) => failed(&TaskError::new(panic)),
    }
}

fn train(current: Option<&mut Current>, events: &IpcSender<ToHost>, lease: WireLease, params: Carried) {
    let Some(Current { task, identity, result_limit, .. }) = current else {
        return tell(events, no_task());
    };
    let params = match unpack(params) {
        Ok(params) => params,
        Err(message) => return tell(events, failed(&TaskError::new(message))),
    };
    let lease = lease.into();
    let mut reporter = Reporter::new(events.clone());
    let outcome = panics::catch(|| {
        let mut ctx = TrainContext::new(identity, &params, &lease, &mut reporter);
        task.train(&mut ctx, &lease.device)
    });
    reporter.finish();
    // An unfinished line belongs to this task's log, whichever task comes next.
    let _ = io::stdout().flush();
    match outcome {
        Ok(Ok(result)) => send_result(events, result, *result_limit),
        Ok(Err(error)) => tell(events, failed(&error)),
        Err(panic) => tell(events, failed(&TaskError::new(panic))),
    }
}

fn send_result(events: &IpcSender<ToHost>, result: Dict, limit: u64) {
    match codec::encode(result, limit) {
        Ok(bytes) if bytes.len() <= MAX_CHUNK => tell(events, ToHost::Whole(Bytes(bytes))),
        Ok(bytes) => {
            tell(events, ToHost::Result { length: bytes.len() as u64 });
            for chunk in bytes.chunks(MAX_CHUNK) {
                tell(events, ToHost::Chunk(Bytes(chunk.to_vec())));
            }
        }
        Err(error) => {
            tell(events, failed(&TaskError::new(format!("the result cannot be sent: {error}"))));
        }
    }
}

fn unpack(carried: Carried) -> Result<Dict, String> {
    let bytes = match carried {
        Carried::Inline(Bytes(bytes)) => bytes,
        Carried::File { path, length } => {
            let path = PathBuf::from(path);
            let mut bytes = Vec::new();
            File::open(&path)
                .and_then(|file| file.take(length.saturating_add(1)).read_to_end(&mut bytes))
                .map_err(|error| format!("cannot read the parameters: {error}"))?;
            if bytes.len() as u64 != length {
                return Err(format!("the parameters have {} bytes instead of {length}", bytes.len()));
            }
            bytes
        }
    };
    // The supervisor is trusted; what it sends has no limit of its own.
    codec::decode(&bytes, u64::MAX).map_err(|error| format!("cannot read the parameters: {error}"))
}

fn failed(error: &TaskError) -> ToHost {
    ToHost::Failed { out_of_memory: error.is_out_of_memory(), message: fitting(error.message().into()) }
}

fn no_task() -> ToHost {
    ToHost::Failed { out_of_memory: false, message: "the worker has no task".into() }
}

fn fitting(message: String) -> String {
    shortened(message, MAX_ITEM)
}

#[cfg(test)]
mod tests;
