//! Real cards: which ones a run leases, and what is free on them.

use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{Config, Device, DeviceInfo, LeaseRequest, LeaseTable, Pin, Size, Unleasable};

use super::foreign::{Attributed, Foreign};
use super::meter::CardMeter;
use super::returning::{Change, Returning};
use super::watch::DueReturn;
use super::{CardWatch, NoCards, OpenError, Warning, priority};
use crate::machine::DeviceEnvironment;
use crate::machine::monotonic_now;
use crate::machine::{owner_of, probe_ancestry};
use crate::nvml::{CardError, CardProcess, CardRole, Driver, Found, Memory, NoDriver};
use crate::visible::{self, Visible};

/// The cards of a pool. Their bookings are in the pool's table.
#[derive(Debug)]
pub(super) struct Cards {
    driver: Arc<Driver>,
    meter: CardMeter,
    /// The cards that this run may lease.
    cards: Vec<Card>,
    /// The UUIDs of the visible list: those that are not leased by this run included, as they count in the
    /// numbers of the others.
    visible: Vec<String>,
    uncertain_from: Option<u32>,
    /// How long memory may take to come back.
    return_bound: Duration,
    due: Arc<DueReturn>,
}

/// How long memory may take to come back when a process has ended, unless somebody says otherwise.
const RETURN_BOUND: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Card {
    device: Device,
    uuid: String,
    foreign: Foreign,
    returning: Returning,
    /// Why nothing is leased on it any more, if so.
    dropped: Option<CardError>,
}

impl Cards {
    /// Finds the cards and puts those that `pins` name, or all visible ones, into the table.
    pub(super) fn open(
        pins: Option<&[Pin]>,
        config: &Config,
        environment: &DeviceEnvironment,
        table: &mut LeaseTable,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, OpenError> {
        let driver = Arc::new(Driver::open(environment.nvml_library.as_deref()).map_err(NoCards::NoDriver)?);
        let found = driver.find_cards().map_err(NoCards::NoDriver)?;
        let visible = visible::resolve(&found, environment.cuda_visible_devices.as_deref());
        if visible.cards.is_empty() {
            return Err(no_cards(&found, visible).into());
        }
        warnings.extend(warnings_of(&found, &visible));

        let mut chosen = choose(pins, &found, &visible)?;
        priority::sort(&mut chosen, config.gpu_priority, |(_, place)| priority::Rank {
            place: u32::try_from(*place).unwrap_or(u32::MAX),
            total: found[*place].memory.map(|memory| memory.total),
            free: found[*place].memory.map(|memory| memory.free),
            speed: found[*place].speed,
        });
        let mut cards = Vec::with_capacity(chosen.len());
        for (device, place) in chosen {
            let card = &found[place];
            let uuid = card.uuid.clone().unwrap_or_default();
            let info = DeviceInfo {
                device,
                uuid: Some(uuid.clone()),
                name: card.name.clone().unwrap_or_else(|| "NVIDIA card".into()),
                memory: card.memory.map(|memory| memory.total),
            };
            let limit = |memory: Memory| config.leasable_memory(memory.total, memory.reserved);
            table.add(info, card.memory.map(limit));
            cards.push(Card {
                device,
                uuid,
                foreign: Foreign::default(),
                returning: Returning::default(),
                dropped: None,
            });
        }
        if visible.cards.iter().any(|place| found[*place].role == CardRole::Instance) {
            warnings.push(Warning::Instances);
        }
        let uuids = visible.cards.iter().filter_map(|place| found[*place].uuid.clone()).collect();
        Ok(Self {
            meter: CardMeter::new(Arc::clone(&driver)),
            driver,
            cards,
            visible: uuids,
            uncertain_from: visible.uncertain_from,
            return_bound: RETURN_BOUND,
            due: Arc::default(),
        })
    }

    /// The UUIDs of the visible list.
    pub(super) fn visible(&self) -> &[String] {
        &self.visible
    }

    pub(super) fn is_usable(&self, device: Device) -> bool {
        self.cards.iter().any(|card| card.device == device && card.dropped.is_none())
    }

    /// What holders of leases use.
    pub(super) fn meter(&self) -> &CardMeter {
        &self.meter
    }

    pub(super) fn driver(&self) -> Arc<Driver> {
        Arc::clone(&self.driver)
    }

    pub(super) fn watch(&self) -> CardWatch {
        let usable = self.cards.iter().filter(|card| card.dropped.is_none());
        let usable = usable.map(|card| (card.device, card.uuid.clone()));
        CardWatch::new(Arc::clone(&self.driver), self.meter.clone(), Arc::clone(&self.due), usable)
    }

    pub(super) fn set_return_bound(&mut self, bound: Duration) {
        self.return_bound = bound;
    }

    /// The process that had so much of a device has ended.
    pub(super) fn released(&mut self, device: Device, share: Size) {
        let now = monotonic_now();
        for card in self.cards.iter_mut().filter(|card| card.device == device) {
            card.returning.expect(share, now);
            // Nothing else may happen then that would have it looked at.
            self.due.set(now + self.return_bound);
        }
    }

    /// Refuses what the table cannot know of: a card that was dropped, and a number that might mean another
    /// card than the person thought of.
    pub(super) fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        let usable = || self.cards.iter().filter(|card| card.dropped.is_none());
        let Some(pin) = &request.pin else {
            if usable().next().is_none() {
                return Err(Unleasable::NoneLeft);
            }
            return Ok(());
        };
        let meant = usable().find(|card| pin.matches(card.device, Some(&card.uuid)));
        let uncertain = matches!(pin, Pin::Device(Device::Cuda(ordinal))
            if self.uncertain_from.is_some_and(|from| *ordinal >= from));
        if meant.is_some() && !uncertain {
            return Ok(());
        }
        let mut names: Vec<(Device, String)> =
            self.cards.iter().map(|card| (card.device, self.describe(card))).collect();
        names.sort();
        let names: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
        Err(Unleasable::NoSuchDevice { pin: pin.clone(), available: names.join(", ") })
    }

    /// A card as it is listed for somebody who named one that there is not.
    fn describe(&self, card: &Card) -> String {
        let Card { device, uuid, .. } = card;
        let number_moved = matches!(device, Device::Cuda(ordinal)
            if self.uncertain_from.is_some_and(|from| *ordinal >= from));
        match &card.dropped {
            Some(error) => format!("{device} (not used any more: {error})"),
            None if number_moved => format!("{uuid} (by its UUID alone, as a card ahead of it failed)"),
            None => device.to_string(),
        }
    }

    /// Looks at the cards that a request might get. A card that fails is dropped, with a warning.
    ///
    /// Asking the driver may take a while, so this is apart from [`Self::apply`]: no lock need be held meanwhile.
    pub(super) fn look(
        &mut self,
        request: &LeaseRequest,
        table: &mut LeaseTable,
        warnings: &mut Vec<Warning>,
    ) -> Vec<Look> {
        let mut looks = Vec::new();
        for (at, card) in self.cards.iter_mut().enumerate() {
            let pinned = request.pin.as_ref();
            let suits = pinned.is_none_or(|pin| pin.matches(card.device, Some(&card.uuid)));
            if card.dropped.is_some() || !suits {
                continue;
            }
            match look_at(&self.driver, &card.uuid) {
                Ok((memory, processes)) => looks.push(Look { at, memory, processes }),
                Err(error) => card.drop_from(table, warnings, error),
            }
        }
        looks
    }

    /// Looks whether a card still answers; one that does not is dropped, with a warning.
    pub(super) fn look_at(&mut self, device: Device, table: &mut LeaseTable, warnings: &mut Vec<Warning>) {
        let mut usable = self.cards.iter_mut().filter(|card| card.dropped.is_none());
        let Some(card) = usable.find(|card| card.device == device) else { return };
        if let Err(error) = self.driver.memory(&card.uuid) {
            card.drop_from(table, warnings, error);
        }
    }

    /// Tells the table what nobody has booked and yet uses on the cards that were looked at. `booked` is what leases
    /// of all runs have booked of a device, and `processes` are those of other runs.
    pub(super) fn apply(
        &mut self,
        looks: Vec<Look>,
        request: &LeaseRequest,
        booked: impl Fn(&LeaseTable, Device) -> Size,
        processes: &[u32],
        table: &mut LeaseTable,
    ) -> Vec<(Device, Change)> {
        let mut changes = Vec::new();
        for Look { at, memory, processes: listed } in looks {
            let card = &mut self.cards[at];
            // A card without memory of its own has one lease at a time; that it answers is all there is to know.
            let Some(memory) = memory else { continue };
            let attribute = |(line, memory): (Option<Vec<u32>>, Size)| Attributed {
                owner: line.map(|line| owner_of(&line, processes)),
                memory,
            };
            let listed: Vec<Attributed> = listed.into_iter().map(attribute).collect();
            let foreign = &mut card.foreign;
            let booked = booked(table, card.device);
            let mut missing = Size::ZERO;
            if !card.returning.is_idle() {
                missing = foreign.ownerless(&memory, booked, &listed).min(card.returning.most());
                let change = card.returning.look(missing, monotonic_now(), self.return_bound);
                if let Some(since) = card.returning.waits_since() {
                    self.due.set(since + self.return_bound);
                }
                changes.extend((change != Change::None).then_some((card.device, change)));
            }
            let quarantined = card.returning.lost();
            table.set_quarantined(card.device, quarantined);
            // What may still come back is nobody's to lease meanwhile, and it is no reason to remember others.
            let memory = Memory { used: memory.used.saturating_sub(missing), ..memory };
            let used = match booked {
                Size::ZERO if request.exclusive => foreign.without_leases_or_loaders(&memory, &listed),
                Size::ZERO => foreign.without_leases(&memory, &listed),
                booked => foreign.beside_leases(&memory, booked, &listed),
            };
            table.set_foreign(card.device, used + missing.saturating_sub(quarantined));
        }
        changes
    }
}

impl Card {
    /// Nothing is leased on it any more.
    fn drop_from(&mut self, table: &mut LeaseTable, warnings: &mut Vec<Warning>, error: CardError) {
        table.drop_device(self.device);
        self.dropped = Some(error.clone());
        let (device, card) = (Some(self.device), self.uuid.clone());
        warnings.push(Warning::CardDropped { device, card, error });
    }
}

/// What a card says of itself.
#[derive(Debug)]
pub(super) struct Look {
    /// Its place among the cards.
    at: usize,
    memory: Option<Memory>,
    /// Who uses it: the process and those that it came of, if it is known here, and what it uses.
    processes: Vec<(Option<Vec<u32>>, Size)>,
}

type Reading = (Option<Memory>, Vec<(Option<Vec<u32>>, Size)>);

fn look_at(driver: &Driver, uuid: &str) -> Result<Reading, CardError> {
    let Some(memory) = driver.memory(uuid)? else { return Ok((None, Vec::new())) };
    let listed = driver.processes(uuid)?.unwrap_or_default();
    let with_line = |process: CardProcess| (probe_ancestry(process.pid), process.memory.unwrap_or_default());
    Ok((Some(memory), listed.into_iter().map(with_line).collect()))
}

/// The cards that a run leases, with their names, as places in the list of found cards.
fn choose(
    pins: Option<&[Pin]>,
    found: &[Found],
    visible: &Visible,
) -> Result<Vec<(Device, usize)>, OpenError> {
    let all: Vec<(Device, usize)> =
        (0..).zip(&visible.cards).map(|(ordinal, place)| (Device::Cuda(ordinal), *place)).collect();
    let Some(pins) = pins else { return Ok(all) };
    let mut chosen: Vec<(Device, usize)> = Vec::with_capacity(pins.len());
    for pin in pins {
        let uuid = |place: usize| found[place].uuid.as_deref();
        let Some((device, place)) =
            all.iter().copied().find(|(device, place)| pin.matches(*device, uuid(*place)))
        else {
            return Err(missing(pin, found, &all));
        };
        let uncertain = visible.uncertain_from.is_some_and(|from| device >= Device::Cuda(from));
        if uncertain && matches!(pin, Pin::Device(_)) {
            return Err(missing(pin, found, &all));
        }
        if chosen.iter().any(|(_, known)| *known == place) {
            return Err(OpenError::SameCard { pin: pin.clone(), device });
        }
        chosen.push((device, place));
    }
    Ok(chosen)
}

fn missing(pin: &Pin, found: &[Found], visible: &[(Device, usize)]) -> OpenError {
    let named = found.iter().find(|card| matches!(pin, Pin::Uuid(uuid) if card.uuid.as_ref() == Some(uuid)));
    let error = named.and_then(|card| match card.role {
        CardRole::Divided => Some(CardError::Divided),
        CardRole::Whole | CardRole::Instance => card.error.clone(),
    });
    if let Some(error) = error {
        return OpenError::CardFailed { pin: pin.clone(), error };
    }
    let names: Vec<String> = visible
        .iter()
        .map(|(device, place)| format!("{device} ({})", found[*place].uuid.as_deref().unwrap_or("?")))
        .collect();
    let mut available = names.join(", ");
    if let Some(failed) = found.iter().find(|card| card.error.is_some()) {
        available.push_str(&format!("; card {} is not used, so name the others by UUID", label(failed)));
    }
    OpenError::NoSuchCard { pin: pin.clone(), available }
}

fn warnings_of(found: &[Found], visible: &Visible) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = visible.failed.iter().map(|place| dropped(&found[*place])).collect();
    if let Some(from) = visible.uncertain_from.filter(|from| (*from as usize) < visible.cards.len()) {
        warnings.push(Warning::NumbersMoved { from: Device::Cuda(from) });
    }
    warnings.extend(visible.hidden.clone().map(Warning::Hidden));
    warnings
}

fn no_cards(found: &[Found], visible: Visible) -> NoCards {
    if let Some(hidden) = visible.hidden {
        return NoCards::Hidden(hidden);
    }
    let failures: Vec<Warning> = found
        .iter()
        .enumerate()
        .filter(|(place, card)| card.error.is_some() || visible.failed.contains(place))
        .map(|(_, card)| dropped(card))
        .collect();
    match (failures.is_empty(), found.is_empty()) {
        (false, _) => NoCards::AllFailed { failures },
        (true, true) => NoCards::NoDriver(NoDriver::NoCard),
        (true, false) => NoCards::NoInstances,
    }
}

fn dropped(card: &Found) -> Warning {
    let error = card.error.clone().unwrap_or(CardError::Divided);
    Warning::CardDropped { device: None, card: label(card), error }
}

/// A card by the best that is known of it.
fn label(card: &Found) -> String {
    let known = card.uuid.as_ref().or(card.pci_bus_id.as_ref());
    known.cloned().unwrap_or_else(|| format!("number {}", card.index))
}
