//! The store's one place that asks for the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The wall clock in Unix seconds; 0 for a time before 1970.
#[must_use]
pub fn unix_now() -> f64 {
    #[expect(clippy::disallowed_methods, reason = "the store's one look at the wall clock")]
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A clock that never goes back.
pub(in crate::store) fn monotonic() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the store's one look at the monotonic clock")]
    Instant::now()
}
