//! The pool that a run leases from: CPU slots, simulated cards, or real cards.

mod cards;
mod device_watch;
mod foreign;
mod handout;
mod leasing;
mod meter;
mod open_error;
mod priority;
mod returning;
mod simulated;
mod warning;
mod watch;

use std::fmt;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{Config, Device, DeviceInfo, DevicePool, LeaseId, LeaseTable, Pin, Size, TaskKey};

use crate::choice::DeviceChoice;
use crate::ledger::{CardKey, Directory, Ledger, Own, Shared};
use crate::machine::DeviceEnvironment;
use crate::telemetry::{BookedMemory, TelemetrySource};
use cards::Cards;
use meter::CardMeter;

pub use device_watch::DeviceWatch;
pub use open_error::{NoCards, OpenError};
pub use simulated::{SimulatedMemory, SimulatedOom};
pub use warning::Warning;
pub use watch::{CardChanges, CardWatch};

/// The devices of one run and the leases on them.
///
/// A lease request is answered at once. On real cards that takes a few calls of NVIDIA's library (microseconds to
/// milliseconds), as a card's free memory is looked at before each lease.
///
/// What is leased of real cards is booked in the machine's ledger, so that runs of all users together never lease more
/// of a card than there is; with `FEDFLOW_LEASE_DIR` so are simulated cards and CPU slots. A request that is refused
/// because of other runs can succeed when one of them gives something back: [`Pool::start_watch`] tells when.
#[derive(Debug)]
pub struct Pool {
    /// Invariant: holds the devices of `kind`, those that were dropped included.
    table: LeaseTable,
    kind: Kind,
    /// Where leases are booked; none if the devices are this run's alone.
    ledger: Option<Ledger>,
    warnings: Vec<Warning>,
    teller: Option<Teller>,
    /// What telemetry reads of the table.
    booked: BookedMemory,
}

/// Who is told of warnings, and of how many already.
struct Teller {
    tell: Box<dyn Fn(&Warning) + Send>,
    told: usize,
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller").field("told", &self.told).finish_non_exhaustive()
    }
}

/// Names the processes that use leases, so that what they use stays booked for other runs should this one die before
/// them. Cheap to clone; may be used from any thread.
#[derive(Debug, Clone)]
pub struct LeaseHolders {
    own: Arc<Own>,
    meter: Option<CardMeter>,
}

impl LeaseHolders {
    /// Says which process uses a lease, and for which task. A few system calls; waits for nobody.
    pub fn name(&self, lease: LeaseId, pid: u32, task: &str) {
        self.own.name_holder(lease, pid, task);
        if let Some(meter) = &self.meter {
            meter.name_holder(lease, pid);
        }
    }
}

#[derive(Debug)]
enum Kind {
    Cpu,
    Simulated(SimulatedMemory),
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

impl Pool {
    /// Opens the devices that were chosen.
    ///
    /// With [`DeviceChoice::Auto`] there is always a pool: without a card that can be used it has as many CPU
    /// slots as the process may use cores, and [`Opened::note`] says why.
    ///
    /// # Errors
    /// Cards were chosen that do not exist or cannot be used, or leases cannot be booked.
    pub fn open(
        choice: &DeviceChoice,
        config: &Config,
        environment: &DeviceEnvironment,
    ) -> Result<Opened, OpenError> {
        let mut note = None;
        let pool = match choice {
            DeviceChoice::Auto => match Self::of_cards(None, config, environment) {
                Ok(pool) => pool,
                Err(error @ OpenError::Ledger(_)) => return Err(error),
                Err(reason) => {
                    let slots = default_slots();
                    let plural = if slots == 1 { "" } else { "s" };
                    note = Some(format!("using {slots} CPU slot{plural}: {reason}"));
                    Self::of_cpu_slots(slots, environment)?
                }
            },
            DeviceChoice::Cpu(slots) => Self::of_cpu_slots(slots.unwrap_or_else(default_slots), environment)?,
            DeviceChoice::Sim(sizes) => Self::of_simulated(sizes, config, environment)?,
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
            Kind::Cpu | Kind::Simulated(_) => handout::no_cards(),
            Kind::Cards(cards) => handout::cards(cards.visible()),
        }
    }

    /// What a person should know of the devices, in the order in which it was found. It grows while leases are
    /// asked for, as cards fail.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Has somebody told of each warning: those that there are now, and each later one when it comes. It is called by
    /// whoever asks for a lease, and must not block.
    pub fn tell_warnings(&mut self, tell: impl Fn(&Warning) + Send + 'static) {
        self.teller = Some(Teller { tell: Box::new(tell), told: 0 });
        self.tell_news();
    }

    fn tell_news(&mut self) {
        if let Some(teller) = &mut self.teller {
            self.warnings.iter().skip(teller.told).for_each(|warning| (teller.tell)(warning));
            teller.told = self.warnings.len();
        }
    }

    /// Something that watches the cards for changes from another thread; `None` if there is nothing to watch.
    #[must_use]
    pub fn watch(&self) -> Option<CardWatch> {
        match &self.kind {
            Kind::Cpu | Kind::Simulated(_) => None,
            Kind::Cards(cards) => Some(cards.watch()),
        }
    }

    /// Watches from a thread of its own for what may let a refused request succeed: another run that gives devices
    /// back or dies, memory that others free (looked at each `interval`), a card that fails. `on_change` is called
    /// then; it must not block. `None` if there is nothing to watch. It ends when the value is dropped.
    ///
    /// # Errors
    /// The system gives no thread or timer.
    pub fn start_watch(
        &self,
        interval: Duration,
        on_change: impl Fn() + Send + 'static,
    ) -> io::Result<Option<DeviceWatch>> {
        let ledger = self.ledger.as_ref().map(|ledger| (ledger.alarm(), ledger.own()));
        DeviceWatch::start(self.watch(), ledger, interval, on_change)
    }

    /// What telemetry looks at, from a thread of its own; `None` if nothing can be seen of these devices.
    #[must_use]
    pub fn telemetry(&self) -> Option<TelemetrySource> {
        let driver = match &self.kind {
            Kind::Cpu | Kind::Simulated(_) => None,
            Kind::Cards(cards) => Some(cards.driver()),
        };
        TelemetrySource::new(driver, self.devices(), self.booked.clone(), self.simulated_memory())
    }

    /// Whom to tell which process uses a lease; `None` if no other run needs to know.
    #[must_use]
    pub fn holders(&self) -> Option<LeaseHolders> {
        let meter = self.meter().cloned();
        self.ledger.as_ref().map(|ledger| LeaseHolders { own: ledger.own(), meter })
    }

    /// Sets how long memory of a real card may take to come back after the process that used it has ended, 10 s unless
    /// it is set. What takes longer is quarantined: it is not leased until it does come back.
    pub fn set_return_bound(&mut self, bound: Duration) {
        if let Kind::Cards(cards) = &mut self.kind {
            cards.set_return_bound(bound);
        }
    }

    /// What tasks really use of simulated cards; `None` if the devices are no simulated cards.
    #[must_use]
    pub fn simulated_memory(&self) -> Option<SimulatedMemory> {
        match &self.kind {
            Kind::Simulated(memory) => Some(memory.clone()),
            Kind::Cpu | Kind::Cards(_) => None,
        }
    }

    /// The most that a task has used of a card's memory in this session; `None` if nobody knows. Only simulated cards
    /// tell it.
    #[must_use]
    pub fn used_by(&self, task: TaskKey) -> Option<Size> {
        self.simulated_memory()?.used_by(task)
    }

    fn of_cpu_slots(slots: u32, environment: &DeviceEnvironment) -> Result<Self, OpenError> {
        Self {
            table: LeaseTable::of_cpu_slots(slots),
            kind: Kind::Cpu,
            ledger: None,
            warnings: Vec::new(),
            teller: None,
            booked: BookedMemory::default(),
        }
        .booked_in(environment)
    }

    fn of_simulated(
        sizes: &[Size],
        config: &Config,
        environment: &DeviceEnvironment,
    ) -> Result<Self, OpenError> {
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
            table.add(info, Some(config.leasable_memory(size, Size::ZERO)));
        }
        let kind = Kind::Simulated(SimulatedMemory::new(&table.devices(), None));
        let booked = BookedMemory::default();
        Self { table, kind, ledger: None, warnings: Vec::new(), teller: None, booked }.booked_in(environment)
    }

    fn of_cards(
        pins: Option<&[Pin]>,
        config: &Config,
        environment: &DeviceEnvironment,
    ) -> Result<Self, OpenError> {
        let mut table = LeaseTable::new(config.scheduler.max_per_device);
        let mut warnings = Vec::new();
        let cards = Cards::open(pins, config, environment, &mut table, &mut warnings)?;
        let booked = BookedMemory::default();
        Self { table, kind: Kind::Cards(cards), ledger: None, warnings, teller: None, booked }
            .booked_in(environment)
    }

    /// Opens the ledger, if these devices are the machine's and not the run's own.
    fn booked_in(mut self, environment: &DeviceEnvironment) -> Result<Self, OpenError> {
        self.booked = BookedMemory::of_table(&self.table);
        if !matches!(self.kind, Kind::Cards(_)) && environment.lease_dir.is_none() {
            return Ok(self);
        }
        let directory = Directory::open(environment)?;
        if directory.shared() == Shared::No {
            self.warnings.push(Warning::NotShared(directory.path().into()));
        }
        let devices = self.table.devices();
        let keys = devices.iter().enumerate().map(|(place, info)| CardKey::of(info, place)).collect();
        let ledger = Ledger::open(directory, keys)?;
        if let Kind::Simulated(memory) = &mut self.kind {
            *memory = SimulatedMemory::new(&devices, Some(ledger.usage()));
        }
        self.ledger = Some(ledger);
        Ok(self)
    }
}

/// As many slots as the process may use cores: its affinity and its container's limit count.
fn default_slots() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(cores).unwrap_or(u32::MAX)
}
