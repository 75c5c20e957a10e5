//! `RealCards`: the NVIDIA cards of a run, and what is free on them.

use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{
    Config, Device, DeviceInfo, LeaseRequest, LeaseTable, Obstacle, Occupant, Pin, Size, Unleasable,
};

use super::card_choice::{choose, no_cards, warnings_of};
use super::card_monitor::{CardMonitor, DueReading};
use super::card_order::{CardRank, sort_by_priority};
use super::foreign_memory::{AttributedProcess, ForeignMemory};
use super::memory_meter::MemoryMeter;
use super::unreleased_memory::{QuarantineChange, UnreleasedMemory};
use crate::machine::{
    DeviceEnvironment, ProcessOwner, monotonic_now, owner_of, probe_ancestry, probe_name, probe_user,
};
use crate::nvidia::{CardError, CardMemory, CardProcess, Driver, FoundCard, resolve};
use crate::problems::{NoCards, OpenError, Warning};

/// How long memory may stay unreleased after a process has ended, unless the bound is set.
const UNRELEASED_BOUND: Duration = Duration::from_secs(10);

/// The cards of a pool. Their bookings are in the pool's table.
#[derive(Debug)]
pub(crate) struct RealCards {
    driver: Arc<Driver>,
    meter: MemoryMeter,
    /// The cards that this run may lease.
    cards: Vec<RealCard>,
    /// The UUIDs of the visible list, with those that this run does not lease: they count in the numbers of the others.
    visible: Vec<String>,
    /// The first number by which a pin is ambiguous.
    uncertain_from: Option<u32>,
    /// How long memory may stay unreleased.
    unreleased_bound: Duration,
    due: Arc<DueReading>,
}

#[derive(Debug)]
struct RealCard {
    device: Device,
    uuid: String,
    foreign: ForeignMemory,
    unreleased: UnreleasedMemory,
    /// Why nothing is leased on it any more, if so.
    dropped: Option<CardError>,
}

/// What one card reports of itself.
#[derive(Debug)]
pub(crate) struct CardReading {
    /// The card's place in [`RealCards::cards`].
    at: usize,
    memory: Option<CardMemory>,
    processes: Vec<ReadProcess>,
}

/// A process on a card, and what it uses.
#[derive(Debug)]
struct ReadProcess {
    /// The process and its ancestors; `None` if its number means nothing here.
    ancestry: Option<Vec<u32>>,
    memory: Size,
}

/// What all runs have booked, as far as cards are concerned.
pub(crate) struct BookedOnCards<'a> {
    /// What leases of all runs have booked of a device.
    pub(crate) memory: &'a dyn Fn(&LeaseTable, Device) -> Size,
    /// The processes of other runs.
    pub(crate) processes: &'a [u32],
}

impl RealCards {
    /// Finds the cards and puts those that `pins` name, or all visible ones, into the table.
    pub(crate) fn open(
        pins: Option<&[Pin]>,
        config: &Config,
        environment: &DeviceEnvironment,
        table: &mut LeaseTable,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, OpenError> {
        let driver = Arc::new(Driver::open(environment.nvml_library.as_deref()).map_err(NoCards::NoDriver)?);
        let found = driver.find_cards().map_err(NoCards::NoDriver)?;
        let visible = resolve(&found, environment.cuda_visible_devices.as_deref());
        if visible.cards.is_empty() {
            return Err(no_cards(&found, visible).into());
        }
        let mut chosen = choose(pins, &found, &visible)?;
        warnings.extend(warnings_of(&found, &visible));
        sort_by_priority(&mut chosen, config.gpu_priority, |(_, place)| CardRank {
            place: u32::try_from(*place).unwrap_or(u32::MAX),
            total: found[*place].memory.map(|memory| memory.total),
            free: found[*place].memory.map(|memory| memory.free),
            speed: found[*place].speed,
        });
        for (device, place) in &chosen {
            let card = &found[*place];
            let limits = |memory: CardMemory| config.card_limits(memory.total, memory.reserved);
            table.add_card(info_of(*device, card), card.memory.map(limits));
        }
        let uuid_of = |place: usize| found[place].uuid.clone().unwrap_or_default();
        Ok(Self {
            meter: MemoryMeter::new(Arc::clone(&driver)),
            driver,
            cards: chosen.into_iter().map(|(device, place)| RealCard::new(device, uuid_of(place))).collect(),
            visible: visible.cards.iter().filter_map(|place| found[*place].uuid.clone()).collect(),
            uncertain_from: visible.uncertain_from,
            unreleased_bound: UNRELEASED_BOUND,
            due: Arc::default(),
        })
    }

    /// The UUIDs of the visible list.
    pub(crate) fn visible(&self) -> &[String] {
        &self.visible
    }

    pub(crate) fn is_usable(&self, device: Device) -> bool {
        self.usable().any(|card| card.device == device)
    }

    /// What lease holders use.
    pub(crate) fn meter(&self) -> &MemoryMeter {
        &self.meter
    }

    pub(crate) fn driver(&self) -> Arc<Driver> {
        Arc::clone(&self.driver)
    }

    pub(crate) fn monitor(&self) -> CardMonitor {
        let cards = self.usable().map(|card| (card.device, card.uuid.clone()));
        CardMonitor::new(Arc::clone(&self.driver), self.meter.clone(), Arc::clone(&self.due), cards)
    }

    pub(crate) fn set_unreleased_bound(&mut self, bound: Duration) {
        self.unreleased_bound = bound;
    }

    /// Notes that the process that had leased this much of a device has ended.
    pub(crate) fn released(&mut self, device: Device, share: Size) {
        let now = monotonic_now();
        for card in self.cards.iter_mut().filter(|card| card.device == device) {
            card.unreleased.expect(share, now);
            // Perhaps no other event causes a reading then.
            self.due.set(now + self.unreleased_bound);
        }
    }

    /// Refuses what the table cannot know of: a dropped card, and a number that might mean another card than its author
    /// thought of.
    pub(crate) fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        let Some(pin) = &request.pin else {
            return self.usable().next().map(|_| ()).ok_or(Unleasable::NoneLeft);
        };
        let meant = self.usable().find(|card| pin.matches(card.device, Some(&card.uuid)));
        let uncertain = matches!(pin, Pin::Device(device) if self.has_moved(*device));
        if meant.is_some() && !uncertain {
            return Ok(());
        }
        let mut names: Vec<(Device, String)> =
            self.cards.iter().map(|card| (card.device, self.describe(card))).collect();
        names.sort();
        let names: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
        Err(Unleasable::NoSuchDevice { pin: pin.clone(), available: names.join(", ") })
    }

    fn usable(&self) -> impl Iterator<Item = &RealCard> {
        self.cards.iter().filter(|card| card.dropped.is_none())
    }

    /// Whether a card ahead of this one failed, so that its number is ambiguous.
    fn has_moved(&self, device: Device) -> bool {
        matches!(device, Device::Cuda(ordinal) if self.uncertain_from.is_some_and(|from| ordinal >= from))
    }

    /// A card as it is listed after a pin that means no card.
    fn describe(&self, card: &RealCard) -> String {
        let RealCard { device, uuid, .. } = card;
        match &card.dropped {
            Some(error) => format!("{device} (not used any more: {error})"),
            None if self.has_moved(*device) => {
                format!("{uuid} (by its UUID alone, as a card ahead of it failed)")
            }
            None => device.to_string(),
        }
    }

    /// Reads the cards that a request might get. A card that fails is dropped, with a warning.
    ///
    /// The driver may take long to answer, so this is apart from [`Self::apply`]: no lock need be held meanwhile.
    pub(crate) fn read(
        &mut self,
        request: &LeaseRequest,
        table: &mut LeaseTable,
        warnings: &mut Vec<Warning>,
    ) -> Vec<CardReading> {
        let mut readings = Vec::new();
        for (at, card) in self.cards.iter_mut().enumerate() {
            let pinned = request.pin.as_ref();
            let suits = pinned.is_none_or(|pin| pin.matches(card.device, Some(&card.uuid)));
            if card.dropped.is_some() || !suits {
                continue;
            }
            match read_card(&self.driver, &card.uuid) {
                Ok((memory, processes)) => readings.push(CardReading { at, memory, processes }),
                Err(error) => card.drop_from(table, warnings, error),
            }
        }
        readings
    }

    /// What programs without a lease have of a card, and what was not given back; `booked` is what leases have booked there.
    pub(crate) fn obstacles(&self, device: Device, booked: Size, booked_processes: &[u32]) -> Vec<Obstacle> {
        let Some(card) = self.usable().find(|card| card.device == device) else { return Vec::new() };
        let obstacle = |memory, occupant| Obstacle { device, memory, occupant };
        let listed = self.driver.processes(&card.uuid).ok().flatten().unwrap_or_default();
        let is_foreign = |process: &CardProcess| {
            let ancestry = probe_ancestry(process.pid);
            ancestry.is_none_or(|ancestry| owner_of(&ancestry, booked_processes) == ProcessOwner::Foreign)
        };
        let name = |CardProcess { pid, memory }: &CardProcess| {
            let (name, user) = (probe_name(*pid), probe_user(*pid));
            obstacle(*memory, Occupant::Process { pid: *pid, name, user })
        };
        let mut obstacles: Vec<Obstacle> =
            listed.iter().filter(|process| is_foreign(process)).map(name).collect();
        let unreleased = card.unreleased.quarantined();
        if unreleased > Size::ZERO {
            obstacles.push(obstacle(Some(unreleased), Occupant::Unreleased));
        }
        // Inside a container the driver lists none.
        let memory = self.driver.memory(&card.uuid).ok().flatten().filter(|_| listed.is_empty());
        let unknown = memory.map(|memory| {
            let rest = memory.used.saturating_sub(booked + unreleased);
            if rest > memory.overhead { rest } else { Size::ZERO }
        });
        let unknown = unknown.filter(|unknown| *unknown > Size::ZERO);
        obstacles.extend(unknown.map(|unknown| obstacle(Some(unknown), Occupant::Unknown)));
        obstacles
    }

    /// Checks whether a card still answers. A card that does not is dropped, with a warning.
    pub(crate) fn check_answers(
        &mut self,
        device: Device,
        table: &mut LeaseTable,
        warnings: &mut Vec<Warning>,
    ) {
        let mut usable = self.cards.iter_mut().filter(|card| card.dropped.is_none());
        let Some(card) = usable.find(|card| card.device == device) else { return };
        if let Err(error) = self.driver.memory(&card.uuid) {
            card.drop_from(table, warnings, error);
        }
    }

    /// Tells the table how much of the cards that were read is used and not booked.
    pub(crate) fn apply(
        &mut self,
        readings: Vec<CardReading>,
        request: &LeaseRequest,
        booked: &BookedOnCards<'_>,
        table: &mut LeaseTable,
    ) -> Vec<(Device, QuarantineChange)> {
        let mut changes = Vec::new();
        for CardReading { at, memory, processes } in readings {
            let card = &mut self.cards[at];
            // A card without memory of its own has one lease at a time; there is nothing more to know.
            let Some(memory) = memory else { continue };
            let attribute = |process: ReadProcess| AttributedProcess {
                owner: process.ancestry.map(|ancestry| owner_of(&ancestry, booked.processes)),
                memory: process.memory,
            };
            let processes: Vec<AttributedProcess> = processes.into_iter().map(attribute).collect();
            let foreign = &mut card.foreign;
            let booked = (booked.memory)(table, card.device);
            let mut unreleased = Size::ZERO;
            if !card.unreleased.is_idle() {
                unreleased = foreign.unowned(&memory, booked, &processes).min(card.unreleased.at_most());
                let change = card.unreleased.update(unreleased, monotonic_now(), self.unreleased_bound);
                if let Some(since) = card.unreleased.longest_pending() {
                    self.due.set(since + self.unreleased_bound);
                }
                changes.extend((change != QuarantineChange::None).then_some((card.device, change)));
            }
            let quarantined = card.unreleased.quarantined();
            table.set_quarantined(card.device, quarantined);
            // Unreleased memory is not leased meanwhile, and does not count as a foreign program's.
            let memory = CardMemory { used: memory.used.saturating_sub(unreleased), ..memory };
            let used = match booked {
                Size::ZERO if request.exclusive => foreign.without_leases_or_loaders(&memory, &processes),
                Size::ZERO => foreign.without_leases(&memory, &processes),
                booked => foreign.beside_leases(&memory, booked, &processes),
            };
            table.set_foreign(card.device, used + unreleased.saturating_sub(quarantined));
        }
        changes
    }
}

impl RealCard {
    fn new(device: Device, uuid: String) -> Self {
        Self {
            device,
            uuid,
            foreign: ForeignMemory::default(),
            unreleased: UnreleasedMemory::default(),
            dropped: None,
        }
    }

    /// Leases nothing on the card any more.
    fn drop_from(&mut self, table: &mut LeaseTable, warnings: &mut Vec<Warning>, error: CardError) {
        table.drop_device(self.device);
        self.dropped = Some(error.clone());
        let (device, card) = (Some(self.device), self.uuid.clone());
        warnings.push(Warning::CardDropped { device, card, error });
    }
}

fn info_of(device: Device, card: &FoundCard) -> DeviceInfo {
    DeviceInfo {
        device,
        uuid: Some(card.uuid.clone().unwrap_or_default()),
        name: card.name.clone().unwrap_or_else(|| "NVIDIA card".into()),
        memory: card.memory.map(|memory| memory.total),
    }
}

fn read_card(driver: &Driver, uuid: &str) -> Result<(Option<CardMemory>, Vec<ReadProcess>), CardError> {
    let Some(memory) = driver.memory(uuid)? else { return Ok((None, Vec::new())) };
    let listed = driver.processes(uuid)?.unwrap_or_default();
    let read = |process: CardProcess| ReadProcess {
        ancestry: probe_ancestry(process.pid),
        memory: process.memory.unwrap_or_default(),
    };
    Ok((Some(memory), listed.into_iter().map(read).collect()))
}
