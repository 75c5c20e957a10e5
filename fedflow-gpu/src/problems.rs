//! What can be wrong with devices: `OpenError` keeps a pool from being opened, a `Warning` does not.

use std::fmt;
use std::path::PathBuf;

use fedflow_core::{Device, Pin, Size};

use crate::lease_directory::LedgerError;
use crate::nvidia::{CardError, HiddenCards, NoDriver};

/// Why the chosen devices cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Cards were asked for and there are none.
    #[error("there is no card to use: {0}")]
    NoCards(#[from] NoCards),
    /// Certain cards were asked for, and there are none.
    #[error("there is no card {pins}: {reason}")]
    NoneOfCards {
        /// The cards, as they were asked for.
        pins: String,
        /// Why there are none.
        reason: NoCards,
    },
    /// A card that was asked for does not exist, or is not visible.
    #[error("there is no card {pin}; the visible cards are {available}")]
    NoSuchCard {
        /// The card.
        pin: Pin,
        /// The visible cards.
        available: String,
    },
    /// A card that was asked for cannot be used.
    #[error("card {pin} cannot be used: {error}")]
    CardFailed {
        /// The card.
        pin: Pin,
        /// What is wrong with it.
        error: CardError,
    },
    /// One card was asked for under two names.
    #[error("{pin} and {device} are the same card")]
    SameCard {
        /// The second name.
        pin: Pin,
        /// The card's name in the run.
        device: Device,
    },
    /// The machine's leases cannot be booked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The system gives no thread or timer to watch devices with. Holds its message.
    #[error("releases of devices cannot be watched for: {0}")]
    NoWatch(String),
}

/// Why there are no cards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCards {
    /// The driver cannot be used.
    #[error(transparent)]
    NoDriver(#[from] NoDriver),
    /// `CUDA_VISIBLE_DEVICES` hides all cards.
    #[error("{0}")]
    Hidden(HiddenCards),
    /// There are cards, and none of them can be used.
    #[error("{}", failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    AllFailed {
        /// What is wrong with each card.
        failures: Vec<Warning>,
    },
    /// All cards are divided and have no instances.
    #[error("the only cards are divided (MIG mode), and have no instances")]
    NoInstances,
}

/// A problem with devices that people should know of, and that is no reason to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A card is not leased, or no longer.
    CardDropped {
        /// Its name in the run; `None` if it has none.
        device: Option<Device>,
        /// Its UUID, else its place on the bus, else its number.
        card: String,
        /// What is wrong with it.
        error: CardError,
    },
    /// A card ahead of others in the list is missing, so the others have lower numbers than usual. Pins by those numbers
    /// are refused, as they might mean another card than the author thought of.
    NumbersMoved {
        /// The first card with another number.
        from: Device,
    },
    /// The inherited `CUDA_VISIBLE_DEVICES` hides cards, probably by mistake.
    Hidden(HiddenCards),
    /// MIG instances are leased: a process sees only the first one of its list.
    Instances,
    /// Leases are booked where only this user's processes see them. Holds the directory.
    NotShared(PathBuf),
    /// The devices belong to this process alone: other processes lease the same CPU slots or simulated cards.
    OwnDevices,
    /// A request waits for devices of other runs, and no watch was started that says when to repeat it
    /// ([`Pool::start_watch`](crate::Pool::start_watch)).
    NotWatched,
    /// Memory of a card is not leased any more, because a process that has ended did not release it.
    Quarantined {
        /// The card.
        device: Device,
        /// All its quarantined memory.
        memory: Size,
    },
    /// All quarantined memory of a card is free again.
    Returned {
        /// The card.
        device: Device,
    },
    /// Nothing could be leased for a while, because the ledger could not be read or written.
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
            Self::OwnDevices => f.write_str(
                "these CPU slots or simulated cards belong to this process alone; to share them with other processes, \
                 name a directory in FEDFLOW_LEASE_DIR",
            ),
            Self::NotWatched => f.write_str(
                "a task waits for devices of another run, and this program does not watch for their release; \
                 it must call Pool::start_watch",
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
