//! Control requests: what another process asks of a supervisor, over a Unix socket in `.fedflow` that only the run's owner
//! can enter.
//!
//! A socket rather than files that a supervisor watches: the caller learns whether a supervisor listens, the answer comes
//! back on the same connection, and the kernel identifies the caller. The socket is reached through the descriptor of its
//! directory, as a socket's own path is limited to 107 bytes. Each connection is one line of JSON in each direction:
//!
//! ```text
//! {"version":1,"order":"stop"}                                   no new starts; running tasks get their grace
//! {"version":1,"order":"stop-now"}                               running tasks are killed
//! {"version":1,"order":"cancel","group":"train","task":"3"}      one task becomes cancelled
//! {"version":1,"order":"waits"}                                  what does the run wait for?
//! {"version":1,"answer":"accepted"}
//! {"version":1,"answer":"waits","wait":{"text":"…","since":0.0}} or null
//! {"version":1,"answer":"refused","reason":"…"}
//! ```
//!
//! An accepted request is carried out next, but its outcome is in the journal: the task may have ended in the same instant.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use fedflow_core::{Name, StopLevel};
use rustix::net::{Shutdown, shutdown};
use serde::{Deserialize, Serialize};

use super::run_dir::{PrivateDir, RunDir, RunLock};

const SOCKET: &str = "orders";
/// The version of the messages.
const VERSION: u32 = 1;
/// The longest message.
const MAX_MESSAGE: u64 = 4096;
/// The longest answer.
const MAX_ANSWER: u64 = 64 << 10;
/// The longest text in an answer, in characters.
const MAX_TEXT: usize = 4000;
/// How long a supervisor waits for a connected caller to send its request. No other caller is served meanwhile.
const REQUEST_PATIENCE: Duration = Duration::from_secs(2);
/// How long a caller waits for the answer to its request.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// The same where the answer is only shown beside others.
const WAIT_PATIENCE: Duration = Duration::from_secs(2);

/// What a supervisor can be asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlRequest {
    /// Stop the run.
    Stop(StopLevel),
    /// Cancel one task of the active group.
    Cancel {
        /// Its group.
        group: Name,
        /// The task.
        task: Name,
    },
}

/// What a run waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToldWait {
    /// A line for people. It repeats what others have written: escape it before you print it to a terminal.
    pub text: String,
    /// Since when it waits, in Unix seconds.
    pub since: f64,
}

/// Why a request was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No supervisor listens: none runs, or the file system has no sockets.
    #[error("no supervisor of {} takes requests", .0.display())]
    NotListening(PathBuf),
    /// The supervisor refuses the request; its reason.
    #[error("the supervisor refuses the request: {0}")]
    Refused(String),
    /// The supervisor does not answer, for example because it was stopped by SIGSTOP.
    #[error("the supervisor does not answer")]
    NoAnswer,
    /// The connection broke.
    #[error("cannot reach the supervisor: {0}")]
    Io(#[from] io::Error),
}

/// Serves control requests until it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: Arc<UnixListener>,
    private: PrivateDir,
    close: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RequestMessage {
    version: u32,
    #[serde(flatten)]
    request: RequestText,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
enum RequestText {
    Stop,
    StopNow,
    Cancel { group: Name, task: Name },
    Waits,
}

#[derive(Debug, Serialize, Deserialize)]
struct AnswerMessage {
    version: u32,
    #[serde(flatten)]
    answer: AnswerText,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
enum AnswerText {
    Accepted,
    Refused { reason: String },
    Waits { wait: Option<ToldWait> },
}

impl ControlSocket {
    /// Begins to listen. `carry_out`, and `waits`, which says what the run waits for, are called on a thread of its own and
    /// must not block.
    ///
    /// # Errors
    /// The socket cannot be made, for example on a file system without sockets. A run can do without it.
    pub fn open(
        lock: &RunLock,
        carry_out: impl Fn(ControlRequest) + Send + 'static,
        waits: impl Fn() -> Option<ToldWait> + Send + 'static,
    ) -> io::Result<Self> {
        let private = lock.run_dir().private().clone();
        // Only the holder of the lock listens, so an existing socket was left by a crash.
        private.remove(SOCKET)?;
        let listener = Arc::new(UnixListener::bind(private.through_descriptor(SOCKET))?);
        let (close, closed) = crossbeam_channel::bounded(0);
        let thread = thread::Builder::new().name("fedflow-control".into()).spawn({
            let listener = Arc::clone(&listener);
            move || listen(&listener, &closed, &|request| answer(request, &carry_out, &waits))
        })?;
        Ok(Self { listener, private, close: Some(close), thread: Some(thread) })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        drop(self.close.take());
        // Wakes the thread.
        let _ = shutdown(&self.listener, Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = self.private.remove(SOCKET);
    }
}

/// Does what is asked, and answers.
fn answer(
    request: RequestText,
    carry_out: &impl Fn(ControlRequest),
    waits: &impl Fn() -> Option<ToldWait>,
) -> AnswerText {
    let request = match request {
        RequestText::Stop => ControlRequest::Stop(StopLevel::Graceful),
        RequestText::StopNow => ControlRequest::Stop(StopLevel::AtOnce),
        RequestText::Cancel { group, task } => ControlRequest::Cancel { group, task },
        RequestText::Waits => {
            let shortened =
                |wait: ToldWait| ToldWait { text: wait.text.chars().take(MAX_TEXT).collect(), ..wait };
            return AnswerText::Waits { wait: waits().map(shortened) };
        }
    };
    carry_out(request);
    AnswerText::Accepted
}

fn listen(listener: &UnixListener, closed: &Receiver<()>, answer: &impl Fn(RequestText) -> AnswerText) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // A caller that does not wait for its answer harms only itself.
                let _ = serve(&stream, answer);
            }
            // The socket was closed, or the system is out of descriptors: then try again in a second.
            Err(_) if closed.recv_timeout(Duration::from_secs(1)).is_err_and(|error| !error.is_timeout()) => {
                return;
            }
            Err(_) => {}
        }
    }
}

fn serve(stream: &UnixStream, answer: &impl Fn(RequestText) -> AnswerText) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_PATIENCE))?;
    stream.set_write_timeout(Some(REQUEST_PATIENCE))?;
    let refused = |reason: &str| AnswerText::Refused { reason: reason.into() };
    let answer = if is_from_owner(stream)? {
        match serde_json::from_slice(&read_line(stream, MAX_MESSAGE)?) {
            Ok(RequestMessage { version: VERSION, request }) => answer(request),
            Ok(_) => refused("it comes from another version of Fedflow"),
            Err(_) => refused("it is not understood; does it come from another version of Fedflow?"),
        }
    } else {
        refused("it comes from another user")
    };
    write_line(stream, &AnswerMessage { version: VERSION, answer })
}

/// Whether the caller is the same user, or root. The directory keeps others out already.
fn is_from_owner(stream: &UnixStream) -> io::Result<bool> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    Ok(peer.uid == rustix::process::geteuid() || peer.uid.is_root())
}

/// Sends a request to the supervisor that works in a run directory. Blocks until it answers, ten seconds at most.
///
/// # Errors
/// No supervisor listens, or it does not accept the request.
pub fn send_control_request(run_dir: &RunDir, request: &ControlRequest) -> Result<(), ControlError> {
    match ask(run_dir, request.into(), ANSWER_PATIENCE)? {
        AnswerText::Accepted => Ok(()),
        AnswerText::Refused { reason } => Err(ControlError::Refused(reason)),
        AnswerText::Waits { .. } => Err(ControlError::NoAnswer),
    }
}

/// Asks the supervisor that works in a run directory what the run waits for. Blocks until it answers, two seconds at most.
///
/// # Errors
/// No supervisor listens, or it does not say: one of an older Fedflow does not know.
pub fn ask_for_wait(run_dir: &RunDir) -> Result<Option<ToldWait>, ControlError> {
    match ask(run_dir, RequestText::Waits, WAIT_PATIENCE)? {
        AnswerText::Waits { wait } => Ok(wait),
        AnswerText::Refused { reason } => Err(ControlError::Refused(reason)),
        AnswerText::Accepted => Err(ControlError::NoAnswer),
    }
}

fn ask(run_dir: &RunDir, request: RequestText, patience: Duration) -> Result<AnswerText, ControlError> {
    let stream = match UnixStream::connect(run_dir.private().through_descriptor(SOCKET)) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(ControlError::NotListening(run_dir.path().into()));
        }
        Err(error) => return Err(error.into()),
    };
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    write_line(&stream, &RequestMessage { version: VERSION, request })?;
    let line = read_line(&stream, MAX_ANSWER).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ControlError::NoAnswer,
        _ => error.into(),
    })?;
    let answer = serde_json::from_slice(&line).map(|AnswerMessage { answer, .. }| answer);
    answer.map_err(|_| ControlError::NoAnswer)
}

fn read_line(stream: &UnixStream, longest: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(longest)).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn write_line(mut stream: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

impl From<&ControlRequest> for RequestText {
    fn from(request: &ControlRequest) -> Self {
        match request {
            ControlRequest::Stop(StopLevel::Graceful) => Self::Stop,
            ControlRequest::Stop(StopLevel::AtOnce) => Self::StopNow,
            ControlRequest::Cancel { group, task } => {
                Self::Cancel { group: group.clone(), task: task.clone() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::store::example_run as sample;

    /// What the supervisor of a run answers to these bytes.
    fn answer_to(run: &RunDir, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(run.private().through_descriptor(SOCKET)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_request_arrives_and_a_socket_that_is_closed_takes_none() {
        let root = tempfile::tempdir().unwrap();
        // Far beyond what a socket's path may have.
        let deep = root.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let run = sample::new_run(&deep);
        let lock = RunLock::acquire(&run).unwrap();
        let name = |text| Name::new(text).unwrap();
        let requests = [
            ControlRequest::Stop(StopLevel::Graceful),
            ControlRequest::Stop(StopLevel::AtOnce),
            ControlRequest::Cancel { group: name("train"), task: name("client-3") },
        ];
        let nobody = send_control_request(&run, &requests[0]);
        assert!(matches!(nobody, Err(ControlError::NotListening(_))), "{nobody:?}");
        for _ in 0..2 {
            let (sender, carried_out) = channel();
            let socket =
                ControlSocket::open(&lock, move |request| sender.send(request).unwrap(), || None).unwrap();
            for request in &requests {
                send_control_request(&run, request).unwrap();
                assert_eq!(carried_out.recv().unwrap(), *request);
            }
            drop(socket);
            assert!(carried_out.recv().is_err(), "the thread is gone");
            assert!(matches!(send_control_request(&run, &requests[0]), Err(ControlError::NotListening(_))));
        }
    }

    #[test]
    fn what_is_no_request_is_refused_and_the_next_one_is_heard() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        let lock = RunLock::acquire(&run).unwrap();
        let (sender, carried_out) = channel();
        let _socket =
            ControlSocket::open(&lock, move |request| sender.send(request).unwrap(), || None).unwrap();
        let garbage = vec![b'x'; 100_000];
        let bad: [&[u8]; 6] = [
            b"",
            b"{\"version\":1}\n",
            b"{\"version\":2,\"order\":\"stop\"}\n",
            b"{\"version\":1,\"order\":\"dance\"}\n",
            b"{\"version\":1,\"order\":\"cancel\",\"group\":\"..\",\"task\":\"a\"}\n",
            &garbage[..4000],
        ];
        for bytes in bad {
            assert!(answer_to(&run, bytes).contains("\"answer\":\"refused\""), "{bytes:?}");
        }
        assert!(carried_out.try_recv().is_err());
        send_control_request(&run, &ControlRequest::Stop(StopLevel::Graceful)).unwrap();
    }

    #[test]
    fn what_a_crash_left_is_replaced_and_nobody_else_can_enter() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        let lock = RunLock::acquire(&run).unwrap();
        std::mem::forget(UnixListener::bind(run.private().through_descriptor(SOCKET)).unwrap());
        let (sender, carried_out) = channel();
        let _socket =
            ControlSocket::open(&lock, move |request| sender.send(request).unwrap(), || None).unwrap();
        send_control_request(&run, &ControlRequest::Stop(StopLevel::Graceful)).unwrap();
        carried_out.recv().unwrap();
        let mode = std::fs::metadata(run.private().path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    #[test]
    fn it_is_answered_what_a_run_waits_for() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        let lock = RunLock::acquire(&run).unwrap();
        assert!(matches!(ask_for_wait(&run), Err(ControlError::NotListening(_))));
        let wait = ToldWait { text: "\u{1b}".repeat(2 * MAX_TEXT), since: 7.5 };
        let socket = ControlSocket::open(&lock, |_| {}, move || Some(wait.clone())).unwrap();
        let told = ask_for_wait(&run).unwrap().unwrap();
        assert_eq!((told.text.len(), told.since), (MAX_TEXT, 7.5));
        drop(socket);
        let _socket = ControlSocket::open(&lock, |_| {}, || None).unwrap();
        assert_eq!(ask_for_wait(&run).unwrap(), None);
    }
}
