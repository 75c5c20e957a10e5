//! The crate's one clock: monotonic, counted from when it was made.

use std::time::{Duration, Instant};

use fedflow_core::Time;

/// Tells how long it has been since it was made. A copy counts from the same beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Self(instant())
    }

    /// The time now.
    pub(crate) fn now(self) -> Time {
        Time::after(instant().saturating_duration_since(self.0))
    }

    /// How long it is until a time; zero if it has passed.
    pub(crate) fn until(self, time: Time) -> Duration {
        time.since(self.now())
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the crate's one clock")]
fn instant() -> Instant {
    Instant::now()
}
