//! `Warning`: what a person should know of the devices, though it is no reason to stop.

use std::fmt;
use std::path::PathBuf;

use fedflow_core::{Device, Size};

use crate::ledger::LedgerError;
use crate::nvml::CardError;
use crate::visible::HiddenCards;

/// Something that a person should know of the devices; no reason to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A card is not leased, or not any more.
    CardDropped {
        /// Its name in the run, if it has got one.
        device: Option<Device>,
        /// Its UUID, or its place on the bus, or its number.
        card: String,
        /// Why.
        error: CardError,
    },
    /// A card ahead of others in the list is missing, so the others are numbered lower than usual. Pins by
    /// those numbers are refused, as they might mean another card than the person thought of.
    NumbersMoved {
        /// The first number that is affected.
        from: Device,
    },
    /// The inherited `CUDA_VISIBLE_DEVICES` hides cards, by mistake as it seems.
    Hidden(HiddenCards),
    /// MIG instances are leased: a process sees only the first one of its list.
    Instances,
    /// Leases are booked where only this user looks. Holds the directory.
    NotShared(PathBuf),
    /// Memory of a card is not leased any more, as a process that has ended did not give it back.
    Quarantined {
        /// The card.
        device: Device,
        /// How much of it, in all.
        memory: Size,
    },
    /// All quarantined memory of a card has come back.
    Returned {
        /// The card.
        device: Device,
    },
    /// Nothing could be leased for a while, as the ledger could not be read or written.
    Ledger(LedgerError),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CardDropped { device: Some(device), card, error } => {
                write!(f, "{device} ({card}) is not used any more: {error}")
            }
            Self::CardDropped { device: None, card, error } => write!(f, "card {card} is not used: {error}"),
            Self::NumbersMoved { from } => write!(
                f,
                "a card is missing, so the cards from {from} on have other numbers than usual; pin tasks to \
                 them by UUID"
            ),
            Self::Hidden(hidden) => hidden.fmt(f),
            Self::Instances => f.write_str(
                "MIG instances are leased: CUDA shows a process only one of them, so a worker that loads before \
                 it trains must set CUDA_VISIBLE_DEVICES to its lease's UUID before it starts CUDA",
            ),
            Self::NotShared(path) => write!(
                f,
                "leases are booked in {}, where runs of other users do not look; name a directory for all in \
                 FEDFLOW_LEASE_DIR",
                path.display()
            ),
            Self::Quarantined { device, memory } => write!(
                f,
                "{memory} of {device} did not come back when the process that used it ended; it is not leased \
                 until it does"
            ),
            Self::Returned { device } => write!(f, "the memory of {device} that was missing has come back"),
            Self::Ledger(error) => error.fmt(f),
        }
    }
}
