//! `Failure`: why a task failed: stage, kind, message, and what it printed last.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stage of its life in which a task failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before its process was ready.
    Start,
    /// In `load`.
    Load,
    /// Between `load` and `train`.
    Wait,
    /// In `train`.
    Train,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Start => "start",
            Self::Load => "load",
            Self::Wait => "wait",
            Self::Train => "train",
        })
    }
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The task returned or raised an error, or panicked.
    Error,
    /// It was ended by a signal that Fedflow did not send.
    Killed,
    /// Its process exited without a result.
    Exit,
    /// A time limit expired.
    Timeout,
    /// It ran out of memory.
    Oom,
    /// It broke the worker protocol.
    Protocol,
    /// Its process could not be started.
    Spawn,
    /// It was cancelled, or the run was stopped.
    Cancelled,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Killed => "killed",
            Self::Exit => "exit",
            Self::Timeout => "timeout",
            Self::Oom => "oom",
            Self::Protocol => "protocol",
            Self::Spawn => "spawn",
            Self::Cancelled => "cancelled",
        })
    }
}

/// Why a task, or one attempt at it, failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stage in which it failed.
    pub stage: Stage,
    /// The kind of the failure.
    pub kind: FailureKind,
    /// The cause, in words: the error's text, the signal or the exit code.
    pub message: String,
    /// The last lines that it wrote to stderr; empty if it wrote none.
    #[serde(default)]
    pub stderr_tail: String,
}

impl Failure {
    /// A failure without the last lines of stderr, which are added where the log is at hand.
    #[must_use]
    pub fn new(stage: Stage, kind: FailureKind, message: impl Into<String>) -> Self {
        Self { stage, kind, message: message.into(), stderr_tail: String::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: {}", self.kind, self.stage, self.message)
    }
}
