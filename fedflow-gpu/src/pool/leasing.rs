//! How a pool leases: it looks at the cards, counts what other runs have booked, asks the table, and books.

use std::collections::BTreeMap;

use fedflow_core::{
    Device, DeviceInfo, DevicePool, Lease, LeaseId, LeaseRequest, LeaseTable, Size, TaskKey, Unleasable,
};

use super::meter::CardMeter;
use super::returning::Change;
use super::{Kind, Pool, Warning, handout};
use crate::ledger::NotLocked;

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
        match &self.kind {
            Kind::Cpu | Kind::Simulated(_) => self.table.fits_without(request, leases),
            Kind::Cards(_) => self.table.fits_without(&on_cards(request), leases),
        }
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

impl Pool {
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

    pub(super) fn meter(&self) -> Option<&CardMeter> {
        match &self.kind {
            Kind::Cpu | Kind::Simulated(_) => None,
            Kind::Cards(cards) => Some(cards.meter()),
        }
    }

    /// Tells people, and the ledger, what did not come back.
    pub(super) fn quarantine(&mut self, changes: Vec<(Device, Change)>) {
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
