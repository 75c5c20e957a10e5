//! How a pool leases: it reads the cards, counts what other runs have booked, asks the table, and books.

use std::collections::BTreeMap;

use fedflow_core::{
    CardLimits, Device, DeviceInfo, DevicePool, Lease, LeaseId, LeaseRequest, LeaseTable, Obstacle, Pin,
    Size, TaskKey, Unleasable,
};

use super::device_kind::DeviceKind;
use super::lease_environment;
use super::obstacles;
use super::run_pool::Pool;
use crate::cards::{BookedOnCards, CardReading, QuarantineChange};
use crate::lease_directory::{LedgerError, NotLocked};
use crate::ledger::{Ledger, LockedCards};
use crate::problems::Warning;

impl DevicePool for Pool {
    fn devices(&self) -> Vec<DeviceInfo> {
        self.usable_devices()
    }

    fn slots_beside(&self) -> u32 {
        self.table.slots_beside()
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        if let Some(error) = self.ledger.as_ref().and_then(Ledger::given_up) {
            return Err(Unleasable::NotBookable { cause: error.to_string() });
        }
        match &self.kind {
            DeviceKind::Cpu | DeviceKind::Simulated(_) => self.table.check(request),
            DeviceKind::Cards(_) if is_on_cpu(request) => self.table.check(request),
            DeviceKind::Cards(cards) => {
                cards.check(request)?;
                self.table.check(&on_cards(request))
            }
        }
    }

    fn largest_share(&self) -> Option<Size> {
        self.table.largest_share()
    }

    fn limits(&self, device: Device) -> Option<CardLimits> {
        self.table.limits_of(device)
    }

    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        let lease = lease_now(self, request);
        self.booked.note(&self.table);
        self.log.tell_news();
        lease
    }

    fn peak(&self, lease: LeaseId) -> Option<Size> {
        match &self.kind {
            DeviceKind::Cpu => None,
            DeviceKind::Simulated(memory) => memory.peak(lease),
            DeviceKind::Cards(cards) => cards.meter().peak(lease),
        }
    }

    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        let places = self.table.places(lease);
        let mut locked = None;
        if let Some(ledger) = &mut self.ledger {
            let Ok(cards) = ledger.lock(&places) else { return false };
            places.iter().for_each(|place| self.table.set_others(*place, cards.others(*place)));
            locked = Some(cards);
        }
        let rebooked = self.table.rebook(lease, memory);
        if let Some(locked) = locked.filter(|_| rebooked) {
            locked.rebook(lease, memory);
        }
        self.booked.note(&self.table);
        rebooked
    }

    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        match &self.kind {
            DeviceKind::Cpu | DeviceKind::Simulated(_) => self.table.fits_without(request, leases),
            DeviceKind::Cards(_) => self.table.fits_without(&on_cards(request), leases),
        }
    }

    fn others_train_on(&self, device: Device) -> bool {
        self.table.others_train_on(device)
    }

    fn end_train(&mut self, lease: LeaseId) {
        self.table.end_train(lease);
        if let Some(ledger) = &self.ledger {
            ledger.end_train(lease, &self.table.places(lease));
        }
    }

    fn release(&mut self, lease: LeaseId) {
        match &mut self.kind {
            DeviceKind::Cpu => {}
            DeviceKind::Simulated(memory) => memory.vacate(lease),
            DeviceKind::Cards(cards) => {
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
        let DeviceKind::Cards(cards) = &mut self.kind else { return self.table.is_lost(device) };
        cards.check_answers(device, &mut self.table, &mut self.log.warnings);
        self.log.tell_news();
        self.table.is_lost(device)
    }

    fn obstacles(&self, request: &LeaseRequest) -> Vec<Obstacle> {
        obstacles::find(self, request)
    }

    fn withdraw(&mut self, holder: TaskKey) {
        self.table.withdraw(holder);
        if let Some(ledger) = &mut self.ledger {
            ledger.withdraw(holder);
        }
    }
}

/// Leases, and notes whether leases can be booked. If not, the ledger tries again soon until it gives up.
fn lease_now(pool: &mut Pool, request: &LeaseRequest) -> Option<Lease> {
    let leased = try_to_book(pool, request);
    if let Some(ledger) = &mut pool.ledger {
        ledger.note(&leased);
    }
    leased.unwrap_or_else(|error| {
        pool.log.add_once(Warning::Ledger(error));
        None
    })
}

/// Reads the cards, locks them, counts what others have booked, and books.
fn try_to_book(pool: &mut Pool, request: &LeaseRequest) -> Result<Option<Lease>, LedgerError> {
    let (readings, asked) = match &mut pool.kind {
        DeviceKind::Cpu | DeviceKind::Simulated(_) => (Vec::new(), request.clone()),
        DeviceKind::Cards(_) if is_on_cpu(request) => (Vec::new(), request.clone()),
        DeviceKind::Cards(cards) => {
            if cards.check(request).is_err() {
                return Ok(None);
            }
            (cards.read(request, &mut pool.table, &mut pool.log.warnings), on_cards(request))
        }
    };
    let places = pool.table.suiting(request);
    let is_private = is_on_cpu(request) && pool.kind.has_cards() && !pool.shares_slots;
    let ledger = pool.ledger.as_mut().filter(|_| !is_private);
    let mut locked = match ledger.map(|ledger| ledger.lock(&places)).transpose() {
        Ok(locked) => locked,
        // The alarm is set: it is tried again soon.
        Err(NotLocked::Busy | NotLocked::Removed) => return Ok(None),
        Err(NotLocked::Error(error)) => return Err(error),
    };
    let changes = count_others(&mut pool.table, &mut pool.kind, locked.as_ref(), &places, request, readings);
    if let Some(locked) = &mut locked {
        locked.give_way(&mut pool.table, request);
    }
    let leased = pool.table.try_lease(&asked);
    let booked = match (locked, &leased) {
        (Some(locked), Some(lease)) => locked.book(lease, &pool.table.places(lease.id), request),
        (Some(locked), None) => {
            if locked.refuse(&places, &asked, &pool.table) {
                pool.log.add_once(Warning::NotWatched);
            }
            Ok(())
        }
        (None, _) => Ok(()),
    };
    quarantine(pool, changes);
    let Some(mut lease) = leased else { return Ok(None) };
    if let Err(not_booked) = booked {
        pool.table.release(lease.id);
        return match not_booked {
            NotLocked::Busy | NotLocked::Removed => Ok(None),
            NotLocked::Error(error) => Err(error),
        };
    }
    for share in lease.shares.iter_mut().filter(|share| share.memory.is_some()) {
        share.memory = Some(request.memory);
    }
    lease_environment::fill_in(&mut lease);
    match &pool.kind {
        DeviceKind::Cpu => {}
        DeviceKind::Simulated(memory) => memory.granted(lease.id, request.holder),
        DeviceKind::Cards(cards) => cards.meter().granted(&lease),
    }
    Ok(Some(lease))
}

/// Tells people, and the ledger, which memory was not released.
fn quarantine(pool: &mut Pool, changes: Vec<(Device, QuarantineChange)>) {
    let devices = pool.table.devices();
    for (device, change) in changes {
        let (memory, warning) = match change {
            QuarantineChange::None => continue,
            QuarantineChange::Grown(memory) => (memory, Warning::Quarantined { device, memory }),
            QuarantineChange::Cleared => (Size::ZERO, Warning::Returned { device }),
        };
        pool.log.warnings.push(warning);
        let place = devices.iter().position(|info| info.device == device);
        if let (Some(ledger), Some(place)) = (&pool.ledger, place)
            && let Err(error) = ledger.quarantine(place, memory)
        {
            pool.log.add_once(Warning::Ledger(error));
        }
    }
}

/// Whether a request is pinned to the CPU. Beside cards it has slots of its own, of which there is nothing to read.
fn is_on_cpu(request: &LeaseRequest) -> bool {
    request.pin.as_ref().is_some_and(Pin::is_cpu)
}

/// Tells the table what other runs have booked of the devices at `places`, and what the cards' readings show.
fn count_others(
    table: &mut LeaseTable,
    kind: &mut DeviceKind,
    locked: Option<&LockedCards<'_>>,
    places: &[usize],
    request: &LeaseRequest,
    readings: Vec<CardReading>,
) -> Vec<(Device, QuarantineChange)> {
    let mut by_others: BTreeMap<Device, Size> = BTreeMap::new();
    if let Some(locked) = locked {
        let devices = table.devices();
        for place in places {
            let others = locked.others(*place);
            table.set_others(*place, others);
            by_others.extend(devices.get(*place).map(|info| (info.device, others.memory)));
        }
    }
    let DeviceKind::Cards(cards) = kind else { return Vec::new() };
    let booked = BookedOnCards {
        memory: &|table, device| table.booked(device) + by_others.get(&device).copied().unwrap_or_default(),
        processes: &locked.map(LockedCards::processes).unwrap_or_default(),
    };
    cards.apply(readings, request, &booked, table)
}

/// The request as it is put to a table of real cards: for at least one byte, because the table would grant nothing even
/// on a card that was dropped.
fn on_cards(request: &LeaseRequest) -> LeaseRequest {
    LeaseRequest { memory: request.memory.max(Size::from_bytes(1)), ..request.clone() }
}
