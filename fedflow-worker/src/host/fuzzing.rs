//! Entry points for fuzzers and for tests of other crates: they read a worker's bytes without a worker. Not part of
//! the API.

use std::os::fd::OwnedFd;

use fedflow_core::{Dict, WorkerId};
use rustix::net::{
    AddressFamily, SendFlags, Shutdown, SocketFlags, SocketType, send, shutdown, socketpair, sockopt,
};

use crate::host::inputs::input_queue::InputQueue;
use crate::host::sessions::json::{json_events, json_reader};
use crate::host::sessions::large_message_gate::LargeMessageGate;
use crate::host::sessions::listener::{Listener, SessionPhase};
use crate::pausable_clock::Clock;
use crate::protocol::codec;

/// Hears bytes as what a JSON worker sends after its hello, once while it loads and once while it trains. As many of
/// them as a socket takes are heard.
///
/// Returns for each why they were not heard to their end.
pub fn json_lines(bytes: &[u8], result_limit: u64) -> [Option<String>; 2] {
    let _ = json_events::check_ready(bytes);
    [SessionPhase::Loading, SessionPhase::Training].map(|phase| {
        let socket = filled_socket(bytes)?;
        let listener =
            Listener::new(WorkerId(1), InputQueue::open().ok()?, LargeMessageGate::default(), Clock::start());
        listener.expect(phase);
        json_reader::hear_socket(&socket, &listener, result_limit).err().map(|cause| cause.message)
    })
}

/// Reads bytes as a dictionary of the codec.
pub fn decode(bytes: &[u8], limit: u64) -> Option<Dict> {
    codec::decode(bytes, limit).ok()
}

/// A dictionary as the codec's bytes; `None` if it breaks a limit.
pub fn encode(dict: Dict, limit: u64) -> Option<Vec<u8>> {
    codec::encode(dict, limit).ok()
}

/// A socket from which the bytes can be read, and then its end.
fn filled_socket(bytes: &[u8]) -> Option<OwnedFd> {
    let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let (theirs, ours) = pair.ok()?;
    // A larger buffer, where that is allowed.
    let _ = sockopt::set_socket_send_buffer_size(&theirs, 1 << 20);
    let mut rest = bytes;
    while !rest.is_empty() {
        match send(&theirs, rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(sent) => rest = &rest[sent..],
            Err(_) => break,
        }
    }
    shutdown(&theirs, Shutdown::Write).ok()?;
    Some(ours)
}
