//! Asks a worker program which task kinds it knows.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use rustix::process::Signal;

use crate::pausable_clock::Clock;
use crate::processes::spawn::environment::{self, Environment};
use crate::processes::spawn::{self, Launch, SpawnError};
use crate::protocol::MAX_HELLO;
use crate::start_check::{StartedAsWorker, refuse_in_worker};

/// What a program that does not answer may be.
const ASK: &str =
    "is it a Fedflow worker, and begins its `main` with `Worker::run` or `Worker::run_if_worker`?";

/// Why a worker program does not list its task kinds.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// This process was started as a worker, and would ask itself without end.
    #[error(transparent)]
    StartedAsWorker(#[from] StartedAsWorker),
    /// The program cannot be started: it does not exist, or may not be run.
    #[error("{0}")]
    Spawn(String),
    /// The system gives no descriptor.
    #[error("cannot listen to it: {0}")]
    Io(#[from] io::Error),
    /// It did not answer.
    #[error("it did not list its task kinds within {0:?}; {ASK}")]
    Timeout(Duration),
    /// It answered something else.
    #[error("it did not list its task kinds but wrote {0:?}; {ASK}")]
    NoList(String),
}

impl From<SpawnError> for DescribeError {
    fn from(error: SpawnError) -> Self {
        Self::Spawn(error.to_string())
    }
}

/// Starts a Rust worker with `FEDFLOW_DESCRIBE=1` and returns the task kinds that it lists. Blocks until it has
/// answered, at most for `timeout`; then its processes are killed.
///
/// `variables` are added to its environment. A program path with a separator is relative to `base_dir`; one without is
/// looked up in `PATH`.
///
/// # Errors
/// The program cannot be started, does not answer in time, or answers something else.
pub fn describe(
    command: &[String],
    base_dir: &Path,
    variables: &[(String, String)],
    timeout: Duration,
) -> Result<Vec<String>, DescribeError> {
    refuse_in_worker()?;
    let clock = Clock::start();
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(io::Error::from)?;
    let mut environment = Environment::inherited();
    for (name, value) in variables {
        environment.set(name, value);
    }
    environment.set(environment::DESCRIBE, "1");
    let null = spawn::null()?;
    let process = spawn::spawn(Launch {
        command,
        base_dir,
        current_dir: base_dir,
        environment: &environment,
        streams: [null.as_fd(), theirs.as_fd(), null.as_fd()],
    })?;
    drop(theirs);
    let line = read_line(&ours, clock, timeout);
    process.signal_group(Signal::KILL);
    let _ = process.finish();
    kinds_of(&line?)
}

fn read_line(socket: &OwnedFd, clock: Clock, timeout: Duration) -> Result<Vec<u8>, DescribeError> {
    let deadline = clock.now() + timeout;
    let mut line = Vec::new();
    let mut piece = [0_u8; 4096];
    while line.len() <= MAX_HELLO && !line.contains(&b'\n') {
        let left = clock.until(deadline);
        if left.is_zero() {
            return Err(DescribeError::Timeout(timeout));
        }
        let mut descriptors = [PollFd::new(socket, PollFlags::IN)];
        match poll(&mut descriptors, Timespec::try_from(left).ok().as_ref()) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        match recv(socket, &mut piece, RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => break,
            Ok((_, read)) => line.extend_from_slice(&piece[..read]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    Ok(line)
}

fn kinds_of(line: &[u8]) -> Result<Vec<String>, DescribeError> {
    #[derive(serde::Deserialize)]
    struct Kinds {
        kinds: Vec<String>,
    }
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let shown = || String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
    serde_json::from_slice::<Kinds>(line).map(|list| list.kinds).map_err(|_| DescribeError::NoList(shown()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe_shell(script: &str, timeout: Duration) -> Result<Vec<String>, DescribeError> {
        let command = ["sh", "-c", script].map(str::to_owned);
        describe(&command, Path::new("/"), &[], timeout)
    }

    #[test]
    fn kinds_are_listed() {
        let kinds =
            describe_shell(r#"echo "{\"kinds\": [\"a\", \"$FEDFLOW_DESCRIBE\"]}""#, Duration::from_secs(60));
        assert_eq!(kinds.unwrap(), ["a", "1"]);
    }

    #[test]
    fn what_is_no_worker_is_said() {
        let minute = Duration::from_secs(60);
        assert!(
            matches!(describe_shell("echo hello", minute), Err(DescribeError::NoList(text)) if text == "hello")
        );
        assert!(
            matches!(describe_shell("exit 3", minute), Err(DescribeError::NoList(text)) if text.is_empty())
        );
        assert!(matches!(
            describe_shell("exec sleep 1000", Duration::from_millis(20)),
            Err(DescribeError::Timeout(_))
        ));
        let missing = describe(&["./no-such-program".into()], Path::new("/"), &[], minute);
        assert!(matches!(missing, Err(DescribeError::Spawn(text)) if text.contains("/./no-such-program")));
        assert!(matches!(describe(&[], Path::new("/"), &[], minute), Err(DescribeError::Spawn(_))));
    }
}
