//! The protocol between the supervisor and a Rust worker: both directions side by side, with version and limits.
//!
//! The life of a worker's process, on ipc-channel after the handshake:
//!
//! ```text
//! supervisor                                     worker
//!     │ ◀──────── Hello, one line on descriptor 0 ──── │
//!     │ ── Bootstrap, on the worker's own server ────▶ │
//!     │ ── Task ─────────────────────────────────────▶ │  the task is made, in its own directory
//!     │ ◀──────────────────────── Ready, or Refused ── │
//!     │ ── Load ─────────────────────────────────────▶ │  `load`
//!     │ ◀──────────────────────── Loaded, or Failed ── │
//!     │ ── Train ────────────────────────────────────▶ │  `train`
//!     │ ◀───────────────────── Item, Progress … ────── │
//!     │ ◀───── Whole, Result and Chunks, or Failed ─── │
//!     │ ── Exit, or the next Task ───────────────────▶ │
//! ```
//!
//! Rules that keep both sides safe: a message is hardly longer than [`MAX_CHUNK`](limits::MAX_CHUNK), as a larger one could
//! block its sender for ever if the other side dies. Values travel as bytes of the [`codec`], never as recursive types.
//! No list has elements of size zero. A task's identity is its channel: nothing that a worker sends names the task. `Ready`
//! repeats the number of the assignment that it answers, so that late messages of a reused process cannot count for its
//! next task.

pub(crate) mod codec;
mod hello;
#[cfg(feature = "host")]
mod host_limits;
pub(crate) mod json;
mod limits;
mod messages;
mod params_question;
mod value_builder;
mod wire_types;

pub(crate) use hello::{Hello, kinds_line};
#[cfg(feature = "host")]
pub(crate) use host_limits::{HOST_BACKLOG, HOST_BURST, HOST_RATE, MAX_HELLO, MAX_INLINE, MAX_MESSAGE};
pub(crate) use limits::{
    ITEM_GAP, MAX_CHUNK, MAX_ITEM, MAX_KEY, MAX_KEYS, OLDEST_VERSION, VERSION, WORKER_BURST, WORKER_RATE,
    shortened,
};
pub(crate) use messages::{Bootstrap, TaskMessage, ToHost, ToWorker};
#[cfg(feature = "host")]
pub(crate) use params_question::question_line;
pub(crate) use params_question::{answer_line, read_question};
#[cfg(feature = "host")]
pub(crate) use value_builder::check_limits;
pub(crate) use wire_types::{Bytes, Carried, WireLease};
