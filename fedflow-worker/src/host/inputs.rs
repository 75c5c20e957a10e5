//! What reaches the engine's thread, from any other.

pub(crate) mod host_handle;
pub(crate) mod input_queue;
