//! `Step`: one command of a chore, which is announced, run and timed.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// The variables in which cargo describes a package to its program. A cargo that inherits them takes ring's build
/// script, which reads them, for outdated, and builds ring and all that depends on it anew.
const OWN_PACKAGE: [&str; 7] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// A command to run in the workspace's directory.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
}

/// Why a chore did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A command could not be started.
    NotStarted(String, io::Error),
    /// A command failed.
    Failed(String, ExitStatus),
    /// Anything else, as a message.
    Other(String),
}

impl Failure {
    /// A file or directory could not be used.
    pub(crate) fn at(path: &Path, error: &dyn fmt::Display) -> Self {
        Self::Other(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(command, error) => write!(f, "error: cannot start `{command}`: {error}"),
            Self::Failed(command, status) => write!(f, "error: `{command}` failed ({status})"),
            Self::Other(message) => write!(f, "error: {message}"),
        }
    }
}

impl Step {
    /// Cargo with arguments.
    pub(crate) fn cargo<I: IntoIterator<Item = S>, S: Into<String>>(arguments: I) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: "cargo".into(), arguments, environment: Vec::new() }
    }

    /// A command line, split at its spaces.
    pub(crate) fn of(command_line: &str) -> Self {
        let mut words = command_line.split_whitespace().map(str::to_owned);
        Self {
            program: words.next().unwrap_or_default(),
            arguments: words.collect(),
            environment: Vec::new(),
        }
    }

    /// A program with arguments.
    pub(crate) fn program(program: String, arguments: impl IntoIterator<Item = String>) -> Self {
        Self { program, arguments: arguments.into_iter().collect(), environment: Vec::new() }
    }

    /// Runs it to its end and returns its exit code.
    pub(crate) fn status(&self, root: &Path) -> Result<u8, Failure> {
        println!("$ {self}");
        let status = self.end(root)?;
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .ok_or(Failure::Failed(self.to_string(), status))
    }

    /// Sets a variable for the command.
    pub(crate) fn with_environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Runs it to its end and returns how long it took; any exit code but 0 is a failure.
    pub(crate) fn run(&self, root: &Path) -> Result<Duration, Failure> {
        println!("$ {self}");
        timed(|| {
            let status = self.end(root)?;
            if status.success() { Ok(()) } else { Err(Failure::Failed(self.to_string(), status)) }
        })
    }
}

impl Step {
    fn end(&self, root: &Path) -> Result<ExitStatus, Failure> {
        #[expect(clippy::disallowed_methods, reason = "the one place of xtask that creates processes")]
        let mut command = Command::new(&self.program);
        for name in OWN_PACKAGE {
            command.env_remove(name);
        }
        command.args(&self.arguments).envs(self.environment.iter().copied()).current_dir(root);
        command.status().map_err(|error| Failure::NotStarted(self.to_string(), error))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(f, "{name}={value:?} ")?;
        }
        f.write_str(&self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}

/// Does some work and returns how long it took.
pub(crate) fn timed(work: impl FnOnce() -> Result<(), Failure>) -> Result<Duration, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the one place of xtask that reads a clock")]
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_shown_as_it_could_be_typed() {
        let step = Step::of("cargo doc --no-deps").with_environment("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(step.to_string(), "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps");
    }

    #[test]
    fn a_step_that_fails_is_a_failure() {
        let here = Path::new(".");
        assert!(Step::of("true").run(here).is_ok());
        assert!(matches!(Step::of("false").run(here), Err(Failure::Failed(..))));
        assert!(matches!(Step::of("no-such-program-here").run(here), Err(Failure::NotStarted(..))));
    }
}
