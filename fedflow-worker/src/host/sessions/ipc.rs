//! Sessions with Rust workers, over ipc-channel.

pub(crate) mod handshake;
pub(crate) mod ipc_link;
pub(crate) mod ipc_reader;
