//! What an attempt was given of memory and what it has used, as far as that is measured.

use std::time::Duration;

use crate::leasing::lease::LeaseId;
use crate::model::memory_use::{EstimateSource, MemoryUse};
use crate::model::quantity::Size;
use crate::model::time::Time;

/// How much memory a task is expected to use, and where that comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) struct Estimate {
    pub(in crate::scheduler) size: Size,
    pub(in crate::scheduler) source: EstimateSource,
}

/// The memory of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::scheduler) struct Account {
    pub(in crate::scheduler) host: Option<MemoryUse>,
    /// Of the lease with which it trains or trained; `None` on a CPU slot.
    pub(in crate::scheduler) card: Option<MemoryUse>,
    pub(in crate::scheduler) lease: Option<LeaseId>,
    /// How its use of the card has developed since it trains, if that use was not estimated.
    pub(in crate::scheduler) trend: Option<Trend>,
}

/// How a task's use of its card develops, as sampled from time to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scheduler) struct Trend {
    began: Time,
    pub(in crate::scheduler) peak: Size,
    /// When that peak was first seen.
    reached: Time,
    /// What was learned of it while it trains.
    pub(in crate::scheduler) learned: Option<Size>,
    /// What is booked for it.
    pub(in crate::scheduler) booked: Size,
}

/// How long the peak must not have risen until it counts as known.
const STEADY: Duration = Duration::from_secs(10);

impl Estimate {
    pub(in crate::scheduler) fn unused(self) -> MemoryUse {
        MemoryUse { asked: self.size, source: self.source, peak: None }
    }
}

impl Account {
    /// The account of an attempt that begins.
    pub(in crate::scheduler) fn new(host: Estimate) -> Self {
        Self { host: Some(host.unused()), ..Self::default() }
    }

    /// Whether its use of the card is to be learned.
    pub(in crate::scheduler) fn is_watched(&self) -> bool {
        self.card.is_some_and(|card| card.source != EstimateSource::Given)
    }
}

impl Trend {
    pub(in crate::scheduler) fn new(now: Time, peak: Size, booked: Size) -> Self {
        Self { began: now, peak, reached: now, learned: None, booked }
    }

    /// Takes a sample. A rise of less than a hundredth is none.
    pub(in crate::scheduler) fn sample(&mut self, now: Time, peak: Size) {
        if peak > self.peak.scaled(1.01) {
            (self.peak, self.reached) = (peak, now);
        }
    }

    /// Whether the peak has been steady for as long as it took to reach it: a task that grows slowly is watched for
    /// longer.
    pub(in crate::scheduler) fn is_steady(&self, now: Time) -> bool {
        self.peak > Size::ZERO && now.since(self.reached) >= self.reached.since(self.began).max(STEADY)
    }
}
