//! What cards a machine has, whether or not a run may use them: what `fedflow devices` shows.

use fedflow_core::{Device, Size};
use serde::Serialize;

use crate::ledger::{CardKey, Directory, Standing, Survey};
use crate::machine::DeviceEnvironment;
use crate::machine::{probe_name, probe_user, probe_world, user_name};
use crate::nvml::{CardError, CardProcess, CardRole, Driver, Found, Memory, NoDriver, Vitals};
use crate::visible;

/// The cards of a machine, or why there are none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Inventory {
    /// The driver's version.
    pub driver: Option<String>,
    /// The version of CUDA that the driver speaks.
    pub cuda: Option<String>,
    /// All cards in PCI order, each followed by its MIG instances.
    pub cards: Vec<CardReport>,
    /// Why a run would have no card here, if so.
    pub reason: Option<String>,
    /// What else a person should know.
    pub warnings: Vec<String>,
    /// What runs of all users have leased, simulated cards and CPU slots of a `FEDFLOW_LEASE_DIR` included.
    pub leases: Vec<LeaseReport>,
    /// Who waits for devices that others have, the longest waiter first.
    pub waiting: Vec<WaitReport>,
}

/// A share of one device, as it is booked in the machine's ledger.
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
    /// Whether it trains; else it only keeps its memory.
    pub training: bool,
    /// Whether nobody uses it: a process that has ended did not give it back.
    pub quarantined: bool,
    /// The task, as `group/task`, once it is known.
    pub task: Option<String>,
    /// The supervisor's process.
    pub supervisor: u32,
    /// Whether the supervisor lives; else only the worker does.
    pub supervised: bool,
    /// The process that uses it, once it is known.
    pub worker: Option<u32>,
    /// Since when, in Unix seconds.
    pub since: u64,
}

/// A run that waits for devices that others have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitReport {
    /// The user.
    pub user: String,
    /// The supervisor's process.
    pub supervisor: u32,
    /// How many devices it waits for.
    pub devices: u32,
    /// How much memory of each.
    pub memory: Size,
    /// Whether it wants them whole.
    pub exclusive: bool,
    /// Since when, in Unix seconds.
    pub since: u64,
}

/// A card or a MIG instance. What the driver does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CardReport {
    /// Its name in a run that is started now; `None` if such a run cannot use it.
    pub device: Option<Device>,
    /// NVML's number of the card, in PCI order; an instance has that of its card.
    pub index: u32,
    /// Its UUID.
    pub uuid: Option<String>,
    /// The product's name.
    pub name: Option<String>,
    /// Where it is on the bus.
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
    /// Who uses it.
    pub processes: Option<Vec<ProcessReport>>,
    /// Why it cannot be used, if so.
    pub error: Option<String>,
}

/// A card's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryReport {
    /// All of it.
    pub total: Size,
    /// What is used.
    pub used: Size,
    /// What is free.
    pub free: Size,
}

/// A process on a card. The id is the host's: inside a container it, the name and the user may be another's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessReport {
    /// Its id.
    pub pid: u32,
    /// What it uses of the card's memory.
    pub memory: Option<Size>,
    /// Its program's name.
    pub name: Option<String>,
    /// Its user.
    pub user: Option<String>,
}

/// Looks for cards, and who holds them. Blocks while NVIDIA's driver starts: milliseconds, or seconds if nothing else
/// has it running.
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

    /// Looks for cards, and who holds them, as [`inventory`] does. A driver that fails is opened anew the next time.
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
    let visible = visible::resolve(&found, environment.cuda_visible_devices.as_deref());
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
        let survey = Directory::look(environment).and_then(|directory| match directory {
            Some(directory) => Survey::take(&directory, None, &probe_world()),
            None => Ok(Survey::default()),
        });
        let Survey { supervisors, faults } = match survey {
            Ok(survey) => survey,
            Err(error) => return self.warnings.push(error.to_string()),
        };
        self.warnings.extend(faults.iter().map(|faulty| faulty.error.to_string()));
        for standing in &supervisors {
            let leases: Vec<LeaseReport> = self.leases_of(standing).collect();
            self.leases.extend(leases);
            self.waiting.extend(WaitReport::new(standing));
        }
        self.leases.sort_by(|a, b| (&a.card, a.since, a.supervisor).cmp(&(&b.card, b.since, b.supervisor)));
        self.waiting.sort_by_key(|waiting| (waiting.since, waiting.supervisor));
    }

    fn leases_of(&self, standing: &Standing) -> impl Iterator<Item = LeaseReport> {
        let user = user_name(standing.user);
        standing.bookings.iter().map(move |booking| {
            let is_it = |card: &&CardReport| {
                card.uuid.as_deref().map(CardKey::of_uuid).as_ref() == Some(&booking.card)
            };
            let known = self.cards.iter().find(is_it);
            LeaseReport {
                device: known.map_or_else(|| CardKey::device(&booking.card), |card| card.device),
                card: booking.card.clone(),
                user: user.clone(),
                memory: booking.memory,
                exclusive: booking.exclusive,
                training: booking.training,
                quarantined: booking.quarantined,
                task: booking.task.clone(),
                supervisor: standing.header.supervisor.pid,
                supervised: standing.alive,
                worker: booking.worker.map(|worker| worker.pid),
                since: booking.since,
            }
        })
    }
}

impl WaitReport {
    fn new(standing: &Standing) -> Option<Self> {
        let waiting = standing.header.waiting.as_ref().filter(|_| standing.alive)?;
        Some(Self {
            user: user_name(standing.user),
            supervisor: standing.header.supervisor.pid,
            devices: waiting.devices,
            memory: waiting.memory,
            exclusive: waiting.exclusive,
            since: waiting.since,
        })
    }
}

impl CardReport {
    fn new(driver: &Driver, card: &Found, device: Option<Device>) -> Self {
        let uuid = card.uuid.as_deref().filter(|_| card.error.is_none());
        let vitals = uuid.map_or(Ok(Vitals::default()), |uuid| driver.vitals(uuid));
        let processes = uuid.map_or(Ok(None), |uuid| driver.processes(uuid));
        let error = card.error.as_ref().or(vitals.as_ref().err()).or(processes.as_ref().err());
        let error = error.map(CardError::to_string);
        let Vitals { utilization, temperature, power } = vitals.unwrap_or_default();
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

impl From<Memory> for MemoryReport {
    fn from(Memory { total, used, free, .. }: Memory) -> Self {
        Self { total, used, free }
    }
}

impl From<CardProcess> for ProcessReport {
    fn from(CardProcess { pid, memory }: CardProcess) -> Self {
        Self { pid, memory, name: probe_name(pid), user: probe_user(pid) }
    }
}
