//! `StepFault`: why a step of the check failed, in words: what was expected, what came, and what to do about it.

use std::time::Duration;

use fedflow_core::{FailureKind, LastLines};

use super::conversation::{Conversation, Heard};
use crate::protocol::shortened;

/// The longest text of a worker that is repeated, in bytes.
const MAX_QUOTE: usize = 600;
/// How long a silent worker may take to say something when its channel ends.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why a step failed.
pub(crate) struct StepFault {
    pub(crate) problem: String,
    pub(crate) hint: &'static str,
    pub(crate) last_lines: LastLines,
}

pub(crate) const SAY_NOTHING_ELSE: &str = "write one JSON object a line to the channel and nothing else; stdout and stderr are \
                                free, they go to the task's logs";
pub(crate) const FLUSH: &str = "flush after every line; or allow it more time";
pub(crate) const IGNORE: &str =
    "pass over commands and keys that you do not know: a later version may add some";
pub(crate) const LEAVE: &str =
    "leave the loop at `exit`, and when there is nothing left to read; end every thread and helper";
pub(crate) const REPORT_ERRORS: &str = "catch what goes wrong in load and train and say it: {\"event\": \"error\", \"phase\": \"load\", \
                             \"kind\": \"error\", \"message\": ..}";
pub(crate) const SCRIPT: &str = "a worker's current directory is its task's: name the script by its absolute path, or make it a \
                      program (a first line such as #!/usr/bin/env python3, and chmod +x)";
pub(crate) const START: &str = "try it by hand: it should wait for its first line";
pub(crate) const RUST: &str =
    "call `Worker::run` first in `main`, before anything that takes long or starts a thread";
pub(crate) const ORDER: &str = "answer `load` with `loaded` and `train` with `result`, each once, or with `error`; items and progress \
                     belong into train";
pub(crate) const RESULT: &str = "a result is an object: {\"event\": \"result\", \"data\": {..}}; every key stands once, integers \
                      have 64 bits, at most 128 levels are nested";
pub(crate) const OTHER_PARAMS: &str = "if the worker is right, try it with other parameters";
pub(crate) const NEW_TASK: &str = "a process may be given one task after the other: make a new one for each";

impl StepFault {
    /// A fault of a worker that runs, or ran.
    pub(crate) fn of(conversation: &Conversation, problem: String, hint: &'static str) -> Self {
        Self { problem, hint, last_lines: conversation.last_lines() }
    }

    /// A fault before anything runs.
    pub(crate) fn early(problem: String, hint: &'static str) -> Self {
        Self { problem, hint, last_lines: LastLines::default() }
    }

    /// Something came that was not expected.
    pub(crate) fn instead(
        conversation: &mut Conversation,
        heard: Heard,
        expected: &str,
        hint: &'static str,
    ) -> Self {
        match heard {
            Heard::Ended(cause) => {
                let hint = if cause.message.contains("is not JSON") { SAY_NOTHING_ELSE } else { hint };
                Self::of(conversation, format!("expected {expected}, but {}", clipped(cause.message)), hint)
            }
            Heard::Event(event) => Self::of(
                conversation,
                format!("expected {expected}, got {}", clipped(format!("{event:?}"))),
                hint,
            ),
            Heard::Closed => {
                let problem = match conversation.prompt_ending() {
                    Some(ending) => format!("expected {expected}, but it ended with {ending}"),
                    None => format!("expected {expected}, but it closed its channel and still runs"),
                };
                Self::of(conversation, problem, hint)
            }
            Heard::Nothing => Self::silence(conversation, expected, hint),
        }
    }

    /// Nothing came: perhaps it lies in a buffer and comes when the worker exits.
    fn silence(conversation: &mut Conversation, expected: &str, hint: &'static str) -> Self {
        let nothing = format!("expected {expected}, but nothing came within {}", seconds(conversation.limit));
        conversation.stop_talking();
        match conversation.hear(LAST_WORDS) {
            Heard::Event(_) | Heard::Ended(_) => {
                Self::of(conversation, format!("{nothing}; it came when the channel was closed"), FLUSH)
            }
            Heard::Closed | Heard::Nothing => Self::of(conversation, nothing, hint),
        }
    }
}

/// What a task said of its failure.
pub(crate) fn failed(phase: &str, kind: FailureKind, message: String) -> String {
    format!("{phase} failed ({kind}): {}", clipped(message))
}

/// A text of the worker, cut to a length that can be read.
pub(crate) fn clipped(text: String) -> String {
    shortened(text, MAX_QUOTE)
}

/// A duration with its unit.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
