//! What an attempt was given of memory and what it has used, as far as that is measured.

use std::time::Duration;

use crate::leasing::lease::LeaseId;
use crate::model::memory_use::{EstimateSource, MemoryUse};
use crate::model::quantity::Size;
use crate::model::time::Time;

/// How much memory a task is expected to use, and where that comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) size: Size,
    pub(super) source: EstimateSource,
}

/// The memory of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    pub(super) host: Option<MemoryUse>,
    /// Of the lease with which it trains or trained; `None` on a CPU slot.
    pub(super) card: Option<MemoryUse>,
    pub(super) lease: Option<LeaseId>,
    /// How its use of the card has developed since it trains, if that use was not estimated.
    pub(super) trend: Option<Trend>,
}

/// How a task's use of its card develops, as sampled from time to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trend {
    began: Time,
    pub(super) peak: Size,
    /// When that peak was first seen.
    reached: Time,
    /// What was learned of it while it trains.
    pub(super) learned: Option<Size>,
    /// What is booked for it.
    pub(super) booked: Size,
}

/// How long the peak must not have risen until it counts as known.
const STEADY: Duration = Duration::from_secs(10);

impl Estimate {
    pub(super) fn unused(self) -> MemoryUse {
        MemoryUse { asked: self.size, source: self.source, peak: None }
    }
}

impl Account {
    /// The account of an attempt that begins.
    pub(super) fn new(host: Estimate) -> Self {
        Self { host: Some(host.unused()), ..Self::default() }
    }

    /// Whether its use of the card is to be learned.
    pub(super) fn is_watched(&self) -> bool {
        self.card.is_some_and(|card| card.source != EstimateSource::Given)
    }
}

impl Trend {
    pub(super) fn new(now: Time, peak: Size, booked: Size) -> Self {
        Self { began: now, peak, reached: now, learned: None, booked }
    }

    /// Takes a sample. A rise of less than a hundredth is none.
    pub(super) fn sample(&mut self, now: Time, peak: Size) {
        if peak > self.peak.scaled(1.01) {
            (self.peak, self.reached) = (peak, now);
        }
    }

    /// Whether the peak has been steady for as long as it took to reach it: a task that grows slowly is watched for
    /// longer.
    pub(super) fn is_steady(&self, now: Time) -> bool {
        self.peak > Size::ZERO && now.since(self.reached) >= self.reached.since(self.began).max(STEADY)
    }
}
