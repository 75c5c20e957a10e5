//! The reader of one JSON worker: greets it, gives it its task, then hears it until it closes its end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam_channel::Sender;
use fedflow_core::{Assignment, FailureKind, Program, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::host::cause::Cause;
use crate::host::sessions::json::json_commands::{Line, start_writer};
use crate::host::sessions::json::json_events::{check_ready, said, wrong_line};
use crate::host::sessions::large_message_gate::{LARGE, LargeMessage};
use crate::host::sessions::listener::{Listener, Said, SessionPhase};
use crate::host::setup::context::HostContext;
use crate::pausable_clock::Clock;
use crate::protocol::MAX_HELLO;

/// What the reader of a JSON worker needs.
pub(crate) struct JsonReader {
    pub(crate) context: Arc<HostContext>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) socket: Arc<OwnedFd>,
}

impl JsonReader {
    /// Runs until the worker closes its end. `connected` is called with the way to the worker.
    ///
    /// # Errors
    /// The worker did not meet the protocol.
    pub(crate) fn run(self, connected: impl FnOnce(Sender<Line>)) -> Result<(), Cause> {
        let Program::Worker { kind, .. } = self.assignment.program.as_ref() else {
            return Err(Cause::protocol("a command is no worker"));
        };
        let clock = &self.context.clock;
        let deadline = clock.now() + self.context.options.start_timeout;
        let lines = start_writer(Arc::clone(&self.socket)).map_err(Cause::protocol)?;
        let mut words = Words::of(&self.socket, &self.listener);
        let _ = lines.send(Line::hello());
        let hello = self.listener.wait(|| words.next(|| MAX_HELLO, Some((clock, deadline))))?;
        let Some(hello) = hello else { return Ok(()) };
        check_ready(&hello)?;
        let _ = lines.send(Line::task(&self.assignment, kind));
        self.listener.expect(SessionPhase::Starting);
        connected(lines);
        self.listener.hear(Said::Ready(self.listener.worker()))?;
        hear(&mut words, &self.listener, self.context.options.result_limit)
    }
}

/// Hears a worker until it closes its end.
fn hear(words: &mut Words<'_>, listener: &Listener, limit: u64) -> Result<(), Cause> {
    // Only a result may be long. Asked again for every piece, as the worker may be told to train while its next line
    // is already awaited.
    let longest = || match listener.phase() {
        SessionPhase::Training => usize::try_from(limit).unwrap_or(usize::MAX).max(MAX_HELLO),
        _ => MAX_HELLO,
    };
    while let Some(line) = listener.wait(|| words.next(longest, None))? {
        if let Some(said) = said(&line, limit)? {
            listener.hear(said)?;
        }
    }
    Ok(())
}

/// Hears a socket to its end.
///
/// # Errors
/// A line does not fit what the worker was told, or is none of the protocol.
pub(crate) fn hear_socket(socket: &OwnedFd, listener: &Listener, limit: u64) -> Result<(), Cause> {
    hear(&mut Words::of(socket, listener), listener, limit)
}

/// The lines that a worker writes.
struct Words<'a> {
    socket: &'a OwnedFd,
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no end of a line, in bytes.
    searched: usize,
    listener: &'a Listener,
    /// A large line, which needs a permit. Kept until the next line is asked for.
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
                self.wait_for_more()?;
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
    fn wait_for_more(&mut self) -> Result<(), Cause> {
        // Garbage does not become a line, however long it gets.
        if !self.buffer.trim_ascii_start().starts_with(b"{") {
            return Err(wrong_line("a line is not JSON", &self.buffer));
        }
        let (clock, size) = (self.listener.clock(), self.buffer.len());
        let large = self.large.get_or_insert_with(|| LargeMessage::begin(clock.now()));
        while !wait_readable(self.socket, clock, large.deadline())? {
            large.judge(clock.now(), size)?;
        }
        large.admit(clock, size, || self.listener.enter_gate())
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
