//! Asks a worker program which task kinds it knows, and whether parameters fit them.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use fedflow_core::{Dict, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::Signal;

use crate::pausable_clock::Clock;
use crate::processes::spawn::environment::{self, Environment};
use crate::processes::spawn::{self, Launch, SpawnError};
use crate::protocol::{MAX_HELLO, MAX_INLINE, VERSION, question_line};
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

/// Parameters of which a worker is asked whether they fit a task kind.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamsQuestion {
    /// The task kind.
    pub kind: String,
    /// The parameters that such a task would have.
    pub params: Dict,
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// The task kinds that it knows.
    pub kinds: Vec<String>,
    /// Why parameters do not fit, each with the place of its question. A question has no entry if the parameters fit, and
    /// if it was not answered: an older worker answers none, and none is answered when the time is up.
    pub misfits: Vec<(usize, String)>,
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
    Ok(describe_with(command, [base_dir; 2], variables, &[], timeout)?.kinds)
}

/// Does [`describe()`] and asks the worker, in the same process, whether parameters fit its task types. No task is
/// loaded. `directories`: what a program path is relative to, and where the program works.
///
/// # Errors
/// As for [`describe()`]. That a worker does not answer a question is no error.
pub fn describe_with(
    command: &[String],
    directories: [&Path; 2],
    variables: &[(String, String)],
    questions: &[ParamsQuestion],
    timeout: Duration,
) -> Result<Description, DescribeError> {
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
    let stdin = if questions.is_empty() { &null } else { &theirs };
    if !questions.is_empty() {
        environment.set(environment::DESCRIBE_PARAMS, "1");
    }
    let [base_dir, current_dir] = directories;
    let process = spawn::spawn(Launch {
        command,
        base_dir,
        current_dir,
        environment: &environment,
        streams: [stdin.as_fd(), theirs.as_fd(), null.as_fd()],
    })?;
    drop(theirs);
    let mut inquiry =
        Inquiry { socket: ours, deadline: clock.now() + timeout, clock, timeout, read: Vec::new() };
    let description = inquiry.description(questions);
    process.signal_group(Signal::KILL);
    let _ = process.finish();
    description
}

/// A worker that describes itself, and what it is asked.
struct Inquiry {
    socket: OwnedFd,
    clock: Clock,
    deadline: Time,
    timeout: Duration,
    /// What was read beyond the last line.
    read: Vec<u8>,
}

impl Inquiry {
    fn description(&mut self, questions: &[ParamsQuestion]) -> Result<Description, DescribeError> {
        #[derive(serde::Deserialize)]
        struct Kinds {
            kinds: Vec<String>,
            /// In which version of the protocol it takes questions.
            params: Option<u32>,
        }
        let line = self.line()?;
        let shown = || String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
        let Kinds { kinds, params } =
            serde_json::from_slice(&line).map_err(|_| DescribeError::NoList(shown()))?;
        let mut misfits = Vec::new();
        if params == Some(VERSION) {
            for (place, question) in questions.iter().enumerate() {
                let Some(answer) = self.ask(question) else { break };
                misfits.extend(answer.map(|misfit| (place, misfit)));
            }
        }
        Ok(Description { kinds, misfits })
    }

    /// The answer to a question: what does not fit, if something does not; `None` if there is no answer.
    fn ask(&mut self, question: &ParamsQuestion) -> Option<Option<String>> {
        #[derive(serde::Deserialize)]
        struct Answer {
            misfit: Option<String>,
        }
        let limit = MAX_INLINE as u64;
        let Some(line) = question_line(&question.kind, question.params.clone(), limit) else {
            // It is too large to be asked; others may be smaller.
            return Some(None);
        };
        // The worker has read every question before it, so this one finds room.
        let sent = send(&self.socket, line.as_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT).ok()?;
        if sent < line.len() {
            return None;
        }
        let answer: Answer = serde_json::from_slice(&self.line().ok()?).ok()?;
        Some(answer.misfit)
    }

    /// The next line without its line feed, or what there is when nothing more comes.
    fn line(&mut self) -> Result<Vec<u8>, DescribeError> {
        let mut piece = [0_u8; 4096];
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.drain(..=end).take(end).collect();
                return Ok(line);
            }
            if self.read.len() > MAX_HELLO {
                return Ok(std::mem::take(&mut self.read));
            }
            let left = self.clock.until(self.deadline);
            if left.is_zero() {
                return Err(DescribeError::Timeout(self.timeout));
            }
            let mut descriptors = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut descriptors, Timespec::try_from(left).ok().as_ref()) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
            match recv(&self.socket, &mut piece, RecvFlags::DONTWAIT) {
                Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(std::mem::take(&mut self.read)),
                Ok((_, read)) => self.read.extend_from_slice(&piece[..read]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn describe_shell(script: &str, timeout: Duration) -> Result<Vec<String>, DescribeError> {
        let command = ["sh", "-c", script].map(str::to_owned);
        describe(&command, Path::new("/"), &[], timeout)
    }

    fn ask_shell(script: &str, timeout: Duration) -> Description {
        let command = ["sh", "-c", script].map(str::to_owned);
        let question = |kind: &str| ParamsQuestion { kind: kind.into(), params: Dict::new() };
        let questions = ["a", "b", "c"].map(question);
        describe_with(&command, [Path::new("/"); 2], &[], &questions, timeout).unwrap()
    }

    #[test]
    fn kinds_are_listed() {
        let kinds = describe_shell(r#"echo "{\"kinds\": [\"a\", \"$FEDFLOW_DESCRIBE\"]}""#, MINUTE);
        assert_eq!(kinds.unwrap(), ["a", "1"]);
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_question() {
        let answers = format!(
            r#"echo '{{"kinds": ["k"], "params": {VERSION}}}'; read a; echo '{{"misfit": null}}'; read b; echo '{{"misfit": "no"}}'"#
        );
        let told = ask_shell(&answers, MINUTE);
        assert_eq!((told.kinds, told.misfits), (vec!["k".to_owned()], vec![(1, "no".to_owned())]));
    }

    #[test]
    fn a_worker_that_takes_no_questions_is_asked_none() {
        // One of an earlier version lists its kinds and ends, or does not read; one of a later version reads others.
        for script in [
            r#"echo '{"kinds": ["k"]}'"#.to_owned(),
            r#"echo '{"kinds": ["k"]}'; exec sleep 1000"#.to_owned(),
            format!(r#"echo '{{"kinds": ["k"], "params": {}}}'; exec sleep 1000"#, VERSION + 1),
        ] {
            let told = ask_shell(&script, MINUTE);
            assert_eq!((told.kinds.len(), told.misfits.len()), (1, 0), "{script}");
        }
        let silent = format!(r#"echo '{{"kinds": ["k"], "params": {VERSION}}}'; exec sleep 1000"#);
        assert_eq!(
            ask_shell(&silent, Duration::from_millis(300)).misfits,
            [],
            "the kinds are known all the same"
        );
    }

    #[test]
    fn what_is_no_worker_is_said() {
        assert!(
            matches!(describe_shell("echo hello", MINUTE), Err(DescribeError::NoList(text)) if text == "hello")
        );
        assert!(
            matches!(describe_shell("exit 3", MINUTE), Err(DescribeError::NoList(text)) if text.is_empty())
        );
        assert!(matches!(
            describe_shell("exec sleep 1000", Duration::from_millis(20)),
            Err(DescribeError::Timeout(_))
        ));
        let missing = describe(&["./no-such-program".into()], Path::new("/"), &[], MINUTE);
        assert!(matches!(missing, Err(DescribeError::Spawn(text)) if text.contains("/./no-such-program")));
        assert!(matches!(describe(&[], Path::new("/"), &[], MINUTE), Err(DescribeError::Spawn(_))));
    }
}
