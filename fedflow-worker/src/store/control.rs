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
//! {"version":1,"answer":"accepted"}
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
/// How long a supervisor waits for a connected caller to send its request. No other caller is served meanwhile.
const REQUEST_PATIENCE: Duration = Duration::from_secs(2);
/// How long a caller waits for the answer to its request.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

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
}

impl ControlSocket {
    /// Begins to listen. `carry_out` is called on a thread of its own and must not block.
    ///
    /// # Errors
    /// The socket cannot be made, for example on a file system without sockets. A run can do without it.
    pub fn open(lock: &RunLock, carry_out: impl Fn(ControlRequest) + Send + 'static) -> io::Result<Self> {
        let private = lock.run_dir().private().clone();
        // Only the holder of the lock listens, so an existing socket was left by a crash.
        private.remove(SOCKET)?;
        let listener = Arc::new(UnixListener::bind(private.through_descriptor(SOCKET))?);
        let (close, closed) = crossbeam_channel::bounded(0);
        let thread = thread::Builder::new().name("fedflow-control".into()).spawn({
            let listener = Arc::clone(&listener);
            move || listen(&listener, &closed, &carry_out)
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

fn listen(listener: &UnixListener, closed: &Receiver<()>, carry_out: &impl Fn(ControlRequest)) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // A caller that does not wait for its answer harms only itself.
                let _ = serve(&stream, carry_out);
            }
            // The socket was closed, or the system is out of descriptors: then try again in a second.
            Err(_) if closed.recv_timeout(Duration::from_secs(1)).is_err_and(|error| !error.is_timeout()) => {
                return;
            }
            Err(_) => {}
        }
    }
}

fn serve(stream: &UnixStream, carry_out: &impl Fn(ControlRequest)) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_PATIENCE))?;
    stream.set_write_timeout(Some(REQUEST_PATIENCE))?;
    let refused = |reason: &str| AnswerText::Refused { reason: reason.into() };
    let answer = if is_from_owner(stream)? {
        match serde_json::from_slice(&read_line(stream)?) {
            Ok(RequestMessage { version: VERSION, request }) => {
                carry_out(request.into());
                AnswerText::Accepted
            }
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
    let stream = match UnixStream::connect(run_dir.private().through_descriptor(SOCKET)) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(ControlError::NotListening(run_dir.path().into()));
        }
        Err(error) => return Err(error.into()),
    };
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    stream.set_write_timeout(Some(ANSWER_PATIENCE))?;
    write_line(&stream, &RequestMessage { version: VERSION, request: request.into() })?;
    let line = read_line(&stream).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ControlError::NoAnswer,
        _ => error.into(),
    })?;
    match serde_json::from_slice::<AnswerMessage>(&line) {
        Ok(AnswerMessage { answer: AnswerText::Accepted, .. }) => Ok(()),
        Ok(AnswerMessage { answer: AnswerText::Refused { reason }, .. }) => {
            Err(ControlError::Refused(reason))
        }
        Err(_) => Err(ControlError::NoAnswer),
    }
}

fn read_line(stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_MESSAGE)).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn write_line(mut stream: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

impl From<RequestText> for ControlRequest {
    fn from(text: RequestText) -> Self {
        match text {
            RequestText::Stop => Self::Stop(StopLevel::Graceful),
            RequestText::StopNow => Self::Stop(StopLevel::AtOnce),
            RequestText::Cancel { group, task } => Self::Cancel { group, task },
        }
    }
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
            let socket = ControlSocket::open(&lock, move |request| sender.send(request).unwrap()).unwrap();
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
        let _socket = ControlSocket::open(&lock, move |request| sender.send(request).unwrap()).unwrap();
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
        let _socket = ControlSocket::open(&lock, move |request| sender.send(request).unwrap()).unwrap();
        send_control_request(&run, &ControlRequest::Stop(StopLevel::Graceful)).unwrap();
        carried_out.recv().unwrap();
        let mode = std::fs::metadata(run.private().path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
