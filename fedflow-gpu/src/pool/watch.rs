//! Watches cards for changes that nobody reports: memory that others give back, and cards that fail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedflow_core::{Device, Size, Time};

use super::Warning;
use super::meter::CardMeter;
use crate::machine::monotonic_now;
use crate::nvml::{CardError, Driver};

/// Looks at a pool's cards from another thread, each time it is told to. It has no thread of its own.
///
/// Waiting tasks are tried again when a lease ends, but other people's processes end without a word. So
/// whoever samples the machine anyway calls [`Self::poll`], and tells the engine
/// [`Input::DevicesChanged`](fedflow_core::Input::DevicesChanged) if leases may succeed now.
#[derive(Debug)]
pub struct CardWatch {
    driver: Arc<Driver>,
    meter: CardMeter,
    due: Arc<DueReturn>,
    cards: Vec<Watched>,
}

/// When the pool next wants its cards looked at, as memory should have come back by then.
#[derive(Debug, Default)]
pub(super) struct DueReturn(Mutex<Option<Time>>);

impl DueReturn {
    /// It is due then, if not earlier.
    pub(super) fn set(&self, at: Time) {
        let mut due = self.lock();
        *due = Some(due.map_or(at, |due| due.min(at)));
    }

    /// Whether it is due, which is told once.
    fn take(&self, now: Time) -> bool {
        self.lock().take_if(|at| *at <= now).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Time>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Watched {
    device: Device,
    uuid: String,
    /// What was used when it was looked at last; `None` before the first look.
    used: Option<Size>,
}

/// What has changed since the last look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CardChanges {
    /// Whether less memory is used on some card than at the last look.
    pub memory_freed: bool,
    /// Whether memory should have come back by now that a process used which has ended.
    pub return_due: bool,
    /// Cards that fail since, each told once. The pool finds out by itself when it is next asked for a lease.
    pub failed: Vec<Warning>,
}

impl CardChanges {
    /// Whether the engine should ask for leases again: they may be granted now, or refused for good.
    #[must_use]
    pub fn matter(&self) -> bool {
        self.memory_freed || self.return_due || !self.failed.is_empty()
    }
}

impl CardWatch {
    pub(super) fn new(
        driver: Arc<Driver>,
        meter: CardMeter,
        due: Arc<DueReturn>,
        cards: impl IntoIterator<Item = (Device, String)>,
    ) -> Self {
        let cards = cards.into_iter().map(|(device, uuid)| Watched { device, uuid, used: None }).collect();
        Self { driver, meter, due, cards }
    }

    /// Looks at all cards; blocks for some calls of NVIDIA's library. A card that fails is not looked at again.
    #[must_use]
    pub fn poll(&mut self) -> CardChanges {
        let mut changes =
            CardChanges { return_due: self.due.take(monotonic_now()), ..CardChanges::default() };
        self.meter.look_at_all();
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

impl Watched {
    fn dropped(&self, error: CardError) -> Warning {
        Warning::CardDropped { device: Some(self.device), card: self.uuid.clone(), error }
    }
}
