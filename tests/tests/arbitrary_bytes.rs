//! Code that reads bytes from elsewhere: whatever the bytes are, it neither panics nor hangs, and takes no more memory than
//! they allow.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "arbitrary_bytes/flow.rs"]
mod flow;
#[path = "arbitrary_bytes/journal.rs"]
mod journal;
#[path = "arbitrary_bytes/messages.rs"]
mod messages;

use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: fedflow_tests::PeakAllocator = fedflow_tests::PeakAllocator;

/// One way to spoil bytes.
#[derive(Debug, Clone)]
enum Spoil {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Double(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
}

/// A few ways to spoil bytes, one after the other.
fn spoils() -> impl Strategy<Value = Vec<Spoil>> {
    let place = any::<prop::sample::Index>;
    let spoil = prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(place, byte)| Spoil::Set(place, byte)),
        1 => place().prop_map(Spoil::Cut),
        2 => (place(), 1_usize..64).prop_map(|(place, length)| Spoil::Remove(place, length)),
        2 => (place(), 1_usize..256).prop_map(|(place, length)| Spoil::Double(place, length)),
        2 => (place(), any::<Vec<u8>>()).prop_map(|(place, bytes)| Spoil::Insert(place, bytes)),
    ];
    prop::collection::vec(spoil, 1..5)
}

fn spoilt(mut bytes: Vec<u8>, spoils: Vec<Spoil>) -> Vec<u8> {
    for spoil in spoils {
        let at = |place: prop::sample::Index| place.index(bytes.len() + 1);
        match spoil {
            Spoil::Set(place, byte) => {
                let at = at(place);
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            Spoil::Cut(place) => bytes.truncate(at(place)),
            Spoil::Remove(place, length) => {
                let at = at(place);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Spoil::Double(place, length) => {
                let at = at(place);
                let piece = bytes[at..(at + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            Spoil::Insert(place, piece) => {
                let at = at(place);
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}
