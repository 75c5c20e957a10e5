//! What this crate asks of clocks; the only file that does.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The time of day in Unix seconds, for people who read a ledger.
pub(crate) fn unix_now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the one place of this crate that asks for the time")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time that never goes back.
pub(crate) fn monotonic_now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the one place of this crate that asks for the time")]
    Instant::now()
}
