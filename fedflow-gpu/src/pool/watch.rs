//! Watches cards for changes that nobody reports: memory that others give back, and cards that fail.

use std::sync::Arc;

use fedflow_core::{Device, Size};

use super::Warning;
use super::meter::CardMeter;
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
    cards: Vec<Watched>,
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
    /// Cards that fail since, each told once. The pool finds out by itself when it is next asked for a lease.
    pub failed: Vec<Warning>,
}

impl CardChanges {
    /// Whether the engine should ask for leases again: they may be granted now, or refused for good.
    #[must_use]
    pub fn matter(&self) -> bool {
        self.memory_freed || !self.failed.is_empty()
    }
}

impl CardWatch {
    pub(super) fn new(
        driver: Arc<Driver>,
        meter: CardMeter,
        cards: impl IntoIterator<Item = (Device, String)>,
    ) -> Self {
        let cards = cards.into_iter().map(|(device, uuid)| Watched { device, uuid, used: None }).collect();
        Self { driver, meter, cards }
    }

    /// Looks at all cards; blocks for some calls of NVIDIA's library. A card that fails is not looked at again.
    #[must_use]
    pub fn poll(&mut self) -> CardChanges {
        let mut changes = CardChanges::default();
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
