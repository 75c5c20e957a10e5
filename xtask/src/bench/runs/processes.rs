//! The one place of the benchmark that creates processes, reads a clock and waits.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::step::Failure;

/// A command that reads nothing; the caller says where its output goes.
pub(in crate::bench) fn command(program: impl AsRef<Path>) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the one place of the benchmark that creates processes")]
    let mut command = Command::new(program.as_ref());
    command.stdin(Stdio::null());
    command
}

/// The result of a command that ended.
#[derive(Debug)]
pub(in crate::bench) struct ProcessOutput {
    /// From before its start until its end was seen.
    pub(in crate::bench) wall: Duration,
    pub(in crate::bench) code: Option<i32>,
    pub(in crate::bench) stdout: String,
    pub(in crate::bench) stderr: String,
}

/// Runs a command to its end and keeps its output.
pub(in crate::bench) fn run(command: &mut Command) -> Result<ProcessOutput, Failure> {
    let start = now();
    let output = command.output().map_err(|error| not_started(command, error))?;
    let wall = start.elapsed();
    Ok(ProcessOutput {
        wall,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a command that must succeed.
pub(in crate::bench) fn run_well(command: &mut Command) -> Result<ProcessOutput, Failure> {
    let ran = run(command)?;
    if ran.code == Some(0) {
        return Ok(ran);
    }
    let code = ran.code.map_or("a signal".to_owned(), |code| format!("code {code}"));
    Err(Failure::Other(format!("{} ended with {code}\n{}{}", shown(command), ran.stdout, ran.stderr)))
}

/// Starts a command.
pub(in crate::bench) fn spawn(command: &mut Command) -> Result<Child, Failure> {
    command.spawn().map_err(|error| not_started(command, error))
}

/// The path of a program in `PATH`.
pub(in crate::bench) fn find(program: &str) -> Option<std::path::PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of the benchmark that reads the environment"
    )]
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// The time now.
pub(in crate::bench) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the one place of the benchmark that reads a clock")]
    Instant::now()
}

/// Seconds since 1970.
pub(in crate::bench) fn unix_seconds() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the one place of the benchmark that reads the date")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Sleeps: the work of a task that only takes time, and the pause between two looks at a process.
pub(in crate::bench) fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "a made-up task takes time and nothing else")]
    std::thread::sleep(time);
}

fn not_started(command: &Command, error: std::io::Error) -> Failure {
    Failure::NotStarted(shown(command), error)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
