//! Limits that only the supervisor applies.

use super::limits::MAX_KEYS;

/// The longest Hello, in bytes.
pub(crate) const MAX_HELLO: usize = 64 * 1024;
/// The most bytes of parameters that are sent in messages for one task; larger ones go by file. It is less than a socket
/// buffers, so the supervisor never blocks on a worker that does not read.
pub(crate) const MAX_INLINE: usize = 32 * 1024;
/// How much is kept of an error's message: there may be thousands of them, each in several places.
pub(crate) const MAX_MESSAGE: usize = 8 * 1024;
/// The most items a second that the supervisor takes; more than a correct worker sends.
pub(crate) const HOST_RATE: f64 = 400.0;
/// The burst that the supervisor takes: what is held back for every key may come at once at the end of `train`.
pub(crate) const HOST_BURST: f64 = 4.0 * MAX_KEYS as f64;
/// Bytes of items that may wait for the engine, for one worker.
pub(crate) const HOST_BACKLOG: usize = 2 << 20;
