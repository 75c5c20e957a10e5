//! The handshake with a Rust worker: reads its hello within a time limit, checks it, and sends it the ends of its
//! session.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use fedflow_core::{FailureKind, Time};
use ipc_channel::ipc::{self, IpcReceiver, IpcSender};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::host::cause::Cause;
use crate::host::starting::private_directory::MAX_SOCKET_PATH;
use crate::pausable_clock::Clock;
use crate::protocol::{Bootstrap, Hello, MAX_HELLO, OLDEST_VERSION, ToHost, ToWorker, VERSION};

/// How long a worker whose server is gone may take to exit.
const LEAVING: Duration = Duration::from_secs(1);
/// How long to try again while the limit of open descriptors is reached, and how often: others give theirs back.
const SHORT: Duration = Duration::from_millis(500);
const BETWEEN: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// The supervisor's ends of a session.
pub(crate) struct Session {
    pub(crate) commands: IpcSender<ToWorker>,
    pub(crate) events: IpcReceiver<ToHost>,
}

/// What a handshake needs to know.
pub(crate) struct Terms<'a> {
    /// The supervisor's end of the worker's standard input.
    pub(crate) socket: &'a OwnedFd,
    pub(crate) token: &'a str,
    /// The directory in which the worker's server must lie.
    pub(crate) private: &'a Path,
    pub(crate) clock: &'a Clock,
    pub(crate) deadline: Time,
}

/// Does the supervisor's part of the handshake; blocks until the deadline at most. `None` means that the worker
/// closed its end: its exit will say why.
pub(crate) fn shake_hands(terms: &Terms<'_>) -> Result<Option<Session>, Cause> {
    let Some(line) = read_line(terms)? else { return Ok(None) };
    let hello = parse(&line)?;
    check(&hello, terms)?;
    answer(hello, terms)
}

/// Reads the first line; `None` if the worker closed its end before.
fn read_line(terms: &Terms<'_>) -> Result<Option<Vec<u8>>, Cause> {
    let mut line = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        wait_readable(terms)?;
        let flags = rustix::net::RecvFlags::DONTWAIT;
        match rustix::net::recv(terms.socket, &mut buffer, flags) {
            Ok((_, 0)) => return Ok(None),
            Ok((_, read)) => line.extend_from_slice(&buffer[..read]),
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(Errno::CONNRESET) => return Ok(None),
            Err(error) => return Err(Cause::protocol(io::Error::from(error))),
        }
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            line.truncate(end);
            return Ok(Some(line));
        }
        // A hello is a JSON object: a line that begins otherwise will never become one.
        if line.len() > MAX_HELLO || line.first() != Some(&b'{') {
            return Err(no_hello(&line));
        }
    }
}

fn wait_readable(terms: &Terms<'_>) -> Result<(), Cause> {
    loop {
        let left = terms.clock.until(terms.deadline);
        if left.is_zero() {
            return Err(Cause::new(
                FailureKind::Timeout,
                "it did not say hello in time; is the program a Fedflow worker, and is `Worker::run` the first thing in its `main`?",
            ));
        }
        let mut descriptors = [PollFd::new(terms.socket, PollFlags::IN)];
        match poll(&mut descriptors, Timespec::try_from(left).ok().as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(Cause::protocol(std::io::Error::from(error))),
        }
    }
}

fn parse(line: &[u8]) -> Result<Hello, Cause> {
    // A newer worker's hello may have another form; its version is all that is read of it.
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    match serde_json::from_slice::<Version>(line) {
        Ok(Version { version }) if (OLDEST_VERSION..=VERSION).contains(&version) => {}
        Ok(Version { version }) => return Err(Cause::protocol(other_version(version))),
        Err(_) => return Err(no_hello(line)),
    }
    serde_json::from_slice(line).map_err(|_| no_hello(line))
}

fn other_version(version: u32) -> String {
    let (whose, what) =
        if version > VERSION { ("this supervisor", "fedflow") } else { ("the worker", "the worker") };
    format!(
        "it speaks version {version}, this supervisor versions {OLDEST_VERSION} to {VERSION}; {whose} is too old: \
         build {what} again with the newer fedflow-worker"
    )
}

fn no_hello(line: &[u8]) -> Cause {
    let start = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
    Cause::protocol(format_args!("its first line is no hello: {start:?}"))
}

fn check(hello: &Hello, terms: &Terms<'_>) -> Result<(), Cause> {
    if hello.token != terms.token {
        return Err(Cause::protocol("its hello has a wrong token"));
    }
    let server = Path::new(&hello.server);
    let inside = server.starts_with(terms.private)
        && !server.components().any(|part| part == std::path::Component::ParentDir);
    if !inside || hello.server.len() > MAX_SOCKET_PATH {
        return Err(Cause::protocol("its server is not in the directory that it was given"));
    }
    Ok(())
}

/// Sends the worker its ends of the session; `None` if it left meanwhile.
fn answer(hello: Hello, terms: &Terms<'_>) -> Result<Option<Session>, Cause> {
    // That is not the worker's fault.
    let no_channel = |error: io::Error| Cause::new(FailureKind::Spawn, format!("no channel for it: {error}"));
    let until = terms.deadline.min(terms.clock.now() + SHORT);
    let is_over = || terms.clock.until(until).is_zero();
    let (commands, worker_commands) = with_descriptors(is_over, ipc::channel).map_err(no_channel)?;
    let (worker_events, events) = with_descriptors(is_over, ipc::channel).map_err(no_channel)?;
    let bootstrap = Bootstrap {
        version: hello.version,
        token: terms.token.into(),
        commands: worker_commands,
        events: worker_events,
    };
    let connected = match with_descriptors(is_over, || IpcSender::connect(hello.server.clone())) {
        Err(error) if is_short(&error) => return Err(no_channel(Errno::MFILE.into())),
        connected => connected.map_err(|error| error.to_string()),
    };
    let sent = connected.and_then(|server| server.send(bootstrap).map_err(|error| error.to_string()));
    match sent {
        Ok(()) => Ok(Some(Session { commands, events })),
        Err(_) if has_left(terms) => Ok(None),
        Err(error) => Err(Cause::protocol(format_args!("cannot connect to it: {error}"))),
    }
}

/// Opens what needs descriptors, and tries again while there are none left.
fn with_descriptors<T>(is_over: impl Fn() -> bool, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    loop {
        match open() {
            Err(error) if is_short(&error) && !is_over() => {
                let _ = poll(&mut [], Some(&BETWEEN));
            }
            opened => return opened,
        }
    }
}

/// Whether there was no descriptor left. ipc-channel connects what it was given for a socket even if that is none.
fn is_short(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::BADF))
}

/// Whether the worker closes its end, now or in a moment: its server is closed a little before.
fn has_left(terms: &Terms<'_>) -> bool {
    let until = terms.deadline.min(terms.clock.now() + LEAVING);
    loop {
        let left = terms.clock.until(until);
        let mut descriptors = [PollFd::new(terms.socket, PollFlags::RDHUP)];
        match poll(&mut descriptors, Timespec::try_from(left).ok().as_ref()) {
            Err(Errno::INTR) => {}
            ready => return ready.is_ok_and(|ready| ready > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    /// What becomes of a hello's bytes.
    fn meet(bytes: &[u8], close: bool) -> Result<bool, Cause> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let writer = std::thread::spawn({
            let bytes = bytes.to_vec();
            move || {
                let _ = rustix::io::write(&theirs, &bytes);
                (!close).then_some(theirs)
            }
        });
        let kept = writer.join().unwrap();
        let clock = Clock::start();
        let result = shake_hands(&Terms {
            socket: &ours,
            token: "right",
            private: Path::new("/private/1"),
            clock: &clock,
            deadline: clock.now() + Duration::from_millis(30),
        });
        drop(kept);
        result.map(|session| session.is_some())
    }

    fn hello(version: u32, token: &str, server: &str) -> Vec<u8> {
        format!("{{\"version\":{version},\"token\":{token:?},\"server\":{server:?},\"kinds\":[]}}\n")
            .into_bytes()
    }

    fn refusal(bytes: &[u8]) -> String {
        let cause = meet(bytes, false).unwrap_err();
        assert_eq!(cause.kind, FailureKind::Protocol);
        cause.message
    }

    #[test]
    fn silence_is_a_timeout_and_an_end_is_none() {
        assert_eq!(meet(b"", false).unwrap_err().kind, FailureKind::Timeout);
        assert_eq!(meet(b"{\"version\":1", false).unwrap_err().kind, FailureKind::Timeout);
        assert_eq!(meet(b"{half a line", true), Ok(false));
    }

    #[test]
    fn a_wrong_hello_is_refused() {
        let server = "/private/1/.tmp/socket";
        assert!(refusal(b"Hello without an end").contains("no hello"));
        assert!(refusal(b"Hello, world!\n").contains("no hello: \"Hello, world!\""));
        assert!(refusal(&vec![b'x'; MAX_HELLO + 5000]).contains("no hello"));
        assert!(refusal(format!("{{\"version\":{VERSION}}}\n").as_bytes()).contains("no hello"));
        assert!(refusal(&hello(VERSION, "wrong", server)).contains("wrong token"));
        assert!(refusal(&hello(VERSION + 1, "right", server)).contains("this supervisor is too old"));
        assert!(refusal(b"{\"version\":99,\"new\":true}\n").contains("version 99"));
        for elsewhere in ["/tmp/socket", "/private/1/../2/socket", "/private/12/socket"] {
            assert!(
                refusal(&hello(VERSION, "right", elsewhere)).contains("not in the directory"),
                "{elsewhere}"
            );
        }
        assert!(refusal(&hello(VERSION, "right", server)).contains("cannot connect"));
    }
}
