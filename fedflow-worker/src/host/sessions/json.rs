//! Workers in other languages: one JSON object a line, in both directions, over their standard input.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender};
use fedflow_core::{Assignment, Dict, FailureKind, LeaseInfo, Program, Time, Value};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::host::context::HostContext;
use crate::host::sessions::large_messages::{LARGE, LargeMessage};
use crate::host::sessions::lease_json::lease_text;
use crate::host::sessions::link::Link;
use crate::host::sessions::listener::{Cause, Listener, Phase, Said};
use crate::pausable_clock::Clock;
use crate::protocol::check_limits;
use crate::protocol::json;
use crate::protocol::{MAX_HELLO, MAX_ITEM};

/// The version of the JSON protocol.
const VERSION: i64 = 1;

/// An order to a worker, as one line of JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    text: String,
    /// Whether it is the last one: the worker then reads the end of the file.
    last: bool,
}

impl Line {
    /// A command with its fields, each of them written with the comma before it.
    pub(crate) fn of(command: &str, fields: impl FnOnce(&mut String)) -> Self {
        let mut text = format!("{{\"cmd\":\"{command}\"");
        fields(&mut text);
        text.push_str("}\n");
        Self { text, last: false }
    }

    fn hello() -> Self {
        Self::of("hello", |out| out.push_str(&format!(",\"version\":{VERSION}")))
    }

    pub(crate) fn task(assignment: &Assignment, kind: &str) -> Self {
        Self::of("task", |out| {
            let mut field = |name: &str, value: &str| {
                out.push_str(&format!(",\"{name}\":"));
                json::write_text(out, value);
            };
            field("task_id", assignment.task_id.as_str());
            field("group", assignment.group.as_str());
            field("kind", kind);
            field("workdir", &assignment.workdir.to_string_lossy());
            field("checkpoint_dir", &assignment.checkpoint_dir.to_string_lossy());
            if let Some(key) = &assignment.keep {
                field("keep", key);
            }
            out.push_str(&format!(",\"attempt\":{},\"params\":", assignment.attempt));
            json::write_dict(out, &assignment.params);
        })
    }

    pub(crate) fn load() -> Self {
        Self::of("load", |_| {})
    }

    pub(crate) fn train(lease: &LeaseInfo, params: &Dict) -> Self {
        Self::of("train", |out| {
            out.push_str(&format!(",\"device\":\"{}\",\"lease\":{}", lease.device, lease_text(lease)));
            out.push_str(",\"params\":");
            json::write_dict(out, params);
        })
    }

    pub(crate) fn exit() -> Self {
        Self { last: true, ..Self::of("exit", |_| {}) }
    }
}

/// What the reader of a JSON worker needs.
pub(crate) struct JsonReader {
    pub(crate) shared: Arc<HostContext>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) socket: Arc<OwnedFd>,
}

impl JsonReader {
    /// Runs until the worker closes its end. `connected` is called with the way to the worker.
    ///
    /// # Errors
    /// The worker did not meet the protocol.
    pub(crate) fn run(self, connected: impl FnOnce(Link)) -> Result<(), Cause> {
        let Program::Worker { kind, .. } = self.assignment.program.as_ref() else {
            return Err(Cause::protocol("a command is no worker"));
        };
        let clock = &self.shared.clock;
        let deadline = clock.now() + self.shared.options.start_timeout;
        let lines = start_writer(Arc::clone(&self.socket)).map_err(Cause::protocol)?;
        let mut words = Words::of(&self.socket, &self.listener);
        let _ = lines.send(Line::hello());
        let hello = self.listener.wait(|| words.next(|| MAX_HELLO, Some((clock, deadline))))?;
        let Some(hello) = hello else { return Ok(()) };
        check_ready(&hello)?;
        let _ = lines.send(Line::task(&self.assignment, kind));
        self.listener.expect(Phase::Starting);
        connected(Link::Json(lines));
        self.listener.hear(Said::Ready(self.listener.worker()))?;
        hear(&mut words, &self.listener, self.shared.options.result_limit)
    }
}

/// Hears a worker until it closes its end.
fn hear(words: &mut Words<'_>, listener: &Listener, limit: u64) -> Result<(), Cause> {
    // Only a result may be long. Asked again for every piece: the worker may be told to train while its next line is
    // already waited for.
    let longest = || match listener.phase() {
        Phase::Training => usize::try_from(limit).unwrap_or(usize::MAX).max(MAX_HELLO),
        _ => MAX_HELLO,
    };
    while let Some(line) = listener.wait(|| words.next(longest, None))? {
        if let Some(said) = said(&line, limit)? {
            listener.hear(said)?;
        }
    }
    Ok(())
}

/// Hears what comes from a socket to its end.
///
/// # Errors
/// Something does not fit what the worker was told, or is no line of the protocol.
pub(crate) fn hear_socket(socket: &OwnedFd, listener: &Listener, limit: u64) -> Result<(), Cause> {
    hear(&mut Words::of(socket, listener), listener, limit)
}

/// Reads bytes as the answer to hello.
pub(crate) fn check_first_line(line: &[u8]) -> bool {
    check_ready(line).is_ok()
}

/// Writes a worker's lines from a thread of its own: one that does not read must hold up nobody else.
fn start_writer(socket: Arc<OwnedFd>) -> io::Result<Sender<Line>> {
    let (sender, lines): (_, Receiver<Line>) = crossbeam_channel::unbounded();
    thread::Builder::new().name("fedflow-writer".into()).stack_size(128 * 1024).spawn(move || {
        for line in lines {
            let mut rest = line.text.as_bytes();
            while !rest.is_empty() {
                match send(&socket, rest, SendFlags::NOSIGNAL) {
                    Ok(sent) => rest = &rest[sent..],
                    Err(Errno::INTR) => {}
                    Err(_) => return,
                }
            }
            if line.last {
                let _ = shutdown(&socket, Shutdown::Write);
            }
        }
    })?;
    Ok(sender)
}

/// The lines that a worker writes.
struct Words<'a> {
    socket: &'a OwnedFd,
    buffer: Vec<u8>,
    /// How much of the buffer holds no end of a line.
    searched: usize,
    listener: &'a Listener,
    /// A large line, which is taken in in turn with those of others. Held until the next line is asked for.
    large: Option<LargeMessage>,
}

impl<'a> Words<'a> {
    fn of(socket: &'a OwnedFd, listener: &'a Listener) -> Self {
        Self { socket, buffer: Vec::new(), searched: 0, listener, large: None }
    }

    /// The next line, without its end; `None` at the end of the file.
    fn next(
        &mut self,
        longest: impl Fn() -> usize,
        deadline: Option<(&Clock, Time)>,
    ) -> Result<Option<Vec<u8>>, Cause> {
        self.large = None;
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let end = self.searched + end;
                let rest = self.buffer.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.truncate(end);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            let longest = longest();
            if self.buffer.len() > longest {
                return Err(Cause::protocol(format_args!("a line has more than {longest} bytes")));
            }
            if let Some((clock, deadline)) = deadline
                && !wait_readable(self.socket, clock, deadline)?
            {
                return Err(late_hello());
            }
            if self.buffer.len() > LARGE {
                self.wait_in_turn()?;
            }
            let mut piece = [0_u8; 16 * 1024];
            match recv(self.socket, &mut piece, RecvFlags::empty()) {
                Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(None),
                Ok((_, read)) => self.buffer.extend_from_slice(&piece[..read]),
                Err(Errno::INTR) => {}
                Err(error) => return Err(Cause::protocol(io::Error::from(error))),
            }
        }
    }
}

impl Words<'_> {
    /// Waits for more of a large line.
    fn wait_in_turn(&mut self) -> Result<(), Cause> {
        // Garbage is no line, however long it becomes.
        if !self.buffer.trim_ascii_start().starts_with(b"{") {
            return Err(wrong_line("a line is not JSON", &self.buffer));
        }
        let (clock, size) = (self.listener.clock(), self.buffer.len());
        let large = self.large.get_or_insert_with(|| LargeMessage::begin(clock.now()));
        while !wait_readable(self.socket, clock, large.patience())? {
            large.late(clock.now(), size)?;
        }
        large.goes_on(self.listener, size)
    }
}

fn late_hello() -> Cause {
    let message = "it did not answer `hello` with `ready` in time; does it speak the JSON worker protocol?";
    Cause::new(FailureKind::Timeout, message)
}

/// Waits for something to read; false if nothing has come by a deadline.
fn wait_readable(socket: &OwnedFd, clock: &Clock, deadline: Time) -> Result<bool, Cause> {
    loop {
        let left = clock.until(deadline);
        if left.is_zero() {
            return Ok(false);
        }
        let mut descriptors = [PollFd::new(socket, PollFlags::IN)];
        match poll(&mut descriptors, Timespec::try_from(left).ok().as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(Cause::protocol(io::Error::from(error))),
        }
    }
}

fn check_ready(line: &[u8]) -> Result<(), Cause> {
    let event = event_of(line, MAX_HELLO as u64)?;
    if event.get("event").and_then(Value::as_str) != Some("ready") {
        return Err(wrong_line("its first line is not `ready`", line));
    }
    match event.get("version").and_then(Value::as_i64) {
        Some(VERSION) => Ok(()),
        Some(other) => Err(Cause::protocol(format_args!(
            "it speaks version {other} of the JSON protocol, this supervisor version {VERSION}"
        ))),
        None => Err(wrong_line("`ready` lacks the version", line)),
    }
}

/// What a line says; `None` for an empty one.
fn said(line: &[u8], limit: u64) -> Result<Option<Said>, Cause> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let mut event = event_of(line, limit)?;
    let missing = |field: &str| wrong_line(&format!("`{field}` is missing or has a wrong type"), line);
    let count = |event: &Dict, field: &str| {
        event.get(field).and_then(Value::as_i64).and_then(|count| u64::try_from(count).ok())
    };
    let text = |event: &mut Dict, field: &str| match event.remove(field) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let name = text(&mut event, "event").ok_or_else(|| missing("event"))?;
    Ok(Some(match name.as_str() {
        "loaded" => Said::Loaded,
        "item" => {
            let key = text(&mut event, "key").ok_or_else(|| missing("key"))?;
            let value = event.remove("value").ok_or_else(|| missing("value"))?;
            // Items wait for the engine; as many as may must not fill the memory.
            check_limits(&value, MAX_ITEM as u64)
                .map_err(|error| wrong_line(&format!("the value of an item: {error}"), line))?;
            Said::Item { key, value }
        }
        "progress" => Said::Progress {
            done: count(&event, "done").ok_or_else(|| missing("done"))?,
            total: count(&event, "total").ok_or_else(|| missing("total"))?,
        },
        "result" => match event.remove("data") {
            Some(Value::Dict(data)) => Said::Trained(data),
            _ => return Err(missing("data")),
        },
        "error" => {
            if event.get("phase").is_some_and(|phase| !matches!(phase.as_str(), Some("load" | "train"))) {
                return Err(missing("phase"));
            }
            let kind = match event.get("kind").and_then(Value::as_str) {
                Some("oom") => FailureKind::Oom,
                Some("error") | None => FailureKind::Error,
                Some(_) => return Err(missing("kind")),
            };
            Said::Failed { kind, message: text(&mut event, "message").ok_or_else(|| missing("message"))? }
        }
        _ => return Err(wrong_line("an unknown event", line)),
    }))
}

fn event_of(line: &[u8], limit: u64) -> Result<Dict, Cause> {
    // What the fields around a result take is not the result's.
    match json::parse(line, limit.saturating_add(MAX_HELLO as u64)) {
        Ok(Value::Dict(event)) => Ok(event),
        Ok(other) => Err(wrong_line(&format!("a line is {} instead of an object", other.kind()), line)),
        Err(error) => Err(wrong_line(&format!("a line is not JSON, {error}"), line)),
    }
}

fn wrong_line(what: &str, line: &[u8]) -> Cause {
    let start = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
    Cause::protocol(format_args!("{what}: {start:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: u64 = 1 << 16;

    #[test]
    fn events_are_understood() {
        let parse = |text: &str| said(text.as_bytes(), LIMIT).unwrap();
        assert_eq!(parse("{\"event\": \"loaded\"}"), Some(Said::Loaded));
        assert_eq!(parse(" \r"), None);
        assert_eq!(
            parse("{\"event\":\"item\",\"key\":\"loss\",\"value\":Infinity}"),
            Some(Said::Item { key: "loss".into(), value: Value::Float(f64::INFINITY) })
        );
        assert_eq!(
            parse("{\"event\":\"progress\",\"done\":1,\"total\":2,\"extra\":[]}"),
            Some(Said::Progress { done: 1, total: 2 })
        );
        assert_eq!(
            parse("{\"event\":\"result\",\"data\":{\"a\":1}}"),
            Some(Said::Trained(Dict::from([("a", 1)])))
        );
        assert_eq!(
            parse("{\"event\":\"error\",\"phase\":\"load\",\"kind\":\"oom\",\"message\":\"full\"}"),
            Some(Said::Failed { kind: FailureKind::Oom, message: "full".into() })
        );
    }

    #[test]
    fn what_is_no_event_is_a_breach_that_shows_the_line() {
        for text in [
            "garbage",
            "[]",
            "{}",
            "{\"event\":\"dance\"}",
            "{\"event\":\"item\",\"key\":1,\"value\":1}",
            "{\"event\":\"item\",\"key\":\"a\"}",
            "{\"event\":\"error\",\"phase\":\"exit\",\"message\":\"\"}",
            "{\"event\":\"progress\",\"done\":-1,\"total\":2}",
            "{\"event\":\"result\",\"data\":[]}",
            "{\"event\":\"error\",\"kind\":\"bad\",\"message\":\"\"}",
            "{\"event\":\"loaded\",\"event\":\"loaded\"}",
        ] {
            let cause = said(text.as_bytes(), LIMIT).unwrap_err();
            assert_eq!(cause.kind, FailureKind::Protocol);
            assert!(cause.message.contains(&format!("{:?}", text)), "{}", cause.message);
        }
    }

    #[test]
    fn an_item_is_small() {
        let item = |ones: usize| {
            let line = format!("{{\"event\":\"item\",\"key\":\"a\",\"value\":[{}0]}}", "1,".repeat(ones));
            said(line.as_bytes(), 1 << 20)
        };
        assert!(matches!(item(100), Ok(Some(Said::Item { .. }))));
        let cause = item(2_000).unwrap_err();
        assert!(
            cause.message.contains("an item: it is larger than the limit of 32768 bytes"),
            "{}",
            cause.message
        );
    }

    #[test]
    fn a_hello_is_answered_with_the_version() {
        check_ready(b"{\"event\":\"ready\",\"version\":1}").unwrap();
        for line in
            ["{\"event\":\"ready\"}", "{\"event\":\"loaded\"}", "{\"event\":\"ready\",\"version\":2}", "x"]
        {
            assert!(check_ready(line.as_bytes()).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = said(&bytes, LIMIT);
            let _ = check_ready(&bytes);
        }
    }
}
