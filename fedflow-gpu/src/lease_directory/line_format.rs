//! How a file of the ledger is laid out: lines of equal length, each empty or one entry.
//!
//! A line is JSON, filled up with spaces, with a checksum at its end. An entry is written by one call at its own place,
//! so a reader that meets a half-written entry notices it.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The length of a line, in bytes.
pub(crate) const LINE: usize = 1024;
/// The checksum's eight digits and the newline.
const TAIL: usize = 9;

/// A line as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<T> {
    Empty,
    Entry(T),
    /// It is being written, or it is no entry.
    Unreadable,
}

/// A line without an entry.
pub(crate) const EMPTY: [u8; LINE] = {
    let mut line = [b' '; LINE];
    line[LINE - 1] = b'\n';
    line
};

/// An entry as a line; `None` if it is too long for one.
pub(crate) fn encode<T: Serialize>(entry: &T) -> Option<[u8; LINE]> {
    let text = serde_json::to_vec(entry).ok()?;
    let mut line = EMPTY;
    let body = &mut line[..LINE - TAIL];
    body.get_mut(..text.len())?.copy_from_slice(&text);
    let checksum = format!("{:08x}", crc32fast::hash(body));
    line[LINE - TAIL..LINE - 1].copy_from_slice(checksum.as_bytes());
    Some(line)
}

/// What a line holds.
pub(crate) fn decode<T: DeserializeOwned>(line: &[u8]) -> Line<T> {
    if line == EMPTY {
        return Line::Empty;
    }
    let Some((body, tail)) = line.split_at_checked(LINE - TAIL) else { return Line::Unreadable };
    if tail != format!("{:08x}\n", crc32fast::hash(body)).as_bytes() {
        return Line::Unreadable;
    }
    serde_json::from_slice(body).map_or(Line::Unreadable, Line::Entry)
}
