//! What passes between the supervisor and one worker: the handshake, both protocols, and what is taken in of them.

pub(crate) mod handshake;
pub(crate) mod ipc;
pub(crate) mod item_limits;
pub(crate) mod json;
pub(crate) mod large_messages;
pub(crate) mod lease_json;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod reader_pool;
