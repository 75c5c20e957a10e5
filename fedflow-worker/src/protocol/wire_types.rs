//! What messages carry: paths, leases and encoded values, in forms that the wire format can hold.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use fedflow_core::{Device, DeviceInfo, LeaseInfo, Size};
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Encoded parameters: in the message, or in a file of the private directory if they are large.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Carried {
    Inline(Bytes),
    File { path: WirePath, length: u64 },
}

/// Bytes that serde carries in one piece.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// A path, which need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WirePath(Bytes);

/// What a task is told of its lease. The model's own type omits fields in its serialised form, which this format cannot.
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
