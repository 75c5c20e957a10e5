//! Points in a run's time, handed in by whoever has a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time: how long the run has been going on, by a clock that never goes back.
///
/// The core has no clock of its own; every time comes in through [`Workers::next`](crate::Workers::next).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(Duration);

impl Time {
    /// The beginning of the run.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// So long after the beginning.
    #[must_use]
    pub const fn after(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// How long after the beginning.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long after another point; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// A time too far away to be told is the farthest there is.
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
