//! The clocks of this crate: the one file that asks for the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fedflow_core::Time;
use rustix::time::{ClockId, clock_gettime};

/// The time of day in Unix seconds, for people who read a ledger.
pub(crate) fn unix_now() -> u64 {
    since_epoch().as_secs()
}

/// The time of day since the Unix epoch, to be compared with the times of files.
pub(crate) fn since_epoch() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this crate that asks for the time of day"
    )]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The time since the machine started, which never goes back.
pub(crate) fn monotonic_now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    Time::after(Duration::try_from(now).unwrap_or_default())
}
