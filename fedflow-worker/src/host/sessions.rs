//! What passes between the supervisor and one worker: both protocols, what a worker may say when, and how much is
//! taken in.

pub(crate) mod ipc;
pub(crate) mod item_limits;
pub(crate) mod json;
pub(crate) mod large_message_gate;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod reader_pool;
pub(crate) mod session_reader;
