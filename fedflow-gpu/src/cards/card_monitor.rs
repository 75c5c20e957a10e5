//! `CardMonitor`: finds the changes of cards that cause no event: foreign programs that end, and cards that fail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedflow_core::{Device, Size, Time};

use super::memory_meter::MemoryMeter;
use crate::machine::monotonic_now;
use crate::nvidia::{CardError, Driver};
use crate::problems::Warning;

/// Reads a pool's cards each time it is polled. It has no thread of its own.
#[derive(Debug)]
pub(crate) struct CardMonitor {
    driver: Arc<Driver>,
    meter: MemoryMeter,
    due: Arc<DueReading>,
    cards: Vec<MonitoredCard>,
}

/// When unreleased memory has to be looked at next.
#[derive(Debug, Default)]
pub(super) struct DueReading(Mutex<Option<Time>>);

impl DueReading {
    /// Makes a reading due at a time, if none is due earlier.
    pub(super) fn set(&self, at: Time) {
        let mut due = self.lock();
        *due = Some(due.map_or(at, |due| due.min(at)));
    }

    /// Whether a reading is due; true once for each time.
    fn take(&self, now: Time) -> bool {
        self.lock().take_if(|at| *at <= now).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Time>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct MonitoredCard {
    device: Device,
    uuid: String,
    /// What was used at the last reading; `None` before the first one.
    used: Option<Size>,
}

/// What has changed since the last reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CardChanges {
    /// Whether less memory is used on some card.
    pub(crate) memory_freed: bool,
    /// Whether memory of a process that has ended should be free by now.
    pub(crate) unreleased_due: bool,
    /// The cards that fail since, each reported once. The pool notices by itself when it is next asked for a lease.
    pub(crate) failed: Vec<Warning>,
}

impl CardChanges {
    /// Whether refused requests should be tried again: they may be granted now, or refused for good.
    pub(crate) fn matter(&self) -> bool {
        self.memory_freed || self.unreleased_due || !self.failed.is_empty()
    }
}

impl CardMonitor {
    pub(super) fn new(
        driver: Arc<Driver>,
        meter: MemoryMeter,
        due: Arc<DueReading>,
        cards: impl IntoIterator<Item = (Device, String)>,
    ) -> Self {
        let cards =
            cards.into_iter().map(|(device, uuid)| MonitoredCard { device, uuid, used: None }).collect();
        Self { driver, meter, due, cards }
    }

    /// Reads all cards; blocks for some calls of NVIDIA's library. A card that fails is not read again.
    pub(crate) fn poll(&mut self) -> CardChanges {
        let mut changes =
            CardChanges { unreleased_due: self.due.take(monotonic_now()), ..CardChanges::default() };
        self.meter.measure_all();
        let driver = &self.driver;
        self.cards.retain_mut(|card| match driver.memory(&card.uuid) {
            Ok(memory) => {
                let used = memory.map(|memory| memory.used);
                changes.memory_freed |= card.used > used;
                card.used = used;
                true
            }
            Err(error) => {
                changes.failed.push(card.dropped(error));
                false
            }
        });
        changes
    }
}

impl MonitoredCard {
    fn dropped(&self, error: CardError) -> Warning {
        Warning::CardDropped { device: Some(self.device), card: self.uuid.clone(), error }
    }
}
