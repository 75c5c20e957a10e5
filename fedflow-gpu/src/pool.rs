//! The pool that a run leases from: CPU slots, simulated cards, or real cards.

mod cards;
mod foreign;
mod handout;
mod priority;
mod share_limit;
mod watch;

use std::fmt;
use std::num::NonZero;

use fedflow_core::{
    Config, Device, DeviceInfo, DevicePool, Lease, LeaseId, LeaseRequest, LeaseTable, Pin, Size, TaskKey,
    Unleasable,
};

use crate::choice::DeviceChoice;
use crate::environment::Environment;
use crate::nvml::{CardError, NoDriver};
use crate::visible::HiddenCards;
use cards::Cards;

pub use watch::{CardChanges, CardWatch};

/// The devices of one run and the leases on them.
///
/// A lease request is answered at once. On real cards that takes a few calls of NVIDIA's library (microseconds to
/// milliseconds), as a card's free memory is looked at before each lease.
#[derive(Debug)]
pub struct Pool {
    /// Invariant: holds the devices of `kind`, those that were dropped included.
    table: LeaseTable,
    kind: Kind,
    warnings: Vec<Warning>,
}

#[derive(Debug)]
enum Kind {
    Cpu,
    Simulated,
    Cards(Cards),
}

/// A pool that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The pool.
    pub pool: Pool,
    /// With `auto`: the line to say when there are no cards and CPU slots are used instead.
    pub note: Option<String>,
}

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
        }
    }
}

impl Pool {
    /// Opens the devices that were chosen.
    ///
    /// With [`DeviceChoice::Auto`] there is always a pool: without a card that can be used it has as many CPU
    /// slots as the process may use cores, and [`Opened::note`] says why.
    ///
    /// # Errors
    /// Cards were chosen that do not exist or cannot be used.
    pub fn open(
        choice: &DeviceChoice,
        config: &Config,
        environment: &Environment,
    ) -> Result<Opened, OpenError> {
        let mut note = None;
        let pool = match choice {
            DeviceChoice::Auto => match Self::of_cards(None, config, environment) {
                Ok(pool) => pool,
                Err(reason) => {
                    let slots = default_slots();
                    let plural = if slots == 1 { "" } else { "s" };
                    note = Some(format!("using {slots} CPU slot{plural}: {reason}"));
                    Self::of_cpu_slots(slots)
                }
            },
            DeviceChoice::Cpu(slots) => Self::of_cpu_slots(slots.unwrap_or_else(default_slots)),
            DeviceChoice::Sim(sizes) => Self::of_simulated(sizes, config),
            DeviceChoice::AllCards => Self::of_cards(None, config, environment)?,
            DeviceChoice::Cards(pins) => Self::of_cards(Some(pins), config, environment)?,
        };
        Ok(Opened { pool, note })
    }

    /// What every process must find in its environment that is started before it is leased a device: all visible
    /// cards, numbered as the run numbers them; or none, so that a task on a CPU slot never touches a card.
    #[must_use]
    pub fn base_environment(&self) -> Vec<(String, String)> {
        match &self.kind {
            Kind::Cpu | Kind::Simulated => handout::no_cards(),
            Kind::Cards(cards) => handout::cards(cards.visible()),
        }
    }

    /// What a person should know of the devices, in the order in which it was found. It grows while leases are
    /// asked for, as cards fail.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Something that watches the cards for changes from another thread; `None` if there is nothing to watch.
    #[must_use]
    pub fn watch(&self) -> Option<CardWatch> {
        match &self.kind {
            Kind::Cpu | Kind::Simulated => None,
            Kind::Cards(cards) => Some(cards.watch()),
        }
    }

    fn of_cpu_slots(slots: u32) -> Self {
        Self { table: LeaseTable::of_cpu_slots(slots), kind: Kind::Cpu, warnings: Vec::new() }
    }

    fn of_simulated(sizes: &[Size], config: &Config) -> Self {
        let mut table = LeaseTable::new(config.scheduler.max_per_device);
        let mut cards: Vec<(u32, Size)> = (0..).zip(sizes.iter().copied()).collect();
        priority::sort(&mut cards, config.gpu_priority, |(ordinal, size)| priority::Rank {
            place: *ordinal,
            total: Some(*size),
            free: Some(*size),
            speed: None,
        });
        for (ordinal, size) in cards {
            let info = DeviceInfo {
                device: Device::Sim(ordinal),
                uuid: None,
                name: "simulated card".into(),
                memory: Some(size),
            };
            table.add(info, Some(share_limit::of(size, Size::ZERO, config)));
        }
        Self { table, kind: Kind::Simulated, warnings: Vec::new() }
    }

    fn of_cards(pins: Option<&[Pin]>, config: &Config, environment: &Environment) -> Result<Self, OpenError> {
        let mut table = LeaseTable::new(config.scheduler.max_per_device);
        let mut warnings = Vec::new();
        let cards = Cards::open(pins, config, environment, &mut table, &mut warnings)?;
        Ok(Self { table, kind: Kind::Cards(cards), warnings })
    }
}

/// As many slots as the process may use cores: its affinity and its container's limit count.
fn default_slots() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

impl DevicePool for Pool {
    fn devices(&self) -> Vec<DeviceInfo> {
        let mut devices = self.table.devices();
        if let Kind::Cards(cards) = &self.kind {
            devices.retain(|info| cards.is_usable(info.device));
        }
        // The table's order is that of preference; people look for numbers.
        devices.sort_by_key(|info| info.device);
        devices
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        match &self.kind {
            Kind::Cpu | Kind::Simulated => self.table.check(request),
            Kind::Cards(cards) => {
                cards.check(request)?;
                self.table.check(&on_cards(request))
            }
        }
    }

    fn largest_share(&self) -> Option<Size> {
        self.table.largest_share()
    }

    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        let mut lease = match &mut self.kind {
            Kind::Cpu | Kind::Simulated => self.table.try_lease(request)?,
            Kind::Cards(cards) => {
                cards.check(request).ok()?;
                cards.refresh(request, &mut self.table, &mut self.warnings);
                let mut lease = self.table.try_lease(&on_cards(request))?;
                for share in lease.shares.iter_mut().filter(|share| share.memory.is_some()) {
                    share.memory = Some(request.memory);
                }
                lease
            }
        };
        handout::equip(&mut lease);
        Some(lease)
    }

    fn end_train(&mut self, lease: LeaseId) {
        self.table.end_train(lease);
    }

    fn release(&mut self, lease: LeaseId) {
        self.table.release(lease);
    }

    fn withdraw(&mut self, holder: TaskKey) {
        self.table.withdraw(holder);
    }
}

/// The request as it is put to a table of real cards: of at least one byte, as the table would find room for
/// nothing even on a card that was dropped.
fn on_cards(request: &LeaseRequest) -> LeaseRequest {
    LeaseRequest { memory: request.memory.max(Size::from_bytes(1)), ..request.clone() }
}
