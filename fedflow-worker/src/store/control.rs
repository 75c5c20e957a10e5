//! Orders to a supervisor from another process: a Unix socket in `.fedflow`, which only the run's owner can enter.
//!
//! A socket rather than files that a supervisor watches: it tells whether somebody listens, it carries the answer,
//! and the kernel says who asks. It is reached through the descriptor of the directory, as a socket's own path may
//! have 107 bytes only. Each connection is one line of JSON in each direction:
//!
//! ```text
//! {"version":1,"order":"stop"}                                   no new starts; what runs gets its grace
//! {"version":1,"order":"stop-now"}                               what runs is killed
//! {"version":1,"order":"cancel","group":"train","task":"3"}      one task becomes cancelled
//! {"version":1,"answer":"accepted"}
//! {"version":1,"answer":"refused","reason":"…"}
//! ```
//!
//! An order that was accepted is carried out next, but what becomes of it is in the journal: a task may have ended
//! in the same instant.

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
/// How long a supervisor waits for an order once somebody is connected: nobody else is heard meanwhile.
const ORDER_PATIENCE: Duration = Duration::from_secs(2);
/// How long somebody who gave an order waits for the answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// What a supervisor can be told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// The run shall stop.
    Stop(StopLevel),
    /// One task of the group that runs shall become cancelled.
    Cancel {
        /// Its group.
        group: Name,
        /// The task.
        task: Name,
    },
}

/// Why an order was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No supervisor listens: there is none, or its file system has no sockets.
    #[error("no supervisor of {} takes orders", .0.display())]
    NobodyListens(PathBuf),
    /// The supervisor does not want it.
    #[error("the supervisor refuses the order: {0}")]
    Refused(String),
    /// The supervisor does not answer, as one that was stopped by SIGSTOP does not.
    #[error("the supervisor does not answer")]
    NoAnswer,
    /// The connection broke.
    #[error("cannot reach the supervisor: {0}")]
    Io(#[from] io::Error),
}

/// Takes orders until it is dropped.
#[derive(Debug)]
pub struct OrderSocket {
    listener: Arc<UnixListener>,
    private: PrivateDir,
    close: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OrderMessage {
    version: u32,
    #[serde(flatten)]
    order: OrderText,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
enum OrderText {
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

impl OrderSocket {
    /// Begins to listen. `carry_out` is called in a thread of its own and must not block.
    ///
    /// # Errors
    /// The socket cannot be made, as on a file system that has none; the run does not need it.
    pub fn open(lock: &RunLock, carry_out: impl Fn(Order) + Send + 'static) -> io::Result<Self> {
        let private = lock.run_dir().private().clone();
        // Whoever holds the lock is the only one who listens: what is there was left by a crash.
        private.remove(SOCKET)?;
        let listener = Arc::new(UnixListener::bind(private.through_descriptor(SOCKET))?);
        let (close, closed) = crossbeam_channel::bounded(0);
        let thread = thread::Builder::new().name("fedflow-orders".into()).spawn({
            let listener = Arc::clone(&listener);
            move || listen(&listener, &closed, &carry_out)
        })?;
        Ok(Self { listener, private, close: Some(close), thread: Some(thread) })
    }
}

impl Drop for OrderSocket {
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

fn listen(listener: &UnixListener, closed: &Receiver<()>, carry_out: &impl Fn(Order)) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // Whoever asks and does not wait for the answer harms himself only.
                let _ = serve(&stream, carry_out);
            }
            // It was closed; or the system lacks descriptors: then it is tried again after a while.
            Err(_) if closed.recv_timeout(Duration::from_secs(1)).is_err_and(|error| !error.is_timeout()) => {
                return;
            }
            Err(_) => {}
        }
    }
}

fn serve(stream: &UnixStream, carry_out: &impl Fn(Order)) -> io::Result<()> {
    stream.set_read_timeout(Some(ORDER_PATIENCE))?;
    stream.set_write_timeout(Some(ORDER_PATIENCE))?;
    let refused = |reason: &str| AnswerText::Refused { reason: reason.into() };
    let answer = if is_ours(stream)? {
        match serde_json::from_slice(&read_line(stream)?) {
            Ok(OrderMessage { version: VERSION, order }) => {
                carry_out(order.into());
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

/// Whether the other end is the same user, or root. The directory keeps others out already.
fn is_ours(stream: &UnixStream) -> io::Result<bool> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    Ok(peer.uid == rustix::process::geteuid() || peer.uid.is_root())
}

/// Gives an order to the supervisor that works in a run directory. Blocks until it answers, at most ten seconds.
///
/// # Errors
/// There is none, or it does not accept the order.
pub fn give_order(run_dir: &RunDir, order: &Order) -> Result<(), OrderError> {
    let stream = match UnixStream::connect(run_dir.private().through_descriptor(SOCKET)) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(OrderError::NobodyListens(run_dir.path().into()));
        }
        Err(error) => return Err(error.into()),
    };
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    stream.set_write_timeout(Some(ANSWER_PATIENCE))?;
    write_line(&stream, &OrderMessage { version: VERSION, order: order.into() })?;
    let line = read_line(&stream).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => OrderError::NoAnswer,
        _ => error.into(),
    })?;
    match serde_json::from_slice::<AnswerMessage>(&line) {
        Ok(AnswerMessage { answer: AnswerText::Accepted, .. }) => Ok(()),
        Ok(AnswerMessage { answer: AnswerText::Refused { reason }, .. }) => Err(OrderError::Refused(reason)),
        Err(_) => Err(OrderError::NoAnswer),
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

impl From<OrderText> for Order {
    fn from(text: OrderText) -> Self {
        match text {
            OrderText::Stop => Self::Stop(StopLevel::Graceful),
            OrderText::StopNow => Self::Stop(StopLevel::AtOnce),
            OrderText::Cancel { group, task } => Self::Cancel { group, task },
        }
    }
}

impl From<&Order> for OrderText {
    fn from(order: &Order) -> Self {
        match order {
            Order::Stop(StopLevel::Graceful) => Self::Stop,
            Order::Stop(StopLevel::AtOnce) => Self::StopNow,
            Order::Cancel { group, task } => Self::Cancel { group: group.clone(), task: task.clone() },
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
    fn an_order_arrives_and_a_socket_that_is_closed_takes_none() {
        let root = tempfile::tempdir().unwrap();
        // Far beyond what a socket's path may have.
        let deep = root.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let run = sample::new_run(&deep);
        let lock = RunLock::acquire(&run).unwrap();
        let name = |text| Name::new(text).unwrap();
        let orders = [
            Order::Stop(StopLevel::Graceful),
            Order::Stop(StopLevel::AtOnce),
            Order::Cancel { group: name("train"), task: name("client-3") },
        ];
        let nobody = give_order(&run, &orders[0]);
        assert!(matches!(nobody, Err(OrderError::NobodyListens(_))), "{nobody:?}");
        for _ in 0..2 {
            let (sender, carried_out) = channel();
            let socket = OrderSocket::open(&lock, move |order| sender.send(order).unwrap()).unwrap();
            for order in &orders {
                give_order(&run, order).unwrap();
                assert_eq!(carried_out.recv().unwrap(), *order);
            }
            drop(socket);
            assert!(carried_out.recv().is_err(), "the thread is gone");
            assert!(matches!(give_order(&run, &orders[0]), Err(OrderError::NobodyListens(_))));
        }
    }

    #[test]
    fn what_is_no_order_is_refused_and_the_next_one_is_heard() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        let lock = RunLock::acquire(&run).unwrap();
        let (sender, carried_out) = channel();
        let _socket = OrderSocket::open(&lock, move |order| sender.send(order).unwrap()).unwrap();
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
        give_order(&run, &Order::Stop(StopLevel::Graceful)).unwrap();
    }

    #[test]
    fn what_a_crash_left_is_replaced_and_nobody_else_can_enter() {
        let root = tempfile::tempdir().unwrap();
        let run = sample::new_run(root.path());
        let lock = RunLock::acquire(&run).unwrap();
        std::mem::forget(UnixListener::bind(run.private().through_descriptor(SOCKET)).unwrap());
        let (sender, carried_out) = channel();
        let _socket = OrderSocket::open(&lock, move |order| sender.send(order).unwrap()).unwrap();
        give_order(&run, &Order::Stop(StopLevel::Graceful)).unwrap();
        carried_out.recv().unwrap();
        let mode = std::fs::metadata(run.private().path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
