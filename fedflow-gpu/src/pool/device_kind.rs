//! `DeviceKind`: CPU slots, simulated cards or real cards.

use crate::cards::{RealCards, SimulatedMemory};

/// What kind of devices a pool has.
#[derive(Debug)]
pub(super) enum DeviceKind {
    Cpu,
    Simulated(SimulatedMemory),
    Cards(RealCards),
}

impl DeviceKind {
    /// Whether the devices are cards, real or simulated.
    pub(super) fn has_cards(&self) -> bool {
        !matches!(self, Self::Cpu)
    }

    /// The real cards; `None` if the devices are of another kind.
    pub(super) fn cards(&self) -> Option<&RealCards> {
        match self {
            Self::Cpu | Self::Simulated(_) => None,
            Self::Cards(cards) => Some(cards),
        }
    }
}
