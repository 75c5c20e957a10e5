//! The protocol's versions, and the limits that both sides keep to.

use std::time::Duration;

/// The version of this protocol. A supervisor talks to workers of its own version and older ones.
pub(crate) const VERSION: u32 = 2;
/// The oldest version that a supervisor still talks to.
pub(crate) const OLDEST_VERSION: u32 = 2;
/// The longest piece of a result, in bytes.
pub(crate) const MAX_CHUNK: usize = 60 * 1024;
/// The longest encoded value of an item, and of an error's message.
pub(crate) const MAX_ITEM: usize = 32 * 1024;
/// The longest key of an item.
pub(crate) const MAX_KEY: usize = 256;
/// How many keys the items of one task may have.
pub(crate) const MAX_KEYS: usize = 1024;
/// The least time between two items of one key. A worker keeps to it and sends the last value later.
pub(crate) const ITEM_GAP: Duration = Duration::from_millis(50);
/// The most items a second that a worker sends, all keys together, after a first burst.
pub(crate) const WORKER_RATE: f64 = 200.0;
/// The size of that burst.
pub(crate) const WORKER_BURST: f64 = 200.0;

/// Shortens a text to a number of bytes, without cutting a character.
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

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened("äöü".into(), 3), "ä…");
        assert_eq!(shortened("äöü".into(), 6), "äöü");
    }
}
