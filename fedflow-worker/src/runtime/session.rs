//! The worker's loop: hears what the supervisor wants, calls the user's task, answers.
//!
//! It takes its channels as parameters, so the tests run it without a process.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use fedflow_core::{Dict, LoadContext, Name, TaskError, TaskIdentity, TrainContext};
use ipc_channel::IpcError;
use ipc_channel::ipc::{IpcReceiver, IpcSender};

use super::kinds::{AnyTask, Kinds};
use super::panics;
use super::teller::Teller;
use crate::codec;
use crate::protocol::{
    Bytes, Carried, MAX_CHUNK, MAX_ITEM, TaskMessage, ToHost, ToWorker, WireLease, shortened,
};

/// A task that was made, and what belongs to it.
struct Current {
    task: Box<dyn AnyTask>,
    identity: TaskIdentity,
    result_limit: u64,
}

/// Serves until the supervisor sends the worker away or is gone.
pub(super) fn serve(kinds: &Kinds, orders: &IpcReceiver<ToWorker>, events: &IpcSender<ToHost>) {
    let mut current: Option<Current> = None;
    while let Some(order) = next(orders) {
        match order {
            ToWorker::Task(message) => {
                // What the task before had loaded is freed before the next one loads.
                drop(current.take());
                match take_task(kinds, message) {
                    Ok(made) => {
                        current = Some(made);
                        tell(events, ToHost::Ready);
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

/// The next order; `None` when no more will come. A signal that interrupts the wait is no reason to stop.
fn next(orders: &IpcReceiver<ToWorker>) -> Option<ToWorker> {
    loop {
        match orders.recv() {
            Ok(order) => return Some(order),
            Err(IpcError::Io(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// If nobody listens any more, the loop ends with the next order, or the life line ends the process.
fn tell(events: &IpcSender<ToHost>, message: ToHost) {
    let _ = events.send(message);
}

fn take_task(kinds: &Kinds, message: TaskMessage) -> Result<Current, String> {
    let name = |text: String| Name::new(text).map_err(|error| error.to_string());
    let identity = TaskIdentity {
        task_id: name(message.task_id)?,
        group: name(message.group)?,
        attempt: message.attempt,
        workdir: message.workdir.into(),
        checkpoint_dir: message.checkpoint_dir.into(),
    };
    // A process that already had a task stands in that one's directory.
    std::env::set_current_dir(&identity.workdir)
        .map_err(|error| format!("cannot enter the task's directory: {error}"))?;
    let params = unpack(message.params)?;
    // Deserialising runs user code too.
    let task = panics::catch(|| kinds.make(&message.kind, params)).and_then(|made| made)?;
    Ok(Current { task, identity, result_limit: message.result_limit })
}

fn load(current: Option<&mut Current>) -> ToHost {
    let Some(Current { task, identity, .. }) = current else { return no_task() };
    match panics::catch(|| task.load(&mut LoadContext::new(identity))) {
        Ok(Ok(())) => ToHost::Loaded,
        Ok(Err(error)) => failed(&error),
        Err(panic) => failed(&TaskError::new(panic)),
    }
}

fn train(current: Option<&mut Current>, events: &IpcSender<ToHost>, lease: WireLease, params: Carried) {
    let Some(Current { task, identity, result_limit }) = current else { return tell(events, no_task()) };
    let params = match unpack(params) {
        Ok(params) => params,
        Err(message) => return tell(events, failed(&TaskError::new(message))),
    };
    let lease = lease.into();
    let mut teller = Teller::new(events.clone());
    let outcome = panics::catch(|| {
        let mut ctx = TrainContext::new(identity, &params, &lease, &mut teller);
        task.train(&mut ctx, &lease.device)
    });
    teller.finish();
    match outcome {
        Ok(Ok(result)) => send_result(events, result, *result_limit),
        Ok(Err(error)) => tell(events, failed(&error)),
        Err(panic) => tell(events, failed(&TaskError::new(panic))),
    }
}

fn send_result(events: &IpcSender<ToHost>, result: Dict, limit: u64) {
    match codec::encode(result, limit) {
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
