//! The records of a ledger's file: what they say, and how they stand in the file.
//!
//! A file is a row of slots of [`SLOT`] bytes: the header, then one booking each, or none. A slot is a line of JSON, filled
//! up with spaces, with its checksum at the end. So every record is written by one call, at its own place, and whoever
//! reads a record while it is written sees that it did.

use fedflow_core::{ProcessId, Size};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The length of a slot, in bytes.
pub(super) const SLOT: usize = 1024;
/// How many slots a file has at most, the header's included.
pub(super) const MAX_SLOTS: usize = 4097;
/// The version of this format.
pub(super) const VERSION: u32 = 1;
/// The longest text of a task, in bytes.
const MAX_TASK: usize = 300;
/// Eight digits of the checksum, and the line's end.
const TAIL: usize = 9;

/// Whose file it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The format's version; always the first field, so that a later version can be told.
    pub(crate) fedflow_ledger: u32,
    /// Where process numbers mean the same as here; see `probe_world`.
    pub(crate) world: String,
    pub(crate) supervisor: BookedProcess,
    /// What it waits for, because others have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waiting: Option<Waiting>,
}

/// What a supervisor waits for: the one of its requests that has waited longest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) devices: u32,
    pub(crate) memory: Size,
    pub(crate) exclusive: bool,
    /// In Unix seconds.
    pub(crate) since: u64,
}

/// A share of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Booking {
    /// The lease's number in its pool.
    pub(crate) lease: u64,
    /// The device; see `CardKey`.
    pub(crate) card: String,
    pub(crate) memory: Size,
    /// What its holder says that it uses of it, on a simulated card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) used: Option<Size>,
    pub(crate) exclusive: bool,
    pub(crate) estimated: bool,
    /// Whether it still trains, or only keeps its memory.
    pub(crate) training: bool,
    /// Whether nobody uses it, but a process that has ended did not give it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) quarantined: bool,
    /// In Unix seconds.
    pub(crate) since: u64,
    /// The process that uses it, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<BookedProcess>,
    /// The task, as `group/task`, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<String>,
}

/// A process as the ledger names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BookedProcess {
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the machine started.
    pub(crate) start: u64,
}

impl From<ProcessId> for BookedProcess {
    fn from(ProcessId { pid, start_ticks }: ProcessId) -> Self {
        Self { pid, start: start_ticks }
    }
}

impl From<BookedProcess> for ProcessId {
    fn from(BookedProcess { pid, start }: BookedProcess) -> Self {
        Self { pid, start_ticks: start }
    }
}

/// A slot as it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slot<T> {
    Empty,
    Record(T),
    /// It is being written, or it is no record.
    Unreadable,
}

/// A slot with nothing in it.
pub(super) const EMPTY: [u8; SLOT] = {
    let mut slot = [b' '; SLOT];
    slot[SLOT - 1] = b'\n';
    slot
};

/// A record as it stands in the file; `None` if it is too long for a slot.
pub(super) fn encode<T: Serialize>(record: &T) -> Option<[u8; SLOT]> {
    let text = serde_json::to_vec(record).ok()?;
    let mut slot = EMPTY;
    let body = &mut slot[..SLOT - TAIL];
    body.get_mut(..text.len())?.copy_from_slice(&text);
    let checksum = format!("{:08x}", crc32fast::hash(body));
    slot[SLOT - TAIL..SLOT - 1].copy_from_slice(checksum.as_bytes());
    Some(slot)
}

/// What stands in a slot.
pub(super) fn decode<T: DeserializeOwned>(slot: &[u8]) -> Slot<T> {
    if slot == EMPTY {
        return Slot::Empty;
    }
    let Some((body, tail)) = slot.split_at_checked(SLOT - TAIL) else { return Slot::Unreadable };
    if tail != format!("{:08x}\n", crc32fast::hash(body)).as_bytes() {
        return Slot::Unreadable;
    }
    serde_json::from_slice(body).map_or(Slot::Unreadable, Slot::Record)
}

/// The version of a header that was written by another Fedflow.
pub(super) fn version_of(slot: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Version {
        fedflow_ledger: u32,
    }
    match decode(slot) {
        Slot::Record(Version { fedflow_ledger }) => Some(fedflow_ledger),
        Slot::Empty | Slot::Unreadable => None,
    }
}

/// A task's text, cut so that it fits into a slot.
pub(super) fn shortened(task: &str) -> String {
    let mut text: String = task.chars().filter(|c| !c.is_control()).collect();
    if text.len() > MAX_TASK {
        let cut = (0..=MAX_TASK).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn booking(task: String, memory: u64) -> Booking {
        Booking {
            lease: u64::MAX,
            card: "GPU-01234567-89ab-cdef-0123-456789abcdef".into(),
            memory: Size::from_bytes(memory),
            used: Some(Size::from_bytes(u64::MAX)),
            exclusive: true,
            estimated: true,
            training: true,
            quarantined: true,
            since: u64::MAX,
            worker: Some(BookedProcess { pid: u32::MAX, start: u64::MAX }),
            task: Some(shortened(&task)),
        }
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(task: String, memory: u64) {
            let booking = booking(task, memory);
            let slot = encode(&booking).expect("it fits");
            prop_assert_eq!(decode::<Booking>(&slot), Slot::Record(booking));
        }

        #[test]
        fn a_record_that_is_half_another_is_noticed(cut in 1..SLOT - 1, memory: u64) {
            let old = encode(&booking("old".into(), memory)).unwrap();
            let new = encode(&booking("a new one".into(), !memory)).unwrap();
            let mut torn = old;
            torn[..cut].copy_from_slice(&new[..cut]);
            if torn != old && torn != new {
                prop_assert_eq!(decode::<Booking>(&torn), Slot::Unreadable);
            }
        }

        #[test]
        fn anything_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..2 * SLOT)) {
            prop_assert_eq!(decode::<Booking>(&bytes), Slot::Unreadable);
        }
    }

    #[test]
    fn the_longest_task_fits() {
        // Every one of these takes two bytes in JSON.
        let slot = encode(&booking("\"".repeat(5000), u64::MAX));
        assert!(slot.is_some());
        assert_eq!(decode::<Booking>(&EMPTY), Slot::Empty);
    }

    #[test]
    fn a_later_version_is_told() {
        #[derive(Serialize)]
        struct Later {
            fedflow_ledger: u32,
            anything: &'static str,
        }
        let slot = encode(&Later { fedflow_ledger: 7, anything: "else" }).unwrap();
        assert_eq!(decode::<Header>(&slot), Slot::Unreadable);
        assert_eq!(version_of(&slot), Some(7));
    }
}
