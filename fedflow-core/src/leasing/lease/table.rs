//! `LeaseTable`: who holds how much of which device. It is the only thing that moves a share.

use std::collections::BTreeMap;

use super::{Lease, LeaseId, LeaseRequest, Share, Unleasable};
use crate::leasing::placement::{self, CardView};
use crate::model::device::{Device, DeviceInfo, Pin};
use crate::model::identity::TaskKey;
use crate::model::quantity::Size;
use crate::ports::DevicePool;

/// A device in the table.
#[derive(Debug, Clone)]
struct Card {
    info: DeviceInfo,
    /// The most memory that leases may book in all; none: one lease at a time.
    capacity: Option<Size>,
    /// Memory that others use, as far as known.
    foreign: Size,
    /// What other runs have leased of it.
    others: Others,
    /// Memory that nobody uses and nobody can have.
    quarantined: Size,
    /// Whether it was lost: nothing is leased on it any more.
    dropped: bool,
    holders: BTreeMap<LeaseId, Holder>,
}

/// What leases of other runs take of one device. The table counts it as it counts its own leases: it ends some day,
/// unlike memory that is merely used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Others {
    /// The memory that they have booked.
    pub memory: Size,
    /// How many of them train.
    pub training: usize,
    /// How many keep memory booked though their training has ended.
    pub resident: usize,
    /// Whether one that trains has the device alone.
    pub exclusive: bool,
    /// How many of those who train have memory that nobody estimated.
    pub unestimated: usize,
}

#[derive(Debug, Clone)]
struct Holder {
    memory: Size,
    estimated: bool,
    exclusive: bool,
    training: bool,
    slot: u32,
}

/// All devices of a pool and who holds them.
#[derive(Debug, Clone)]
pub struct LeaseTable {
    cards: Vec<Card>,
    max_per_device: u32,
    next_id: u64,
    /// The cards kept back for one waiting request, by place.
    held_back: Option<(TaskKey, Vec<usize>)>,
}

impl LeaseTable {
    /// An empty table. `max_per_device` tasks that nobody estimated may share a card.
    #[must_use]
    pub fn new(max_per_device: u32) -> Self {
        Self { cards: Vec::new(), max_per_device, next_id: 1, held_back: None }
    }

    /// A table of CPU slots.
    #[must_use]
    pub fn of_cpu_slots(slots: u32) -> Self {
        let mut table = Self::new(1);
        for _ in 0..slots {
            let info = DeviceInfo { device: Device::Cpu, uuid: None, name: "CPU slot".into(), memory: None };
            table.add(info, None);
        }
        table
    }

    /// Adds a device. Leases may book up to `capacity` of its memory; with `None` there is one lease at a time
    /// and memory does not count.
    pub fn add(&mut self, info: DeviceInfo, capacity: Option<Size>) {
        self.cards.push(Card {
            info,
            capacity,
            foreign: Size::ZERO,
            others: Others::default(),
            quarantined: Size::ZERO,
            dropped: false,
            holders: BTreeMap::new(),
        });
    }

    /// Sets how much of a card's memory others use.
    pub fn set_foreign(&mut self, device: Device, used: Size) {
        for card in self.cards.iter_mut().filter(|card| card.info.device == device) {
            card.foreign = used;
        }
    }

    /// Sets how much of a card's memory nobody can have for now: the card is that much smaller.
    pub fn set_quarantined(&mut self, device: Device, memory: Size) {
        for card in self.cards.iter_mut().filter(|card| card.info.device == device) {
            card.quarantined = memory;
        }
    }

    /// Sets what other runs have leased of a device. The device is named by its place, the number of those that were
    /// added before it, as slots share one name.
    pub fn set_others(&mut self, place: usize, others: Others) {
        if let Some(card) = self.cards.get_mut(place) {
            card.others = others;
        }
    }

    /// The places of the devices of which a lease has a share.
    #[must_use]
    pub fn places(&self, lease: LeaseId) -> Vec<usize> {
        let held = self.cards.iter().enumerate().filter(|(_, card)| card.holders.contains_key(&lease));
        held.map(|(place, _)| place).collect()
    }

    /// What a lease has booked, device by device.
    #[must_use]
    pub fn shares(&self, lease: LeaseId) -> Vec<(Device, Size)> {
        let held =
            self.cards.iter().filter_map(|card| Some((card.info.device, card.holders.get(&lease)?.memory)));
        held.collect()
    }

    /// Takes a device out: nothing more is leased on it. Leases that it has run on until they are released.
    pub fn drop_device(&mut self, device: Device) {
        for card in self.cards.iter_mut().filter(|card| card.info.device == device) {
            card.dropped = true;
        }
    }

    /// Whether a request could be met now if these leases were released.
    #[must_use]
    pub fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        let mut table = self.clone();
        for lease in leases {
            table.release(*lease);
        }
        table.try_lease(&LeaseRequest { hold: false, ..request.clone() }).is_some()
    }

    /// The memory that is booked on a device.
    #[must_use]
    pub fn booked(&self, device: Device) -> Size {
        self.cards.iter().filter(|card| card.info.device == device).map(Card::booked).sum()
    }

    /// Checks the table's own rules; for tests after each step.
    ///
    /// # Errors
    /// Says which rule is broken.
    pub fn sanity_check(&self) -> Result<(), String> {
        for card in &self.cards {
            let device = card.info.device;
            let training = card.holders.values().filter(|holder| holder.training).count();
            match card.capacity {
                None if training > 1 => return Err(format!("{device} trains {training} tasks at once")),
                Some(capacity) if card.foreign == Size::ZERO && card.booked() > capacity => {
                    return Err(format!("{device}: {} booked of {capacity}", card.booked()));
                }
                _ => {}
            }
            let exclusive = card.holders.values().any(|holder| holder.exclusive && holder.training);
            if exclusive && training > 1 {
                return Err(format!("{device} is shared, though it was leased exclusively"));
            }
        }
        Ok(())
    }

    /// How many leases there are, those that only wait for their process to go included.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut ids: Vec<_> = self.cards.iter().flat_map(|card| card.holders.keys()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.len()
    }

    /// Whether nothing is leased.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cards.iter().all(|card| card.holders.is_empty())
    }

    fn views(&self, request: &LeaseRequest) -> Vec<CardView> {
        let held_back = self.held_back.as_ref().filter(|(holder, _)| *holder != request.holder);
        self.cards
            .iter()
            .enumerate()
            .map(|(place, card)| CardView {
                place,
                suits: card.suits(request),
                held_back: held_back.is_some_and(|(_, places)| places.contains(&place)),
                capacity: card.capacity.map(|capacity| capacity.saturating_sub(card.quarantined)),
                used: card.booked_beside(request.replaces) + card.others.memory + card.foreign,
                foreign: card.foreign,
                training: card.training() + card.others.training,
                resident: card.residents_beside(request.replaces) + card.others.resident,
                exclusive: card.others.exclusive
                    || card.holders.values().any(|holder| holder.exclusive && holder.training),
                unestimated: card.others.unestimated
                    + card.holders.values().filter(|h| h.training && !h.estimated).count(),
            })
            .collect()
    }
}

impl Card {
    fn suits(&self, request: &LeaseRequest) -> bool {
        let matches = |pin: &Pin| pin.matches(self.info.device, self.info.uuid.as_deref());
        !self.dropped && request.pin.as_ref().is_none_or(matches)
    }

    fn booked(&self) -> Size {
        self.holders.values().map(|holder| holder.memory).sum()
    }

    fn booked_beside(&self, lease: Option<LeaseId>) -> Size {
        let others = self.holders.iter().filter(|(id, _)| Some(**id) != lease);
        others.map(|(_, holder)| holder.memory).sum()
    }

    fn residents_beside(&self, lease: Option<LeaseId>) -> usize {
        self.holders.iter().filter(|(id, holder)| !holder.training && Some(**id) != lease).count()
    }

    fn training(&self) -> usize {
        self.holders.values().filter(|holder| holder.training).count()
    }

    fn free_slot(&self) -> u32 {
        let taken: Vec<u32> = self.holders.values().filter(|h| h.training).map(|h| h.slot).collect();
        (0..).find(|slot| !taken.contains(slot)).unwrap_or(0)
    }
}

impl DevicePool for LeaseTable {
    fn devices(&self) -> Vec<DeviceInfo> {
        self.cards.iter().map(|card| card.info.clone()).collect()
    }

    fn is_lost(&mut self, device: Device) -> bool {
        self.cards.iter().any(|card| card.info.device == device && card.dropped)
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        if self.cards.iter().all(|card| card.dropped) {
            return Err(Unleasable::NoneLeft);
        }
        let suiting: Vec<&Card> = self.cards.iter().filter(|card| card.suits(request)).collect();
        if let (Some(pin), true) = (&request.pin, suiting.is_empty()) {
            let left = self.cards.iter().filter(|card| !card.dropped);
            let mut names: Vec<String> = left.map(|card| card.info.device.to_string()).collect();
            names.dedup();
            return Err(Unleasable::NoSuchDevice { pin: pin.clone(), available: names.join(", ") });
        }
        let large_enough = suiting
            .iter()
            .filter(|card| card.capacity.is_none_or(|capacity| capacity >= request.memory))
            .count();
        if large_enough == 0 && !suiting.is_empty() {
            let largest = suiting.iter().filter_map(|card| card.capacity).max().unwrap_or_default();
            return Err(Unleasable::TooLarge { needed: request.memory, largest });
        }
        if large_enough < request.devices as usize {
            let available = u32::try_from(large_enough).unwrap_or(u32::MAX);
            return Err(Unleasable::TooMany { needed: request.devices, available });
        }
        Ok(())
    }

    fn largest_share(&self) -> Option<Size> {
        self.cards.iter().filter(|card| !card.dropped).filter_map(|card| card.capacity).max()
    }

    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        Self::fits_without(self, request, leases)
    }

    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        let views = self.views(request);
        let Some(places) = placement::place(&views, request, self.max_per_device) else {
            if request.hold {
                self.held_back = Some((request.holder, placement::hold_back(&views, request)));
            }
            return None;
        };
        self.withdraw(request.holder);
        if let Some(replaced) = request.replaces {
            self.release(replaced);
        }
        let id = LeaseId(self.next_id);
        self.next_id += 1;
        let mut shares = Vec::with_capacity(places.len());
        for place in places {
            let card = &mut self.cards[place];
            let sharing = card.capacity.is_some();
            // A card without memory is one slot of many: its place is the lane, not who shares it.
            let slot = if sharing { card.free_slot() } else { u32::try_from(place).unwrap_or(u32::MAX) };
            let holder = Holder {
                memory: if sharing { request.memory } else { Size::ZERO },
                estimated: request.estimated,
                exclusive: request.exclusive,
                training: true,
                slot,
            };
            card.holders.insert(id, holder);
            shares.push(Share { info: card.info.clone(), memory: sharing.then_some(request.memory), slot });
        }
        let device_seen = shares.first().map_or(Device::Cpu, |share| share.info.device);
        Some(Lease { id, shares, environment: Vec::new(), device_seen })
    }

    fn end_train(&mut self, lease: LeaseId) {
        for card in &mut self.cards {
            // Without memory to keep, the end of the turn is the end of the share.
            if card.capacity.is_none() {
                card.holders.remove(&lease);
            } else if let Some(holder) = card.holders.get_mut(&lease) {
                holder.training = false;
            }
        }
    }

    fn release(&mut self, lease: LeaseId) {
        for card in &mut self.cards {
            card.holders.remove(&lease);
        }
    }

    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        let held = |card: &&mut Card| card.holders.contains_key(&lease);
        let fits = self.cards.iter().filter(|card| card.holders.contains_key(&lease)).all(|card| {
            let others = card.holders.iter().filter(|(id, _)| **id != lease).map(|(_, holder)| holder.memory);
            let used = others.sum::<Size>() + card.others.memory + card.foreign + memory;
            card.capacity.is_some_and(|capacity| used <= capacity)
        });
        let shares = self.cards.iter_mut().filter(held).filter(|_| fits);
        let holders = shares.filter_map(|card| card.holders.get_mut(&lease));
        let rebooked = holders.map(|holder| (holder.memory, holder.estimated) = (memory, true));
        rebooked.count() > 0
    }

    fn withdraw(&mut self, holder: TaskKey) {
        if self.held_back.as_ref().is_some_and(|(held_for, _)| *held_for == holder) {
            self.held_back = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> LeaseTable {
        let mut table = LeaseTable::new(1);
        let info = DeviceInfo {
            device: Device::Sim(0),
            uuid: None,
            name: "card".into(),
            memory: Some(Size::from_gb(10)),
        };
        table.add(info, Some(Size::from_gb(10)));
        table
    }

    fn request(gigabytes: u64) -> LeaseRequest {
        LeaseRequest {
            holder: TaskKey { group: 1, place: 0 },
            devices: 1,
            memory: Size::from_gb(gigabytes),
            estimated: true,
            exclusive: false,
            pin: None,
            hold: false,
            replaces: None,
            roomy: false,
        }
    }

    #[test]
    fn leases_of_other_runs_count_as_own_ones_do() {
        let mut table = table();
        let others = Others { memory: Size::from_gb(6), training: 1, ..Others::default() };
        table.set_others(0, others);
        assert_eq!(table.try_lease(&request(5)), None, "no room");
        assert_eq!(table.try_lease(&LeaseRequest { exclusive: true, ..request(1) }), None, "not alone");
        assert_eq!(
            table.try_lease(&LeaseRequest { estimated: false, ..request(1) }),
            None,
            "unknown, and not alone"
        );
        let lease = table.try_lease(&request(4)).unwrap();
        assert_eq!(table.places(lease.id), [0]);
        table.release(lease.id);
        assert!(table.places(lease.id).is_empty());

        table.set_others(0, Others { unestimated: 1, ..others });
        assert_eq!(table.try_lease(&request(1)), None, "one that nobody estimated might need anything");
        table.set_others(0, Others { exclusive: true, ..others });
        assert_eq!(table.try_lease(&request(1)), None);
        table.set_others(0, Others { training: 0, resident: 1, ..others });
        assert_eq!(table.try_lease(&LeaseRequest { exclusive: true, ..request(1) }), None);
        table.set_others(0, Others::default());
        assert!(table.try_lease(&LeaseRequest { exclusive: true, ..request(9) }).is_some());
    }

    #[test]
    fn a_slot_that_another_run_has_is_taken() {
        let mut table = LeaseTable::of_cpu_slots(2);
        table.set_others(0, Others { training: 1, ..Others::default() });
        let lease = table.try_lease(&request(1)).unwrap();
        assert_eq!((lease.shares[0].slot, table.places(lease.id)), (1, vec![1]));
        assert_eq!(table.try_lease(&request(1)), None);
    }

    #[test]
    fn a_card_full_of_other_runs_leases_can_be_kept_back() {
        let mut table = table();
        table.set_others(0, Others { memory: Size::from_gb(8), training: 1, ..Others::default() });
        let waiter = TaskKey { group: 1, place: 7 };
        assert_eq!(table.try_lease(&LeaseRequest { holder: waiter, hold: true, ..request(9) }), None);
        assert_eq!(table.try_lease(&request(1)), None, "it would fit, but somebody has waited longer");
        table.withdraw(waiter);
        assert!(table.try_lease(&request(1)).is_some());
    }
}
