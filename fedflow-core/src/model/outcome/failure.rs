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
    /// It was not to be run: a condition in its flow did not hold. This is no failure.
    Skipped,
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
            Self::Skipped => "skipped",
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
    /// The last lines that it wrote to stdout, if it wrote none to stderr.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout_tail: String,
}

/// The last lines that a process printed, without what only steers a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastLines {
    /// Those that it wrote to stderr.
    pub stderr: String,
    /// Those that it wrote to stdout, if it wrote none to stderr: there are programs that print their errors there.
    pub stdout: String,
}

impl LastLines {
    /// Lines of stderr alone.
    #[must_use]
    pub fn of_stderr(lines: impl Into<String>) -> Self {
        Self { stderr: lines.into(), stdout: String::new() }
    }
}

impl Failure {
    /// A failure without the last lines that the task printed, which are added where the logs are at hand.
    #[must_use]
    pub fn new(stage: Stage, kind: FailureKind, message: impl Into<String>) -> Self {
        let (stderr_tail, stdout_tail) = Default::default();
        Self { stage, kind, message: message.into(), stderr_tail, stdout_tail }
    }

    /// The failure with the last lines that the task printed.
    #[must_use]
    pub fn with_last_lines(self, LastLines { stderr, stdout }: LastLines) -> Self {
        Self { stderr_tail: stderr, stdout_tail: stdout, ..self }
    }

    /// The name of the log that says more about it, and the last lines there; `None` if the task printed nothing.
    #[must_use]
    pub fn last_lines(&self) -> Option<(&'static str, &str)> {
        [("stderr.log", &self.stderr_tail), ("stdout.log", &self.stdout_tail)]
            .into_iter()
            .find(|(_, lines)| !lines.trim().is_empty())
            .map(|(log, lines)| (log, lines.as_str()))
    }

    /// The last line that the task printed, if the message only says how its process ended.
    #[must_use]
    pub fn last_line(&self) -> Option<&str> {
        let (_, lines) = self.last_lines()?;
        let last = lines.lines().rev().map(str::trim).find(|line| !line.is_empty());
        last.filter(|_| matches!(self.kind, FailureKind::Exit | FailureKind::Killed))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: {}", self.kind, self.stage, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_that_has_something_is_named() {
        let failure = |kind, stderr: &str, stdout: &str| {
            let last_lines = LastLines { stderr: stderr.into(), stdout: stdout.into() };
            Failure::new(Stage::Train, kind, "exit code 1").with_last_lines(last_lines)
        };
        let of_stderr = failure(FailureKind::Exit, "Traceback\nValueError: 42\n", "");
        assert_eq!(of_stderr.last_lines(), Some(("stderr.log", "Traceback\nValueError: 42\n")));
        assert_eq!(of_stderr.last_line(), Some("ValueError: 42"));
        let of_stdout = failure(FailureKind::Exit, "\n", "no such file");
        assert_eq!(of_stdout.last_lines(), Some(("stdout.log", "no such file")));
        assert_eq!(failure(FailureKind::Exit, "", "").last_lines(), None);
        assert_eq!(failure(FailureKind::Error, "noise", "").last_line(), None, "the message has the cause");
    }

    #[test]
    fn what_stdout_ended_with_is_recorded_only_if_it_is_shown() {
        let failure = Failure::new(Stage::Train, FailureKind::Exit, "exit code 1");
        let text = serde_json::to_string(&failure).unwrap();
        assert!(!text.contains("stdout_tail"), "{text}");
        let of_stdout = LastLines { stdout: "no".into(), ..LastLines::default() };
        let failure = failure.with_last_lines(of_stdout);
        let text = serde_json::to_string(&failure).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), failure);
    }
}
