//! The reader of one Rust worker: shakes hands, gives it its task, then hears it until its channel closes.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{Assignment, Dict, FailureKind, Time, WorkerId};
use ipc_channel::ipc::{self, IpcReceiver};
use ipc_channel::{IpcError, TryRecvError};

use crate::host::cause::Cause;
use crate::host::sessions::ipc::handshake::{Terms, shake_hands};
use crate::host::sessions::ipc::ipc_link::{IpcLink, Unreachable};
use crate::host::sessions::large_message_gate::{LARGE, LargeMessage};
use crate::host::sessions::listener::{Listener, Said, SessionPhase};
use crate::host::setup::context::HostContext;
use crate::host::starting::rendezvous::Rendezvous;
use crate::processes::spawn::null;
use crate::protocol::codec;
use crate::protocol::{MAX_CHUNK, MAX_ITEM, ToHost};

/// What the reader of a Rust worker needs.
pub(crate) struct IpcReader {
    pub(crate) context: Arc<HostContext>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) socket: Arc<OwnedFd>,
    pub(crate) rendezvous: Rendezvous,
}

impl IpcReader {
    /// Runs until the worker's channel closes. `connected` is called with the way to the worker.
    ///
    /// # Errors
    /// The worker did not meet the protocol.
    pub(crate) fn run(self, connected: impl FnOnce(IpcLink)) -> Result<(), Cause> {
        let clock = &self.context.clock;
        let deadline = clock.now() + self.context.options.start_timeout;
        let Rendezvous { token, directory } = &self.rendezvous;
        let terms = Terms { socket: &self.socket, token, private: directory, clock, deadline };
        let Some(session) = self.listener.wait(|| shake_hands(&terms))? else { return Ok(()) };
        let mut link = IpcLink::new(session.commands, directory);
        self.listener.expect(SessionPhase::Starting);
        let limit = self.context.options.result_limit;
        match link.give(self.listener.worker(), &self.assignment, limit) {
            Ok(()) => {}
            // It has died since it said hello: its end says why.
            Err(Unreachable::Gone(_)) => return Ok(()),
            Err(error @ Unreachable::Unsendable(_)) => {
                return Err(Cause::new(FailureKind::Spawn, error.to_string()));
            }
        }
        connected(link);
        hear(&session.events, &self.listener, limit)
    }
}

/// Has ipc-channel measure how large a packet may be. It does so once in a program, and panics from then on if there
/// is no descriptor for it: better before anything runs, and with an error.
///
/// # Errors
/// There is no descriptor for it.
pub(crate) fn prepare() -> io::Result<()> {
    // A channel is a pair of sockets, and measuring takes one more.
    drop([null()?, null()?, null()?, null()?]);
    let (sender, _receiver) = ipc::channel::<()>()?;
    sender.send(()).map_err(io::Error::other)
}

/// Hears a worker until its channel closes.
fn hear(events: &IpcReceiver<ToHost>, listener: &Listener, result_limit: u64) -> Result<(), Cause> {
    let mut assembly: Option<Assembly> = None;
    loop {
        let until = assembly.as_ref().and_then(Assembly::deadline);
        let message = match listener
            .wait(|| receive(events, until.map(|until| listener.clock().until(until))))
        {
            Ok(message) => message,
            Err(IpcError::Io(error)) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(IpcError::Disconnected) => return Ok(()),
            // The kernel's error for a peer that died with unread messages.
            Err(IpcError::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(IpcError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {
                if let Some(parts) = &mut assembly {
                    parts.judge(listener.clock().now())?;
                }
                continue;
            }
            Err(error) => return Err(Cause::protocol(error)),
        };
        let said = match (message, assembly.take()) {
            (ToHost::Result { length }, None) => {
                assembly = Some(Assembly::begin(length, result_limit, listener)?);
                continue;
            }
            (ToHost::Chunk(bytes), Some(mut parts)) => match parts.add(bytes.0, listener)? {
                Some(bytes) => Said::Trained(result_of(&bytes, result_limit)?),
                None => {
                    assembly = Some(parts);
                    continue;
                }
            },
            (_, Some(_)) => return Err(Cause::protocol("its result broke off")),
            (ToHost::Whole(bytes), None) => Said::Trained(result_of(&bytes.0, result_limit)?),
            (message, None) => said(message)?,
        };
        listener.hear(said)?;
    }
}

/// Waits for the next message, at most for `limit`.
fn receive(events: &IpcReceiver<ToHost>, limit: Option<Duration>) -> Result<ToHost, IpcError> {
    let Some(limit) = limit else { return events.recv() };
    events.try_recv_timeout(limit).map_err(|error| match error {
        TryRecvError::IpcError(error) => error,
        TryRecvError::Empty => IpcError::Io(io::ErrorKind::TimedOut.into()),
    })
}

fn result_of(bytes: &[u8], limit: u64) -> Result<Dict, Cause> {
    codec::decode(bytes, limit).map_err(|error| Cause::protocol(format_args!("its result: {error}")))
}

fn said(message: ToHost) -> Result<Said, Cause> {
    Ok(match message {
        ToHost::Ready { number } => Said::Ready(WorkerId(number)),
        ToHost::Refused { message } => Said::Refused(message),
        ToHost::Loaded => Said::Loaded,
        ToHost::Item { key, value } => {
            let value = codec::decode_value(&value.0, MAX_ITEM as u64)
                .map_err(|error| Cause::protocol(format_args!("an item: {error}")))?;
            Said::Item { key, value }
        }
        ToHost::Progress { done, total } => Said::Progress { done, total },
        ToHost::Failed { out_of_memory, message } => {
            let kind = if out_of_memory { FailureKind::Oom } else { FailureKind::Error };
            Said::Failed { kind, message }
        }
        ToHost::Result { .. } | ToHost::Chunk(_) | ToHost::Whole(_) => {
            return Err(Cause::protocol("a piece of a result came without its beginning"));
        }
    })
}

/// A result that is arriving in pieces.
#[derive(Debug)]
struct Assembly {
    bytes: Vec<u8>,
    length: usize,
    /// A large one needs a permit.
    large: Option<LargeMessage>,
}

impl Assembly {
    fn begin(length: u64, limit: u64, listener: &Listener) -> Result<Self, Cause> {
        // The encoded form is never larger than the value in memory, which is what the limit counts.
        match usize::try_from(length) {
            Ok(length) if length > 0 && u64::try_from(length).is_ok_and(|bytes| bytes <= limit.max(64)) => {
                let large = (length > LARGE).then(|| LargeMessage::begin(listener.clock().now()));
                Ok(Self { bytes: Vec::new(), length, large })
            }
            _ => Err(Cause::protocol(format_args!(
                "its result has {length} bytes; supervision.result-limit is {limit}"
            ))),
        }
    }

    /// Until when the next piece is awaited; then call [`Self::judge`].
    fn deadline(&self) -> Option<Time> {
        self.large.as_ref().map(LargeMessage::deadline)
    }

    fn judge(&mut self, now: Time) -> Result<(), Cause> {
        let size = self.bytes.len();
        self.large.as_mut().map_or(Ok(()), |large| large.judge(now, size))
    }

    /// Adds a piece once it has a permit; returns the whole when it is complete.
    fn add(&mut self, piece: Vec<u8>, listener: &Listener) -> Result<Option<Vec<u8>>, Cause> {
        if piece.is_empty() || piece.len() > MAX_CHUNK || self.bytes.len() + piece.len() > self.length {
            return Err(Cause::protocol("a piece of its result has a wrong length"));
        }
        if let Some(large) = &mut self.large {
            large.admit(listener.clock(), self.bytes.len(), || listener.enter_gate())?;
        }
        self.bytes.extend(piece);
        Ok((self.bytes.len() == self.length).then(|| std::mem::take(&mut self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::inputs::input_queue::InputQueue;
    use crate::host::sessions::large_message_gate::LargeMessageGate;
    use crate::pausable_clock::Clock;
    use crate::protocol::Bytes;
    use ipc_channel::ipc;

    const LIMIT: u64 = 1 << 16;

    fn listener(inputs: InputQueue) -> Listener {
        Listener::new(WorkerId(1), inputs, LargeMessageGate::default(), Clock::start())
    }

    /// What becomes of messages that a worker sends while it should train, and how many reach the engine.
    fn heard(messages: Vec<ToHost>) -> (Result<(), Cause>, usize) {
        let inputs = InputQueue::open().unwrap();
        let listener = listener(inputs.clone());
        listener.expect(SessionPhase::Training);
        let (sender, receiver) = ipc::channel().unwrap();
        for message in messages {
            sender.send(message).unwrap();
        }
        drop(sender);
        (hear(&receiver, &listener, LIMIT), inputs.take().len())
    }

    fn breach(messages: Vec<ToHost>) -> String {
        let cause = heard(messages).0.unwrap_err();
        assert_eq!(cause.kind, FailureKind::Protocol);
        cause.message
    }

    fn result_in(pieces: usize) -> Vec<ToHost> {
        let bytes = codec::encode(Dict::from([("a", 1)]), LIMIT).unwrap();
        let size = bytes.len().div_ceil(pieces);
        let mut messages = vec![ToHost::Result { length: bytes.len() as u64 }];
        messages.extend(bytes.chunks(size).map(|piece| ToHost::Chunk(Bytes(piece.to_vec()))));
        messages
    }

    #[test]
    fn a_result_arrives_in_pieces() {
        for pieces in [1, 2, 7] {
            assert_eq!(heard(result_in(pieces)), (Ok(()), 1));
        }
        let mut half = result_in(2);
        half.pop();
        assert_eq!(heard(half), (Ok(()), 0), "the exit says why it broke off");
    }

    #[test]
    fn a_result_that_breaks_its_word_is_a_breach() {
        assert!(breach(vec![ToHost::Result { length: LIMIT + 1 }]).contains("result-limit is 65536"));
        assert!(breach(vec![ToHost::Result { length: u64::MAX }]).contains("result-limit"));
        assert!(breach(vec![ToHost::Result { length: 0 }]).contains("0 bytes"));
        let too_long = ToHost::Chunk(Bytes(vec![0; 6]));
        assert!(breach(vec![ToHost::Result { length: 5 }, too_long]).contains("wrong length"));
        let empty = ToHost::Chunk(Bytes(Vec::new()));
        assert!(breach(vec![ToHost::Result { length: 5 }, empty]).contains("wrong length"));
        assert!(
            breach(vec![ToHost::Result { length: 5 }, ToHost::Ready { number: 1 }]).contains("broke off")
        );
        assert!(breach(vec![ToHost::Chunk(Bytes(vec![0]))]).contains("without its beginning"));
        assert!(breach(vec![ToHost::Whole(Bytes(vec![7; 12]))]).contains("its result:"));
        let piece = ToHost::Whole(Bytes(Vec::new()));
        assert!(breach(vec![ToHost::Result { length: 5 }, piece]).contains("broke off"));
        let garbage = ToHost::Chunk(Bytes(vec![7; 12]));
        assert!(breach(vec![ToHost::Result { length: 12 }, garbage]).contains("its result:"));
        assert!(breach(vec![ToHost::Item { key: "k".into(), value: Bytes(vec![1]) }]).contains("an item:"));
        let mut twice = result_in(1);
        twice.extend(result_in(1));
        assert!(breach(twice).contains("a result came when the worker had no task"));
    }

    #[test]
    fn bytes_that_are_no_message_are_a_breach() {
        let listener = listener(InputQueue::open().unwrap());
        let (sender, receiver) = ipc::channel::<u64>().unwrap();
        sender.send(u64::MAX).unwrap();
        let cause = hear(&receiver.to_opaque().to(), &listener, LIMIT).unwrap_err();
        assert_eq!(cause.kind, FailureKind::Protocol);
    }
}
