//! The steps: what a worker is asked, and what it has to answer.

use std::time::Duration;

use fedflow_core::{FailureKind, WorkerEvent};

use super::conversation::{Conversation, Heard};
use super::step_fault::{
    IGNORE, LAST_WORDS, LEAVE, NEW_TASK, ORDER, OTHER_PARAMS, REPORT_ERRORS, RESULT, SAY_NOTHING_ELSE,
    StepFault, clipped, failed, seconds,
};
use super::trial::Trial;
use crate::processes::spawn::Ending;

/// A kind that no worker knows.
pub(crate) const UNKNOWN_KIND: &str = "fedflow-check-unknown-kind";

/// The handshake.
pub(crate) fn await_hello(conversation: &mut Conversation, hint: &'static str) -> Result<(), StepFault> {
    match conversation.hear(conversation.limit) {
        Heard::Event(WorkerEvent::Ready) => Ok(()),
        // A Rust worker answers hello and its first task at once, and may refuse the task: that comes next.
        Heard::Ended(cause) if cause.kind == FailureKind::Error => {
            conversation.hear_again(Heard::Ended(cause));
            Ok(())
        }
        other => Err(StepFault::instead(conversation, other, "an answer to hello", hint)),
    }
}

/// A Rust worker's answer to its first task.
pub(crate) fn await_task(conversation: &mut Conversation) -> Result<String, StepFault> {
    match conversation.hear(Duration::ZERO) {
        Heard::Nothing => Ok(String::new()),
        other => Err(StepFault::instead(conversation, other, "it to take the task", OTHER_PARAMS)),
    }
}

pub(crate) fn do_load(conversation: &mut Conversation) -> Result<String, StepFault> {
    let began = conversation.now();
    conversation.load();
    match conversation.hear(conversation.limit) {
        Heard::Event(WorkerEvent::Loaded) => Ok(seconds(conversation.now().since(began))),
        Heard::Event(WorkerEvent::Failed { kind, message }) => {
            Err(StepFault::of(conversation, failed("load", kind, message), OTHER_PARAMS))
        }
        other => Err(StepFault::instead(conversation, other, "`loaded`", ORDER)),
    }
}

pub(crate) fn do_train(conversation: &mut Conversation, trial: &Trial) -> Result<String, StepFault> {
    let began = conversation.now();
    let (mut items, mut progress) = (0_u64, 0_u64);
    conversation.train(trial.device, &trial.train_params);
    loop {
        let left = (began + conversation.limit).since(conversation.now());
        match conversation.hear(left) {
            Heard::Event(WorkerEvent::Item { .. }) => items += 1,
            Heard::Event(WorkerEvent::Progress { .. }) => progress += 1,
            Heard::Event(WorkerEvent::Trained(result)) => {
                let keys: Vec<&str> = result.iter().map(|(key, _)| key).collect();
                return Ok(format!(
                    "{}; result: {}; before it: items {items}, progress {progress}",
                    seconds(conversation.now().since(began)),
                    if keys.is_empty() { "empty".into() } else { clipped(keys.join(", ")) }
                ));
            }
            Heard::Event(WorkerEvent::Failed { kind, message }) => {
                return Err(StepFault::of(conversation, failed("train", kind, message), OTHER_PARAMS));
            }
            other => return Err(StepFault::instead(conversation, other, "`result`", RESULT)),
        }
    }
}

/// The same task once more, in the same process.
pub(crate) fn do_another(conversation: &mut Conversation, trial: &Trial) -> Result<String, StepFault> {
    conversation
        .give((&trial.kind, trial.params.clone()))
        .map_err(|cause| StepFault::of(conversation, cause.message, NEW_TASK))?;
    match conversation.hear(conversation.limit) {
        Heard::Event(WorkerEvent::Ready) => {}
        other => return Err(StepFault::instead(conversation, other, "it to take a second task", NEW_TASK)),
    }
    let done = do_load(conversation).and_then(|_| do_train(conversation, trial));
    done.map(|_| String::new()).map_err(|fault| StepFault { hint: NEW_TASK, ..fault })
}

pub(crate) fn leave(conversation: &mut Conversation) -> Result<String, StepFault> {
    conversation.exit();
    match conversation.ending(conversation.limit) {
        Some(Ending::Code(0)) => {}
        Some(ending) => {
            let problem = format!("expected exit code 0 after `exit`, got {ending}");
            return Err(StepFault::of(conversation, problem, LEAVE));
        }
        None => {
            let problem = format!("it still runs {} after it was told to exit", seconds(conversation.limit));
            return Err(StepFault::of(conversation, problem, LEAVE));
        }
    }
    match conversation.hear(LAST_WORDS) {
        Heard::Closed | Heard::Nothing => Ok(String::new()),
        other => Err(StepFault::instead(conversation, other, "nothing after `exit`", SAY_NOTHING_ELSE)),
    }
}

/// The worker was given a task of a kind that no worker knows: it has to say so.
pub(crate) fn refuse_unknown_kind(conversation: &mut Conversation) -> Result<String, StepFault> {
    // A Rust worker has refused it in its answer to the task.
    let mut heard = conversation.hear(Duration::ZERO);
    if heard == Heard::Nothing {
        conversation.load();
        heard = conversation.hear(conversation.limit);
    }
    is_refusal(conversation, heard)
}

fn is_refusal(conversation: &mut Conversation, heard: Heard) -> Result<String, StepFault> {
    let wrong = |conversation: &Conversation, what: &str| {
        let problem = format!("expected an error for a task of kind {UNKNOWN_KIND:?}, got {what}");
        Err(StepFault::of(conversation, problem, REPORT_ERRORS))
    };
    match heard {
        Heard::Event(WorkerEvent::Failed { kind: FailureKind::Error, message }) => Ok(clipped(message)),
        Heard::Ended(cause) if cause.kind == FailureKind::Error => Ok(clipped(cause.message)),
        Heard::Event(WorkerEvent::Failed { kind, .. }) => wrong(conversation, &format!("one of kind {kind}")),
        Heard::Event(WorkerEvent::Loaded) => wrong(conversation, "`loaded`"),
        other => {
            Err(StepFault::instead(conversation, other, "an error that refuses the task", REPORT_ERRORS))
        }
    }
}

/// Loads the task that the worker was given, with commands and keys around that no version knows.
pub(crate) fn ignore_the_unknown(conversation: &mut Conversation, kind: &str) -> Result<String, StepFault> {
    conversation.load_strangely();
    match conversation.hear(conversation.limit) {
        heard if kind == UNKNOWN_KIND => match is_refusal(conversation, heard) {
            Ok(_) => Ok(String::new()),
            Err(fault) => Err(StepFault { hint: IGNORE, ..fault }),
        },
        Heard::Event(WorkerEvent::Loaded) => Ok(String::new()),
        Heard::Event(WorkerEvent::Failed { message, .. }) => {
            let said = clipped(message);
            let problem =
                format!("to a command that it does not know, and `load` with more keys, it said: {said}");
            Err(StepFault::of(conversation, problem, IGNORE))
        }
        other => Err(StepFault::instead(conversation, other, "`loaded`", IGNORE)),
    }
}

/// The channel is closed, as the end of the supervisor would close it.
pub(crate) fn leave_closed_channel(conversation: &mut Conversation) -> Result<String, StepFault> {
    conversation.hang_up();
    match conversation.ending(conversation.limit) {
        Some(_) => Ok(String::new()),
        None => {
            let problem = format!(
                "it still runs {} after its channel was closed; so it would outlive its supervisor",
                seconds(conversation.limit)
            );
            Err(StepFault::of(conversation, problem, LEAVE))
        }
    }
}
