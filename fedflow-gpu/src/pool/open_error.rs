//! `OpenError`: why the devices that a run asked for cannot be had.

use fedflow_core::{Device, Pin};

use super::Warning;
use crate::ledger::LedgerError;
use crate::nvml::{CardError, NoDriver};
use crate::visible::HiddenCards;

/// Why a pool cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Cards were asked for and there are none.
    #[error("there is no card to use: {0}")]
    NoCards(#[from] NoCards),
    /// A card that was asked for does not exist, or is not visible.
    #[error("there is no card {pin}; the visible cards are {available}")]
    NoSuchCard {
        /// The card.
        pin: Pin,
        /// The cards that there are.
        available: String,
    },
    /// A card that was asked for cannot be used.
    #[error("card {pin} cannot be used: {error}")]
    CardFailed {
        /// The card.
        pin: Pin,
        /// Why.
        error: CardError,
    },
    /// A card was asked for in two ways.
    #[error("{pin} and {device} are the same card")]
    SameCard {
        /// One way.
        pin: Pin,
        /// The other.
        device: Device,
    },
    /// The machine's leases cannot be booked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why there are no cards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCards {
    /// The driver cannot be asked.
    #[error(transparent)]
    NoDriver(#[from] NoDriver),
    /// The process was started without cards.
    #[error("{0}")]
    Hidden(HiddenCards),
    /// There are cards, and none can be used.
    #[error("{}", failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    AllFailed {
        /// Why, card by card.
        failures: Vec<Warning>,
    },
    /// A divided card has no instances.
    #[error("the only cards are divided (MIG mode), and have no instances")]
    NoInstances,
}
