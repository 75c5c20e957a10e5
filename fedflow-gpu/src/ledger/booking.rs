//! `Booking`, `Header`: the entries of a supervisor's file. The first line is the header, and each other line is a
//! booking or empty.

use fedflow_core::{LeaseId, LeaseRequest, ProcessId, Size};
use serde::{Deserialize, Serialize};

use super::claims::WrittenClaim;
use crate::lease_directory::{Line, decode};
use crate::machine::unix_now;

/// The most lines that a file has, the header included.
pub(super) const MAX_LINES: usize = 4097;
/// The version of this format.
pub(super) const VERSION: u32 = 1;
/// The longest name of a task or a run, in bytes.
const MAX_NAME: usize = 300;

/// The supervisor whose file it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The format's version. Always the first field, so that a later version is recognised.
    pub(crate) fedflow_ledger: u32,
    /// The world in which its process numbers have a meaning; see `probe_world`.
    pub(crate) world: String,
    pub(crate) supervisor: BookedProcess,
    /// The run that it supervises, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<String>,
    /// Its longest-waiting request that was refused because of other runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waiting: Option<WaitingRequest>,
    /// The name of its beacon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beacon: Option<String>,
    /// The latest ticket of its leases, as it was when it last had a request refused.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) ticket: u64,
    /// Its requests that were refused, the first to be served first, as far as the line has room for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) claims: Vec<WrittenClaim>,
}

/// A request that waits for devices of other runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingRequest {
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
    /// What its holder reports to use of it; only on simulated cards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) used: Option<Size>,
    pub(crate) exclusive: bool,
    pub(crate) estimated: bool,
    /// Whether the lease trains. If not, its memory is resident.
    pub(crate) training: bool,
    /// Whether it is unreleased memory of a process that has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) quarantined: bool,
    /// In Unix seconds.
    pub(crate) since: u64,
    /// The supervisor's latest ticket when it was leased; 0 if it was written by a version without tickets.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) ticket: u64,
    /// The lease holder, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<BookedProcess>,
    /// The task, as `group/task`, once it is known.
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

impl Booking {
    /// A new share of a lease.
    pub(super) fn of_share(
        lease: LeaseId,
        card: &str,
        memory: Size,
        request: &LeaseRequest,
        ticket: u64,
    ) -> Self {
        Self {
            ticket,
            exclusive: request.exclusive,
            estimated: request.estimated,
            training: true,
            ..Self::of_memory(lease.0, card, memory)
        }
    }

    /// Memory of a card that a process has not released.
    pub(super) fn quarantine(card: &str, memory: Size) -> Self {
        // No pool grants so many leases.
        Self { quarantined: true, ..Self::of_memory(u64::MAX, card, memory) }
    }

    fn of_memory(lease: u64, card: &str, memory: Size) -> Self {
        Self {
            lease,
            card: card.to_owned(),
            memory,
            used: None,
            exclusive: false,
            estimated: true,
            training: false,
            quarantined: false,
            since: unix_now(),
            ticket: 0,
            worker: None,
            task: None,
        }
    }
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The format's version in a header of another version.
pub(super) fn version_of(line: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Version {
        fedflow_ledger: u32,
    }
    match decode(line) {
        Line::Entry(Version { fedflow_ledger }) => Some(fedflow_ledger),
        Line::Empty | Line::Unreadable => None,
    }
}

/// The name of a task or a run, cut so that it fits into a line.
pub(super) fn shortened(name: &str) -> String {
    let mut text: String = name.chars().filter(|c| !c.is_control()).collect();
    if text.len() > MAX_NAME {
        let cut = (0..=MAX_NAME).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lease_directory::{EMPTY, LINE, encode};

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
            ticket: u64::MAX,
            worker: Some(BookedProcess { pid: u32::MAX, start: u64::MAX }),
            task: Some(shortened(&task)),
        }
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_as_it_was(task: String, memory: u64) {
            let booking = booking(task, memory);
            let line = encode(&booking).expect("it fits");
            prop_assert_eq!(decode::<Booking>(&line), Line::Entry(booking));
        }

        #[test]
        fn an_entry_that_is_half_another_is_noticed(cut in 1..LINE - 1, memory: u64) {
            let old = encode(&booking("old".into(), memory)).unwrap();
            let new = encode(&booking("a new one".into(), !memory)).unwrap();
            let mut torn = old;
            torn[..cut].copy_from_slice(&new[..cut]);
            if torn != old && torn != new {
                prop_assert_eq!(decode::<Booking>(&torn), Line::Unreadable);
            }
        }

        #[test]
        fn anything_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..2 * LINE)) {
            prop_assert_eq!(decode::<Booking>(&bytes), Line::Unreadable);
        }
    }

    #[test]
    fn the_longest_task_fits() {
        // Every one of these takes two bytes in JSON.
        let line = encode(&booking("\"".repeat(5000), u64::MAX));
        assert!(line.is_some());
        assert_eq!(decode::<Booking>(&EMPTY), Line::Empty);
    }

    /// As a version without tickets and claims wrote it.
    #[test]
    fn an_old_header_and_an_old_booking_are_read() {
        #[derive(Serialize)]
        struct Old<'a>(&'a serde_json::Value);
        let header = serde_json::json!({
            "fedflow_ledger": 1, "world": "w", "supervisor": {"pid": 1, "start": 2},
            "waiting": {"devices": 1, "memory": 5, "exclusive": false, "since": 3},
        });
        let Line::Entry(header) = decode::<Header>(&encode(&Old(&header)).unwrap()) else { panic!("unread") };
        assert_eq!((header.ticket, header.claims), (0, Vec::new()));
        let booking = serde_json::json!({
            "lease": 1, "card": "sim-0", "memory": 5, "exclusive": false, "estimated": true, "training": true,
            "since": 3,
        });
        let line = encode(&Old(&booking)).unwrap();
        assert!(matches!(decode::<Booking>(&line), Line::Entry(Booking { ticket: 0, .. })));
    }

    #[test]
    fn a_later_version_is_recognised() {
        #[derive(Serialize)]
        struct Later {
            fedflow_ledger: u32,
            anything: &'static str,
        }
        let line = encode(&Later { fedflow_ledger: 7, anything: "else" }).unwrap();
        assert_eq!(decode::<Header>(&line), Line::Unreadable);
        assert_eq!(version_of(&line), Some(7));
    }
}
