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
//! Rules that keep both sides safe: a message stays below [`MAX_CHUNK`] and a little (a larger one could hang its
//! sender for ever if the other side dies); values travel as bytes of the [codec](crate::codec), never as recursive
//! types; there is no zero-sized type in a list. A task's identity is its channel: nothing that a worker sends
//! names the task. `Ready` repeats the number of the assignment that it answers, so that whatever a reused process
//! still says of the task before is told apart.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fedflow_core::{Device, DeviceInfo, LeaseInfo, Size};
use ipc_channel::ipc::{IpcReceiver, IpcSender};
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The version of this protocol. A supervisor talks to workers of its own version and older ones.
pub(crate) const VERSION: u32 = 2;
/// The oldest version that a supervisor still talks to.
pub(crate) const OLDEST_VERSION: u32 = 2;
/// The longest Hello, in bytes.
pub(crate) const MAX_HELLO: usize = 64 * 1024;
/// The longest piece of a result, in bytes.
pub(crate) const MAX_CHUNK: usize = 60 * 1024;
/// Bytes of parameters that a process may be sent in messages for one task; what is more goes by file. It is less than
/// a socket buffers, so the supervisor never blocks on a worker that does not read.
pub(crate) const MAX_INLINE: usize = 32 * 1024;
/// The longest encoded value of an item, and of an error's message.
pub(crate) const MAX_ITEM: usize = 32 * 1024;
/// How much is kept of an error's message: there may be thousands of them, each in several places.
pub(crate) const MAX_MESSAGE: usize = 8 * 1024;
/// The longest key of an item.
pub(crate) const MAX_KEY: usize = 256;
/// How many keys the items of one task may have.
pub(crate) const MAX_KEYS: usize = 1024;
/// The least time between two items of one key; a worker keeps to it and tells the last value later.
pub(crate) const ITEM_GAP: Duration = Duration::from_millis(50);
/// Items a second that a worker tells at most, all keys together, after a first burst.
pub(crate) const WORKER_RATE: f64 = 200.0;
/// The size of that burst.
pub(crate) const WORKER_BURST: f64 = 200.0;
/// Items a second that the supervisor takes; above what an honest worker sends.
pub(crate) const HOST_RATE: f64 = 400.0;
/// The burst that the supervisor takes: what is held back for every key may come at once at the end of `train`.
pub(crate) const HOST_BURST: f64 = 4.0 * MAX_KEYS as f64;
/// Bytes of items that may wait for the engine, for one worker.
pub(crate) const HOST_BACKLOG: usize = 2 << 20;

/// A worker's first words: one line of JSON on descriptor 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The version of the protocol. It stands first and stays: a newer worker is refused by it.
    pub(crate) version: u32,
    /// The token that the supervisor put into its environment.
    pub(crate) token: String,
    /// Where its one-shot server listens, inside the directory that it was given.
    pub(crate) server: String,
    /// The task kinds that it knows.
    pub(crate) kinds: Vec<String>,
}

/// The supervisor's answer, the only message on the worker's own server: the two channels of the session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Bootstrap {
    /// The version that the supervisor will speak.
    pub(crate) version: u32,
    /// The same token, so that a worker does not listen to anybody else.
    pub(crate) token: String,
    /// Where the worker hears.
    pub(crate) orders: IpcReceiver<ToWorker>,
    /// Where the worker speaks.
    pub(crate) events: IpcSender<ToHost>,
}

/// Sent by the supervisor. The order of the variants is the wire format: new ones are added at the end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// Make this task. Answered by `Ready` or `Refused`.
    Task(TaskMessage),
    /// Call `load`. Answered by `Loaded` or `Failed`.
    Load,
    /// Call `train`. Answered by `Result` or `Failed`.
    Train {
        /// What was leased for it.
        lease: WireLease,
        /// The parameters for `train`.
        params: Carried,
    },
    /// Leave.
    Exit,
}

/// A task, as it is given to a worker. Its directory is made, and holds its two logs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TaskMessage {
    /// The assignment's number, which `Ready` repeats.
    pub(crate) number: u64,
    pub(crate) group: String,
    pub(crate) task_id: String,
    pub(crate) attempt: u32,
    pub(crate) kind: String,
    pub(crate) workdir: WirePath,
    pub(crate) checkpoint_dir: WirePath,
    pub(crate) params: Carried,
    /// The memory that a result may take, in bytes.
    pub(crate) result_limit: u64,
    /// Under which key what it loads is kept for a later task of this process.
    pub(crate) keep: Option<String>,
}

/// Sent by a worker. The order of the variants is the wire format: new ones are added at the end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToHost {
    /// The task is made.
    Ready {
        /// The number of its assignment.
        number: u64,
    },
    /// The task cannot be made: its kind is not known, or its parameters do not fit.
    Refused {
        /// Why.
        message: String,
    },
    /// `load` returned.
    Loaded,
    /// A named value.
    Item {
        /// Its name.
        key: String,
        /// The value, encoded.
        value: Bytes,
    },
    /// How far `train` is.
    Progress {
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
    },
    /// `train` returned: so many bytes of result follow in chunks.
    Result {
        /// The length of the encoded dictionary.
        length: u64,
    },
    /// The next piece of the result.
    Chunk(Bytes),
    /// The phase failed; the process lives.
    Failed {
        /// Whether memory did not suffice.
        out_of_memory: bool,
        /// Why.
        message: String,
    },
    /// `train` returned: the whole result, which fits into one piece.
    Whole(Bytes),
}

/// Encoded parameters: in the message, or in a file of the private directory if they are large.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Carried {
    Inline(Bytes),
    File { path: WirePath, length: u64 },
}

/// Bytes that serde carries in one piece.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// A path, whatever its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WirePath(Bytes);

/// What a task is told of its lease. The model's own type leaves fields out of its serialised form, which this
/// format cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireLease {
    device: Device,
    cards: Vec<WireCard>,
    memory: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WireCard {
    device: Device,
    uuid: Option<String>,
    name: String,
    memory: Option<u64>,
}

impl From<&Path> for WirePath {
    fn from(path: &Path) -> Self {
        Self(Bytes(path.as_os_str().as_bytes().to_vec()))
    }
}

impl From<WirePath> for PathBuf {
    fn from(path: WirePath) -> Self {
        Self::from(OsString::from_vec(path.0.0))
    }
}

impl From<LeaseInfo> for WireLease {
    fn from(lease: LeaseInfo) -> Self {
        let card = |info: DeviceInfo| WireCard {
            device: info.device,
            uuid: info.uuid,
            name: info.name,
            memory: info.memory.map(Size::bytes),
        };
        Self {
            device: lease.device,
            cards: lease.cards.into_iter().map(card).collect(),
            memory: lease.memory.map(Size::bytes),
        }
    }
}

impl From<WireLease> for LeaseInfo {
    fn from(lease: WireLease) -> Self {
        let info = |card: WireCard| DeviceInfo {
            device: card.device,
            uuid: card.uuid,
            name: card.name,
            memory: card.memory.map(Size::from_bytes),
        };
        Self {
            device: lease.device,
            cards: lease.cards.into_iter().map(info).collect(),
            memory: lease.memory.map(Size::from_bytes),
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(Bytes(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _seq: A) -> Result<Bytes, A::Error> {
        Err(A::Error::custom("bytes are not sent one by one"))
    }
}

/// Shortens a text to a number of bytes, at a character's border.
pub(crate) fn shortened(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_channel::ipc;

    #[test]
    fn messages_survive_the_channel() {
        let (tx, rx) = ipc::channel().unwrap();
        let lease = LeaseInfo {
            device: Device::Cuda(3),
            cards: vec![DeviceInfo {
                device: Device::Cuda(3),
                uuid: None,
                name: "A card".into(),
                memory: Some(Size::from_gb(24)),
            }],
            memory: None,
        };
        let path = PathBuf::from(OsString::from_vec(vec![b'/', 0xff]));
        let params = Carried::File { path: path.as_path().into(), length: 5 };
        tx.send(ToWorker::Train { lease: lease.clone().into(), params }).unwrap();
        let ToWorker::Train { lease: back, params: Carried::File { path: back_path, length: 5 } } =
            rx.recv().unwrap()
        else {
            panic!("another message came");
        };
        assert_eq!(LeaseInfo::from(back), lease);
        assert_eq!(PathBuf::from(back_path), path);
    }

    #[test]
    fn bytes_are_carried_in_one_piece() {
        let (tx, rx) = ipc::channel().unwrap();
        tx.send(ToHost::Chunk(Bytes(vec![7; MAX_CHUNK]))).unwrap();
        assert!(matches!(rx.recv().unwrap(), ToHost::Chunk(Bytes(bytes)) if bytes == vec![7; MAX_CHUNK]));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened("äöü".into(), 3), "ä…");
        assert_eq!(shortened("äöü".into(), 6), "äöü");
    }
}
