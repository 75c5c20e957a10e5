//! `Inventory`: the cards of a machine and the leases on them, whether or not a run may use them. `fedflow devices` shows
//! it.

use fedflow_core::{Device, Size};
use serde::Serialize;

use crate::lease_directory::Directory;
use crate::ledger::{CardKey, SupervisorBookings, Survey};
use crate::machine::{DeviceEnvironment, probe_name, probe_user, probe_world, user_name};
use crate::nvidia::{
    CardError, CardMemory, CardProcess, CardRole, CardVitals, Driver, FoundCard, NoDriver, resolve,
};

/// The cards of a machine, or why there are none; and the leases on them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Inventory {
    /// The driver's version.
    pub driver: Option<String>,
    /// The version of CUDA that the driver supports.
    pub cuda: Option<String>,
    /// All cards in PCI order, each followed by its MIG instances.
    pub cards: Vec<CardReport>,
    /// Why a run would have no card here, if so.
    pub reason: Option<String>,
    /// What else people should know.
    pub warnings: Vec<String>,
    /// The leases of all users' runs, those of simulated cards and CPU slots in a `FEDFLOW_LEASE_DIR` included.
    pub leases: Vec<LeaseReport>,
    /// The runs that wait for devices of other runs, the one that has waited longest first.
    pub waiting: Vec<WaitReport>,
}

/// A share of one device as it is booked in the machine's ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseReport {
    /// The device's name in a run that is started now; `None` if such a run cannot use it.
    pub device: Option<Device>,
    /// The device's name in the ledger: the card's UUID, or the number of a simulated card or CPU slot.
    pub card: String,
    /// The user.
    pub user: String,
    /// The memory that is booked.
    pub memory: Size,
    /// Whether the card is leased whole.
    pub exclusive: bool,
    /// Whether it trains. If not, its memory is resident.
    pub training: bool,
    /// Whether it is memory that a process did not release when it ended.
    pub quarantined: bool,
    /// The task, as `group/task`; `None` until it is known.
    pub task: Option<String>,
    /// The number of the supervisor's process.
    pub supervisor: u32,
    /// Its run directory; `None` if it is unknown, as that of a program without a run.
    pub run: Option<String>,
    /// Whether the supervisor lives. If not, only the worker does.
    pub supervised: bool,
    /// The number of the process that holds it; `None` until it is known.
    pub worker: Option<u32>,
    /// When it was leased, in Unix seconds.
    pub since: u64,
}

/// A run that waits for devices of other runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitReport {
    /// The user.
    pub user: String,
    /// The number of the supervisor's process.
    pub supervisor: u32,
    /// How many devices it waits for.
    pub devices: u32,
    /// How much memory on each of them.
    pub memory: Size,
    /// Whether it waits for whole cards.
    pub exclusive: bool,
    /// When it began to wait, in Unix seconds.
    pub since: u64,
}

/// A card or a MIG instance. `None` means that the driver does not report the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CardReport {
    /// Its name in a run that is started now; `None` if such a run cannot use it.
    pub device: Option<Device>,
    /// NVML's number of the card, in PCI order. An instance has the number of its card.
    pub index: u32,
    /// Its UUID.
    pub uuid: Option<String>,
    /// The product's name.
    pub name: Option<String>,
    /// Its place on the PCI bus.
    pub pci_bus_id: Option<String>,
    /// Whether it is a whole card, a divided one, or an instance of one.
    pub mig: CardRole,
    /// Its memory.
    pub memory: Option<MemoryReport>,
    /// How busy it is, in percent.
    pub utilization: Option<u32>,
    /// In degrees Celsius.
    pub temperature: Option<u32>,
    /// In milliwatts.
    pub power: Option<u32>,
    /// The processes that use it.
    pub processes: Option<Vec<ProcessReport>>,
    /// Why it cannot be used, if so.
    pub error: Option<String>,
}

/// A card's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryReport {
    /// All of it.
    pub total: Size,
    /// How much is used.
    pub used: Size,
    /// How much is free.
    pub free: Size,
}

/// A process on a card. The number is the host's: inside a container, it, the name and the user may be those of another
/// process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessReport {
    /// Its number.
    pub pid: u32,
    /// How much of the card's memory it uses.
    pub memory: Option<Size>,
    /// Its program's name.
    pub name: Option<String>,
    /// Its user.
    pub user: Option<String>,
}

/// Lists the cards and the leases on them. Blocks while NVIDIA's driver starts: milliseconds, or seconds if no other
/// process uses it.
#[must_use]
pub fn inventory(environment: &DeviceEnvironment) -> Inventory {
    InventorySource::new(environment.clone()).look()
}

/// Takes the inventory again and again; NVIDIA's driver stays open in between.
#[derive(Debug)]
pub struct InventorySource {
    environment: DeviceEnvironment,
    driver: Option<Driver>,
}

impl InventorySource {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(environment: DeviceEnvironment) -> Self {
        Self { environment, driver: None }
    }

    /// Lists the cards and the leases on them, as [`inventory`] does. A driver that fails is opened anew the next time.
    #[must_use]
    pub fn look(&mut self) -> Inventory {
        let opened =
            self.driver.take().map_or_else(|| Driver::open(self.environment.nvml_library.as_deref()), Ok);
        let mut inventory = match opened {
            Ok(driver) => {
                let inventory = cards(&driver, &self.environment);
                self.driver = Some(driver).filter(|_| inventory.reason.is_none());
                inventory
            }
            Err(reason) => Inventory::none(&reason),
        };
        inventory.add_leases(&self.environment);
        inventory
    }
}

fn cards(driver: &Driver, environment: &DeviceEnvironment) -> Inventory {
    let versions =
        Inventory { driver: driver.version(), cuda: driver.cuda_version(), ..Inventory::default() };
    let found = match driver.find_cards() {
        Ok(found) => found,
        Err(reason) => return Inventory { reason: Some(reason.to_string()), ..versions },
    };
    let visible = resolve(&found, environment.cuda_visible_devices.as_deref());
    let hidden = visible.hidden.as_ref().map(ToString::to_string);
    let reason = visible.cards.is_empty().then(|| {
        let no_card =
            || if found.is_empty() { NoDriver::NoCard.to_string() } else { "no card can be used".into() };
        hidden.clone().unwrap_or_else(no_card)
    });
    let cards = found.iter().enumerate().map(|(place, card)| {
        let ordinal = visible.cards.iter().position(|visible| *visible == place);
        let device = ordinal.and_then(|ordinal| u32::try_from(ordinal).ok()).map(Device::Cuda);
        CardReport::new(driver, card, device)
    });
    Inventory {
        cards: cards.collect(),
        warnings: hidden.filter(|_| reason.is_none()).into_iter().collect(),
        reason,
        ..versions
    }
}

impl Inventory {
    fn none(reason: &NoDriver) -> Self {
        Self { reason: Some(reason.to_string()), ..Self::default() }
    }

    fn add_leases(&mut self, environment: &DeviceEnvironment) {
        let survey = Directory::open_existing(environment).and_then(|directory| match directory {
            Some(directory) => Survey::take(&directory, None, &probe_world()),
            None => Ok(Survey::default()),
        });
        let Survey { supervisors, unreadable } = match survey {
            Ok(survey) => survey,
            Err(error) => return self.warnings.push(error.to_string()),
        };
        self.warnings.extend(unreadable.iter().map(|file| file.error.to_string()));
        for supervisor in &supervisors {
            let leases: Vec<LeaseReport> = self.leases_of(supervisor).collect();
            self.leases.extend(leases);
            self.waiting.extend(WaitReport::new(supervisor));
        }
        self.leases.sort_by(|a, b| (&a.card, a.since, a.supervisor).cmp(&(&b.card, b.since, b.supervisor)));
        self.waiting.sort_by_key(|waiting| (waiting.since, waiting.supervisor));
    }

    fn leases_of(&self, supervisor: &SupervisorBookings) -> impl Iterator<Item = LeaseReport> {
        let user = user_name(supervisor.user);
        supervisor.bookings.iter().map(move |booking| {
            let is_leased = |card: &&CardReport| {
                card.uuid.as_deref().map(CardKey::of_uuid).as_ref() == Some(&booking.card)
            };
            let known = self.cards.iter().find(is_leased);
            LeaseReport {
                device: known.map_or_else(|| CardKey::device(&booking.card), |card| card.device),
                card: booking.card.clone(),
                user: user.clone(),
                memory: booking.memory,
                exclusive: booking.exclusive,
                training: booking.training,
                quarantined: booking.quarantined,
                task: booking.task.clone(),
                supervisor: supervisor.header.supervisor.pid,
                run: supervisor.header.run.clone(),
                supervised: supervisor.alive,
                worker: booking.worker.map(|worker| worker.pid),
                since: booking.since,
            }
        })
    }
}

impl WaitReport {
    fn new(supervisor: &SupervisorBookings) -> Option<Self> {
        let waiting = supervisor.header.waiting.as_ref().filter(|_| supervisor.alive)?;
        Some(Self {
            user: user_name(supervisor.user),
            supervisor: supervisor.header.supervisor.pid,
            devices: waiting.devices,
            memory: waiting.memory,
            exclusive: waiting.exclusive,
            since: waiting.since,
        })
    }
}

impl CardReport {
    fn new(driver: &Driver, card: &FoundCard, device: Option<Device>) -> Self {
        let uuid = card.uuid.as_deref().filter(|_| card.error.is_none());
        let vitals = uuid.map_or(Ok(CardVitals::default()), |uuid| driver.vitals(uuid));
        let processes = uuid.map_or(Ok(None), |uuid| driver.processes(uuid));
        let error = card.error.as_ref().or(vitals.as_ref().err()).or(processes.as_ref().err());
        let error = error.map(CardError::to_string);
        let CardVitals { utilization, temperature, power } = vitals.unwrap_or_default();
        let processes = processes.ok().flatten();
        Self {
            device,
            index: card.index,
            uuid: card.uuid.clone(),
            name: card.name.clone(),
            pci_bus_id: card.pci_bus_id.clone(),
            mig: card.role,
            memory: card.memory.map(MemoryReport::from),
            utilization,
            temperature,
            power,
            processes: processes.map(|rows| rows.into_iter().map(ProcessReport::from).collect()),
            error,
        }
    }
}

impl From<CardMemory> for MemoryReport {
    fn from(CardMemory { total, used, free, .. }: CardMemory) -> Self {
        Self { total, used, free }
    }
}

impl From<CardProcess> for ProcessReport {
    fn from(CardProcess { pid, memory }: CardProcess) -> Self {
        Self { pid, memory, name: probe_name(pid), user: probe_user(pid) }
    }
}
