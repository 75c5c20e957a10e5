//! What a worker is asked, and what it has to answer: one function for each step.

use std::time::Duration;

use fedflow_core::{FailureKind, WorkerEvent};

use super::Trial;
use super::conversation::{Conversation, Heard};
use super::step_fault::{
    Fault, IGNORE, LAST_WORDS, LEAVE, NEW_TASK, ORDER, OTHER_PARAMS, REPORT_ERRORS, RESULT, SAY_NOTHING_ELSE,
    clipped, failed, seconds,
};
use crate::processes::spawn::Ending;

/// A kind that no worker knows.
pub(crate) const UNKNOWN_KIND: &str = "fedflow-check-unknown-kind";

impl Conversation {
    /// The handshake.
    pub(crate) fn await_hello(&mut self, hint: &'static str) -> Result<(), Fault> {
        match self.hear(self.limit) {
            Heard::Event(WorkerEvent::Ready) => Ok(()),
            // A Rust worker answers hello and its first task at once, and may refuse the task: that comes next.
            Heard::Ended(cause) if cause.kind == FailureKind::Error => {
                self.hear_again(Heard::Ended(cause));
                Ok(())
            }
            other => Err(Fault::instead(self, other, "an answer to hello", hint)),
        }
    }

    /// A Rust worker's answer to its first task.
    pub(crate) fn await_task(&mut self) -> Result<String, Fault> {
        match self.hear(Duration::ZERO) {
            Heard::Nothing => Ok(String::new()),
            other => Err(Fault::instead(self, other, "it to take the task", OTHER_PARAMS)),
        }
    }

    pub(crate) fn do_load(&mut self) -> Result<String, Fault> {
        let began = self.now();
        self.load();
        match self.hear(self.limit) {
            Heard::Event(WorkerEvent::Loaded) => Ok(seconds(self.now().since(began))),
            Heard::Event(WorkerEvent::Failed { kind, message }) => {
                Err(Fault::of(self, failed("load", kind, message), OTHER_PARAMS))
            }
            other => Err(Fault::instead(self, other, "`loaded`", ORDER)),
        }
    }

    pub(crate) fn do_train(&mut self, trial: &Trial) -> Result<String, Fault> {
        let began = self.now();
        let (mut items, mut progress) = (0_u64, 0_u64);
        self.train(trial.device, &trial.train_params);
        loop {
            let left = (began + self.limit).since(self.now());
            match self.hear(left) {
                Heard::Event(WorkerEvent::Item { .. }) => items += 1,
                Heard::Event(WorkerEvent::Progress { .. }) => progress += 1,
                Heard::Event(WorkerEvent::Trained(result)) => {
                    let keys: Vec<&str> = result.iter().map(|(key, _)| key).collect();
                    return Ok(format!(
                        "{}; result: {}; before it: items {items}, progress {progress}",
                        seconds(self.now().since(began)),
                        if keys.is_empty() { "empty".into() } else { clipped(keys.join(", ")) }
                    ));
                }
                Heard::Event(WorkerEvent::Failed { kind, message }) => {
                    return Err(Fault::of(self, failed("train", kind, message), OTHER_PARAMS));
                }
                other => return Err(Fault::instead(self, other, "`result`", RESULT)),
            }
        }
    }

    /// The same task once more, in the same process.
    pub(crate) fn do_another(&mut self, trial: &Trial) -> Result<String, Fault> {
        self.give((&trial.kind, trial.params.clone()))
            .map_err(|cause| Fault::of(self, cause.message, NEW_TASK))?;
        match self.hear(self.limit) {
            Heard::Event(WorkerEvent::Ready) => {}
            other => return Err(Fault::instead(self, other, "it to take a second task", NEW_TASK)),
        }
        let done = self.do_load().and_then(|_| self.do_train(trial));
        done.map(|_| String::new()).map_err(|fault| Fault { hint: NEW_TASK, ..fault })
    }

    pub(crate) fn leave(&mut self) -> Result<String, Fault> {
        self.exit();
        match self.ending(self.limit) {
            Some(Ending::Code(0)) => {}
            Some(ending) => {
                let problem = format!("expected exit code 0 after `exit`, got {ending}");
                return Err(Fault::of(self, problem, LEAVE));
            }
            None => {
                let problem = format!("it still runs {} after it was told to exit", seconds(self.limit));
                return Err(Fault::of(self, problem, LEAVE));
            }
        }
        match self.hear(LAST_WORDS) {
            Heard::Closed | Heard::Nothing => Ok(String::new()),
            other => Err(Fault::instead(self, other, "nothing after `exit`", SAY_NOTHING_ELSE)),
        }
    }

    /// The worker was given a task of a kind that nobody knows: it has to say so.
    pub(crate) fn refuse_unknown_kind(&mut self) -> Result<String, Fault> {
        // A Rust worker has refused it in its answer to the task.
        let mut heard = self.hear(Duration::ZERO);
        if heard == Heard::Nothing {
            self.load();
            heard = self.hear(self.limit);
        }
        self.is_refusal(heard)
    }

    fn is_refusal(&mut self, heard: Heard) -> Result<String, Fault> {
        let wrong = |talk: &Self, what: &str| {
            let problem = format!("expected an error for a task of kind {UNKNOWN_KIND:?}, got {what}");
            Err(Fault::of(talk, problem, REPORT_ERRORS))
        };
        match heard {
            Heard::Event(WorkerEvent::Failed { kind: FailureKind::Error, message }) => Ok(clipped(message)),
            Heard::Ended(cause) if cause.kind == FailureKind::Error => Ok(clipped(cause.message)),
            Heard::Event(WorkerEvent::Failed { kind, .. }) => wrong(self, &format!("one of kind {kind}")),
            Heard::Event(WorkerEvent::Loaded) => wrong(self, "`loaded`"),
            other => Err(Fault::instead(self, other, "an error that refuses the task", REPORT_ERRORS)),
        }
    }

    /// Loads the task that the worker was given, with strange words around.
    pub(crate) fn ignore_the_unknown(&mut self, kind: &str) -> Result<String, Fault> {
        self.load_strangely();
        match self.hear(self.limit) {
            heard if kind == UNKNOWN_KIND => match self.is_refusal(heard) {
                Ok(_) => Ok(String::new()),
                Err(fault) => Err(Fault { hint: IGNORE, ..fault }),
            },
            Heard::Event(WorkerEvent::Loaded) => Ok(String::new()),
            Heard::Event(WorkerEvent::Failed { message, .. }) => {
                let said = clipped(message);
                let problem =
                    format!("to a command that it does not know, and `load` with more keys, it said: {said}");
                Err(Fault::of(self, problem, IGNORE))
            }
            other => Err(Fault::instead(self, other, "`loaded`", IGNORE)),
        }
    }

    /// The channel is closed, as the end of the supervisor would.
    pub(crate) fn leave_closed_channel(&mut self) -> Result<String, Fault> {
        self.hang_up();
        match self.ending(self.limit) {
            Some(_) => Ok(String::new()),
            None => {
                let problem = format!(
                    "it still runs {} after its channel was closed; so it would outlive its supervisor",
                    seconds(self.limit)
                );
                Err(Fault::of(self, problem, LEAVE))
            }
        }
    }
}
