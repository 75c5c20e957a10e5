//! The time of day, for people who read a ledger.

use std::time::{SystemTime, UNIX_EPOCH};

/// In Unix seconds.
pub(super) fn unix_now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the one place of this crate that asks for the time")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
