//! The pool that a run leases from: CPU slots, simulated cards, or real cards.

mod cards;
mod device_watch;
mod foreign;
mod handout;
mod meter;
mod open_error;
mod priority;
mod returning;
mod share_limit;
mod simulated;
mod warning;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{
    Config, Device, DeviceInfo, DevicePool, Lease, LeaseId, LeaseRequest, LeaseTable, Pin, Size, TaskKey,
    Unleasable,
};

use crate::choice::DeviceChoice;
use crate::environment::Environment;
use crate::ledger::{CardKey, Directory, Ledger, NotLocked, Own, Shared};
use crate::telemetry::{BookedMemory, TelemetrySource};
use cards::Cards;
use meter::CardMeter;
use returning::Change;

pub use device_watch::DeviceWatch;
pub use open_error::{NoCards, OpenError};
pub use share_limit::leasable_memory;
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
        environment: &Environment,
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

    fn of_cpu_slots(slots: u32, environment: &Environment) -> Result<Self, OpenError> {
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

    fn of_simulated(sizes: &[Size], config: &Config, environment: &Environment) -> Result<Self, OpenError> {
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
        let kind = Kind::Simulated(SimulatedMemory::new(&table.devices(), None));
        let booked = BookedMemory::default();
        Self { table, kind, ledger: None, warnings: Vec::new(), teller: None, booked }.booked_in(environment)
    }

    fn of_cards(pins: Option<&[Pin]>, config: &Config, environment: &Environment) -> Result<Self, OpenError> {
        let mut table = LeaseTable::new(config.scheduler.max_per_device);
        let mut warnings = Vec::new();
        let cards = Cards::open(pins, config, environment, &mut table, &mut warnings)?;
        let booked = BookedMemory::default();
        Self { table, kind: Kind::Cards(cards), ledger: None, warnings, teller: None, booked }
            .booked_in(environment)
    }

    /// Opens the ledger, if these devices are the machine's and not the run's own.
    fn booked_in(mut self, environment: &Environment) -> Result<Self, OpenError> {
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

    /// Looks at the cards, locks them, counts what others have booked, and books.
    fn lease_now(&mut self, request: &LeaseRequest) -> Option<Lease> {
        let (looks, asked) = match &mut self.kind {
            Kind::Cpu | Kind::Simulated(_) => (Vec::new(), request.clone()),
            Kind::Cards(cards) => {
                cards.check(request).ok()?;
                (cards.look(request, &mut self.table, &mut self.warnings), on_cards(request))
            }
        };
        let places = self.suiting(request);
        let mut round = None;
        if let Some(ledger) = &mut self.ledger {
            match ledger.begin(&places) {
                Ok(begun) => round = Some(begun),
                Err(NotLocked::Busy) => return None,
                Err(NotLocked::Error(error)) => {
                    warn_once(&mut self.warnings, Warning::Ledger(error));
                    return None;
                }
            }
        }
        let mut by_others = BTreeMap::new();
        let mut processes = Vec::new();
        if let Some(round) = &round {
            let devices = self.table.devices();
            for place in &places {
                let others = round.others(*place);
                self.table.set_others(*place, others);
                by_others.extend(devices.get(*place).map(|info| (info.device, others.memory)));
            }
            processes = round.processes();
        }
        let mut changes = Vec::new();
        if let Kind::Cards(cards) = &mut self.kind {
            let booked = |table: &LeaseTable, device| {
                table.booked(device) + by_others.get(&device).copied().unwrap_or_default()
            };
            changes = cards.apply(looks, request, booked, &processes, &mut self.table);
        }
        let leased = self.table.try_lease(&asked);
        let booked = match (round, &leased) {
            (Some(round), Some(lease)) => round.book(lease, &self.table.places(lease.id), request),
            (Some(round), None) => {
                round.refuse(&places, request);
                Ok(())
            }
            (None, _) => Ok(()),
        };
        self.quarantine(changes);
        let mut lease = leased?;
        if let Err(error) = booked {
            self.table.release(lease.id);
            warn_once(&mut self.warnings, Warning::Ledger(error));
            return None;
        }
        for share in lease.shares.iter_mut().filter(|share| share.memory.is_some()) {
            share.memory = Some(request.memory);
        }
        handout::equip(&mut lease);
        match &self.kind {
            Kind::Cpu => {}
            Kind::Simulated(memory) => memory.granted(lease.id, request.holder),
            Kind::Cards(cards) => cards.meter().granted(&lease),
        }
        Some(lease)
    }

    fn meter(&self) -> Option<&CardMeter> {
        match &self.kind {
            Kind::Cpu | Kind::Simulated(_) => None,
            Kind::Cards(cards) => Some(cards.meter()),
        }
    }

    /// Tells people, and the ledger, what did not come back.
    fn quarantine(&mut self, changes: Vec<(Device, Change)>) {
        let devices = self.table.devices();
        for (device, change) in changes {
            let (memory, warning) = match change {
                Change::None => continue,
                Change::Lost(memory) => (memory, Warning::Quarantined { device, memory }),
                Change::Back => (Size::ZERO, Warning::Returned { device }),
            };
            self.warnings.push(warning);
            let place = devices.iter().position(|info| info.device == device);
            if let (Some(ledger), Some(place)) = (&self.ledger, place)
                && let Err(error) = ledger.quarantine(place, memory)
            {
                warn_once(&mut self.warnings, Warning::Ledger(error));
            }
        }
    }

    /// The places of the devices that a request might get.
    fn suiting(&self, request: &LeaseRequest) -> Vec<usize> {
        let suits = |info: &DeviceInfo| {
            request.pin.as_ref().is_none_or(|pin| pin.matches(info.device, info.uuid.as_deref()))
        };
        let devices = self.table.devices();
        devices.iter().enumerate().filter(|(_, info)| suits(info)).map(|(place, _)| place).collect()
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
            Kind::Cpu | Kind::Simulated(_) => self.table.check(request),
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
        let lease = self.lease_now(request);
        self.booked.note(&self.table);
        self.tell_news();
        lease
    }

    fn peak(&self, lease: LeaseId) -> Option<Size> {
        match &self.kind {
            Kind::Cpu => None,
            Kind::Simulated(memory) => memory.peak(lease),
            Kind::Cards(cards) => cards.meter().peak(lease),
        }
    }

    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        let places = self.table.places(lease);
        let mut round = None;
        if let Some(ledger) = &mut self.ledger {
            let Ok(begun) = ledger.begin(&places) else { return false };
            places.iter().for_each(|place| self.table.set_others(*place, begun.others(*place)));
            round = Some(begun);
        }
        let rebooked = self.table.rebook(lease, memory);
        if let Some(round) = round.filter(|_| rebooked) {
            round.rebook(lease, memory);
        }
        self.booked.note(&self.table);
        rebooked
    }

    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        self.table.fits_without(request, leases)
    }

    fn end_train(&mut self, lease: LeaseId) {
        self.table.end_train(lease);
        if let Some(ledger) = &self.ledger {
            ledger.end_train(lease, &self.table.places(lease));
        }
    }

    fn release(&mut self, lease: LeaseId) {
        match &mut self.kind {
            Kind::Cpu => {}
            Kind::Simulated(memory) => memory.vacate(lease),
            Kind::Cards(cards) => {
                cards.meter().released(lease);
                let held = self.table.shares(lease);
                held.into_iter().for_each(|(device, share)| cards.released(device, share));
            }
        }
        self.table.release(lease);
        self.booked.note(&self.table);
        if let Some(ledger) = &self.ledger {
            ledger.release(lease);
        }
    }

    fn is_lost(&mut self, device: Device) -> bool {
        let Kind::Cards(cards) = &mut self.kind else { return self.table.is_lost(device) };
        cards.look_at(device, &mut self.table, &mut self.warnings);
        self.tell_news();
        self.table.is_lost(device)
    }

    fn withdraw(&mut self, holder: TaskKey) {
        self.table.withdraw(holder);
        if let Some(ledger) = &mut self.ledger {
            ledger.withdraw(holder);
        }
    }
}

/// What goes on is told when it begins, not with each request that meets it.
fn warn_once(warnings: &mut Vec<Warning>, warning: Warning) {
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}

/// The request as it is put to a table of real cards: of at least one byte, as the table would find room for
/// nothing even on a card that was dropped.
fn on_cards(request: &LeaseRequest) -> LeaseRequest {
    LeaseRequest { memory: request.memory.max(Size::from_bytes(1)), ..request.clone() }
}
