//! Why a command did not succeed: the message, the hints, and the exit code.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use fedflow_gpu::LedgerError;
use fedflow_worker::store::{CreateRunDirError, RunDirError};

use crate::diagnostic::Diagnostics;
use crate::mail::AccountError;
use crate::run::short_path;
use crate::run::{DevicesError, OpenError};

/// What to do about recorded groups that have changed.
pub(super) const CHANGED_HINT: &str = "only groups that had not started may change; --fresh begins anew";

/// How a command failed.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// Wrong usage, flow or configuration; nothing was started.
    Refused(Refusal),
    /// The flow ran, and at least one task did not finish. The user has been told.
    TasksFailed,
    /// A worker program does not keep to the protocol. The user has been told.
    WorkerFaulty,
    /// The run could not go on.
    Failed(Refusal),
    /// A signal stopped the run. The user has been told.
    Stopped {
        /// The signal's number.
        signal: i32,
    },
}

/// What was wrong, and what to do next.
#[derive(Debug)]
pub(crate) struct Refusal {
    message: String,
    hints: Vec<String>,
}

impl CommandError {
    /// Wrong usage, flow or configuration.
    pub(crate) fn refused(message: impl fmt::Display) -> Self {
        Self::Refused(Refusal::new(message))
    }

    /// A directory that was named holds no run.
    pub(crate) fn no_run(error: RunDirError) -> Self {
        let is_flow = |path: &Path| path.extension().is_some_and(|extension| extension == "toml");
        let hint = match &error {
            RunDirError::NotADirectory(path) if is_flow(path) => {
                "name the run's directory, not the flow file: the flow's workdir, which is `res` unless the flow says otherwise"
            }
            RunDirError::Io { source, .. } if source.kind() != io::ErrorKind::NotFound => {
                return Self::refused(error);
            }
            RunDirError::Io { .. } | RunDirError::NotADirectory(_) | RunDirError::NotARun(_) => {
                "name the run's directory: the flow's workdir, which is `res` beside the flow file unless the flow says otherwise"
            }
            _ => return Self::refused(error),
        };
        Self::refused(error).hint(hint)
    }

    /// The run cannot go on.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(Refusal::new(message))
    }

    /// Adds a line that says what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Refused(refusal) | Self::Failed(refusal) = &mut self {
            refusal.hints.push(hint.into());
        }
        self
    }

    /// Adds such a line, if there is something to say.
    #[must_use]
    pub(crate) fn maybe_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// The exit code of the documentation.
    #[must_use]
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::TasksFailed | Self::WorkerFaulty => 1,
            Self::Refused(_) => 2,
            Self::Failed(_) => 3,
            Self::Stopped { signal } => u8::try_from(128 + signal).unwrap_or(255),
        })
    }

    /// The text for stderr; none if the user has been told everything.
    #[must_use]
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) | Self::Failed(refusal) => Some(refusal.to_string()),
            Self::TasksFailed | Self::WorkerFaulty | Self::Stopped { .. } => None,
        }
    }
}

impl Refusal {
    fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), hints: Vec::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.trim_end();
        if message.starts_with("error: ") {
            f.write_str(message)?;
        } else {
            write!(f, "error: {message}")?;
        }
        for hint in &self.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl From<AccountError> for CommandError {
    fn from(error: AccountError) -> Self {
        let hint = error.hint();
        Self::refused(error).hint(hint)
    }
}

impl From<Diagnostics> for CommandError {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::refused(diagnostics)
    }
}

impl From<DevicesError> for CommandError {
    fn from(error: DevicesError) -> Self {
        let hint = match &error {
            DevicesError::Choice(_) => return Self::refused(error),
            DevicesError::Pool(fedflow_gpu::OpenError::Ledger(LedgerError::Chosen { .. })) => {
                "FEDFLOW_LEASE_DIR names, by its whole path, a directory that all runs of this machine can write to; \
                 unset it for the usual place"
            }
            DevicesError::Pool(fedflow_gpu::OpenError::Ledger(_)) => {
                "FEDFLOW_LEASE_DIR can name another directory; --devices cpu:2 needs no card and no leases"
            }
            DevicesError::Pool(_) => "`fedflow devices` shows what there is; --devices cpu:2 needs no card",
        };
        Self::refused(error).hint(hint)
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Devices(error) => error.into(),
            OpenError::Directory(CreateRunDirError::EarlierRun(run_dir)) => {
                let go_on = format!("go on with it: fedflow resume {}", short_path(&run_dir));
                Self::refused(CreateRunDirError::EarlierRun(run_dir))
                    .hint(go_on)
                    .hint("or begin anew and remove it: --fresh; or work elsewhere: --workdir DIR")
            }
            OpenError::Directory(error) => Self::refused(error).hint("work elsewhere: --workdir DIR"),
            error @ OpenError::OtherFlow { .. } => Self::refused(error),
            error => Self::failed(error),
        }
    }
}
