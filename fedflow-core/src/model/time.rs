//! `Time`: a point in a run's time. The core has no clock; every time comes in from outside.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time, counted from the beginning of the run by a clock that never goes back.
///
/// The core has no clock of its own. Every time comes in through [`Workers::next`](crate::Workers::next).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(Duration);

impl Time {
    /// The beginning of the run.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A time after the beginning of the run.
    #[must_use]
    pub const fn after(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// How long after the beginning of the run.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long after an earlier time; zero if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// A time that is too far away becomes the last time there is.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}
