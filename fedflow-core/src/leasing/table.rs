//! `LeaseTable`: which lease holds how much of which device. Nothing else moves a share.

use crate::leasing::aside::Aside;
use crate::leasing::card::{Card, Holder, OtherRuns, too_large};
use crate::leasing::lease::{Lease, LeaseId, LeaseRequest, Share, Unleasable};
use crate::leasing::placement::{self, CardView};
use crate::model::config::Config;
use crate::model::device::{Device, DeviceInfo, Pin};
use crate::model::identity::TaskKey;
use crate::model::memory::card_limits::CardLimits;
use crate::model::quantity::Size;

/// All devices of a pool and the leases on them. It grants leases, but does not know the world: a pool tells it what
/// others use of the devices.
#[derive(Debug, Clone)]
pub struct LeaseTable {
    cards: Vec<Card>,
    max_per_device: u32,
    next_id: u64,
    /// What is kept free: for one waiting request, and for one beside it that waits for slots beside cards.
    held_back: [Option<HeldBack>; 2],
}

/// The devices that are kept free for one waiting request.
#[derive(Debug, Clone)]
struct HeldBack {
    holder: TaskKey,
    places: Vec<usize>,
}

impl LeaseTable {
    /// An empty table. Up to `max_per_device` tasks without an estimate of their memory may share a card.
    #[must_use]
    pub fn new(max_per_device: u32) -> Self {
        Self { cards: Vec::new(), max_per_device, next_id: 1, held_back: [None, None] }
    }

    /// A table of CPU slots.
    #[must_use]
    pub fn of_cpu_slots(slots: u32) -> Self {
        let mut table = Self::new(1);
        for _ in 0..slots {
            table.add(DeviceInfo::cpu_slot(), None);
        }
        table
    }

    /// A table of these devices, of whose memory as much can be leased as the configuration allows: what a run on
    /// them leases from, if no other process uses them.
    ///
    /// ```
    /// use fedflow_core::{Config, DeviceInfo, LeaseTable, Size};
    /// let table = LeaseTable::of_devices(&[DeviceInfo::simulated(0, Size::from_gb(24))], &Config::default());
    /// assert_eq!(table.largest_share(), Some("19.2GB".parse()?));
    /// # Ok::<(), fedflow_core::SizeError>(())
    /// ```
    #[must_use]
    pub fn of_devices(devices: &[DeviceInfo], config: &Config) -> Self {
        let mut table = Self::new(config.scheduler.max_per_device);
        for info in devices {
            let limits = info.memory.map(|total| config.card_limits(total, Size::ZERO));
            table.add_card(info.clone(), limits);
        }
        table
    }

    /// Adds a device. Leases may book up to `capacity` of its memory. With `None` it has one lease at a time, and
    /// memory does not count.
    pub fn add(&mut self, info: DeviceInfo, capacity: Option<Size>) {
        self.add_card(info, capacity.map(CardLimits::from));
    }

    /// Adds a device, of which a lease that is alone on it may have more than several together.
    pub fn add_card(&mut self, info: DeviceInfo, limits: Option<CardLimits>) {
        self.cards.push(Card::new(info, limits));
    }

    /// Adds CPU slots beside cards, for requests that are pinned to the CPU. To be called when all cards were added; a
    /// table of CPU slots needs no others.
    #[must_use]
    pub fn with_slots_beside(mut self, slots: u32) -> Self {
        if self.cards.iter().any(|card| card.info.device != Device::Cpu) {
            let slot = || Card { is_beside: true, ..Card::new(DeviceInfo::cpu_slot(), None) };
            self.cards.extend((0..slots).map(|_| slot()));
        }
        self
    }

    /// How many CPU slots there are beside cards. They are not among the [`devices`](Self::devices).
    #[must_use]
    pub fn slots_beside(&self) -> u32 {
        u32::try_from(self.cards.iter().filter(|card| card.is_beside).count()).unwrap_or(u32::MAX)
    }

    /// The devices, in the order in which they were added.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceInfo> {
        self.cards.iter().filter(|card| !card.is_beside).map(|card| card.info.clone()).collect()
    }

    /// The places of the devices that a request might get, those that were dropped included. A device's place is the number
    /// of devices that were added before it; CPU slots beside cards come last.
    #[must_use]
    pub fn suiting(&self, request: &LeaseRequest) -> Vec<usize> {
        self.cards
            .iter()
            .enumerate()
            .filter(|(_, card)| card.is_meant(request))
            .map(|(place, _)| place)
            .collect()
    }

    /// For each device, by its place, whether a request could be met on it if nothing else were leased.
    #[must_use]
    pub fn fitting(&self, request: &LeaseRequest) -> Vec<bool> {
        self.cards.iter().map(|card| card.suits(request) && card.is_large_enough(request)).collect()
    }

    /// Whether a request can be met at all, if nothing else were leased.
    ///
    /// # Errors
    /// Says why it can never be met.
    pub fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        let is_for_slots = self.is_for_slots(request);
        if self.cards.iter().filter(|card| card.is_beside == is_for_slots).all(|card| card.dropped) {
            return Err(Unleasable::NoneLeft);
        }
        let suiting: Vec<&Card> = self.cards.iter().filter(|card| card.suits(request)).collect();
        if let (Some(pin), true) = (&request.pin, suiting.is_empty()) {
            let left = self.cards.iter().filter(|card| !card.dropped && !card.is_beside);
            let mut names: Vec<String> = left.map(|card| card.info.device.to_string()).collect();
            names.dedup();
            return Err(Unleasable::NoSuchDevice { pin: pin.clone(), available: names.join(", ") });
        }
        let large_enough = suiting.iter().filter(|card| card.is_large_enough(request)).count();
        if large_enough == 0 && !suiting.is_empty() {
            return Err(too_large(request.memory, &suiting));
        }
        if large_enough < request.devices as usize {
            let available = u32::try_from(large_enough).unwrap_or(u32::MAX);
            return Err(Unleasable::TooMany { needed: request.devices, available });
        }
        Ok(())
    }

    /// The most memory of one card that leases can have together; `None` if memory does not count.
    #[must_use]
    pub fn largest_share(&self) -> Option<Size> {
        self.limits().map(|limits| limits.shared).max()
    }

    /// The most memory of one card that a lease can have which is alone there; `None` if memory does not count.
    #[must_use]
    pub fn largest_alone(&self) -> Option<Size> {
        self.limits().map(|limits| limits.alone).max()
    }

    fn limits(&self) -> impl Iterator<Item = CardLimits> {
        self.cards.iter().filter(|card| !card.dropped).filter_map(|card| card.limits)
    }

    /// How much of a device's memory can be leased if nothing else is; `None` if its memory does not count.
    #[must_use]
    pub fn limits_of(&self, device: Device) -> Option<CardLimits> {
        self.cards.iter().find(|card| card.info.device == device).and_then(|card| card.limits)
    }

    /// Grants a request if it can be met now, as a whole.
    ///
    /// If it cannot and asks for [`LeaseRequest::hold`], the devices that can be emptied soonest are kept free for it
    /// until it is met or withdrawn. One request at a time is served so.
    pub fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        let views = self.views(request);
        let Some(places) = placement::place(&views, request, self.max_per_device) else {
            if request.hold {
                let places = placement::hold_back(&views, request, self.max_per_device);
                let held_back = HeldBack { holder: request.holder, places };
                self.held_back[usize::from(self.is_for_slots(request))] = Some(held_back);
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
            let slots_before = self.cards[..place].iter().filter(|card| card.limits.is_none());
            let number_of_slot = u32::try_from(slots_before.count()).unwrap_or(u32::MAX);
            let card = &mut self.cards[place];
            let sharing = card.limits.is_some();
            // A device without memory is one CPU slot of many, known by its number among them.
            let slot = if sharing { card.free_slot() } else { number_of_slot };
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

    /// Whether a request could be met now if these leases were released.
    #[must_use]
    pub fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        let mut table = self.clone();
        for lease in leases {
            table.release(*lease);
        }
        table.try_lease(&LeaseRequest { hold: false, ..request.clone() }).is_some()
    }

    /// Whether a task of another run trains on a device, or is to have it first.
    #[must_use]
    pub fn others_train_on(&self, device: Device) -> bool {
        self.cards.iter().any(|card| card.info.device == device && card.is_used_by_others())
    }

    /// `train` has ended: another lease may train on the devices. Memory stays booked until [`Self::release`].
    pub fn end_train(&mut self, lease: LeaseId) {
        for card in &mut self.cards {
            // A share without memory has nothing to keep.
            if card.limits.is_none() {
                card.holders.remove(&lease);
            } else if let Some(holder) = card.holders.get_mut(&lease) {
                holder.training = false;
            }
        }
    }

    /// The process is gone: what the lease still has booked is free.
    pub fn release(&mut self, lease: LeaseId) {
        for card in &mut self.cards {
            card.holders.remove(&lease);
        }
    }

    /// Books `memory` for a lease in place of what it has, as an estimate. Returns false, and changes nothing, if that
    /// does not fit.
    pub fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        let mut holding = self.cards.iter().filter(|card| card.holders.contains_key(&lease));
        if !holding.all(|card| card.could_rebook(lease, memory)) {
            return false;
        }
        let holders = self.cards.iter_mut().filter_map(|card| card.holders.get_mut(&lease));
        let rebooked = holders.map(|holder| (holder.memory, holder.estimated) = (memory, true));
        rebooked.count() > 0
    }

    /// A task no longer asks for devices: none are kept free for it.
    pub fn withdraw(&mut self, holder: TaskKey) {
        for held_back in &mut self.held_back {
            held_back.take_if(|held_back| held_back.holder == holder);
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

    /// The memory that a lease has booked on each of its devices; `None` if there is no such lease.
    #[must_use]
    pub fn memory_of(&self, lease: LeaseId) -> Option<Size> {
        self.cards.iter().find_map(|card| Some(card.holders.get(&lease)?.memory))
    }

    /// The memory that is booked on a device.
    #[must_use]
    pub fn booked(&self, device: Device) -> Size {
        self.cards.iter().filter(|card| card.info.device == device).map(Card::booked).sum()
    }

    /// How many leases there are. One whose training has ended counts until its process is gone.
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

    /// Checks the table's own rules; for tests after each step.
    ///
    /// # Errors
    /// Says which rule is broken.
    pub fn sanity_check(&self) -> Result<(), String> {
        self.cards.iter().try_for_each(Card::sanity_check)
    }

    fn views(&self, request: &LeaseRequest) -> Vec<CardView> {
        let of_others = || self.held_back.iter().flatten().filter(|held| held.holder != request.holder);
        let view = |(place, card): (usize, &Card)| {
            card.view(place, request, of_others().any(|held| held.places.contains(&place)))
        };
        self.cards.iter().enumerate().map(view).collect()
    }

    /// Whether a request is for slots beside cards.
    fn is_for_slots(&self, request: &LeaseRequest) -> bool {
        request.pin.as_ref().is_some_and(Pin::is_cpu) && self.cards.iter().any(|card| card.is_beside)
    }

    fn cards_of(&mut self, device: Device) -> impl Iterator<Item = &mut Card> {
        self.cards.iter_mut().filter(move |card| card.info.device == device)
    }
}

/// What goes before the requests of this run.
impl LeaseTable {
    /// What is set aside for claims of other runs.
    pub fn aside(&mut self) -> Aside<'_> {
        let held = self.held_back.iter().flatten().flat_map(|held| held.places.iter().copied());
        Aside { held: held.collect(), cards: &mut self.cards }
    }

    /// Whether a request could be met now if nothing were set aside.
    #[must_use]
    pub fn fits_beside_claims(&self, request: &LeaseRequest) -> bool {
        let mut table = self.clone();
        table.aside().clear();
        table.fits_without(request, &[])
    }
}

/// What a pool tells its table of the world.
impl LeaseTable {
    /// Sets how much of a card's memory processes use that hold no lease.
    pub fn set_foreign(&mut self, device: Device, used: Size) {
        self.cards_of(device).for_each(|card| card.foreign = used);
    }

    /// Sets how much of a card's memory is in quarantine: the card is that much smaller.
    pub fn set_quarantined(&mut self, device: Device, memory: Size) {
        self.cards_of(device).for_each(|card| card.quarantined = memory);
    }

    /// Sets what other runs have leased of a device. The device is named by its place, the number of devices that were
    /// added before it, as CPU slots share one name.
    pub fn set_others(&mut self, place: usize, others: OtherRuns) {
        if let Some(card) = self.cards.get_mut(place) {
            card.others = others;
        }
    }

    /// How much of the device at a place may be leased; `None` if memory does not count there, or there is none.
    #[must_use]
    pub fn limits_at(&self, place: usize) -> Option<CardLimits> {
        self.cards.get(place)?.limits
    }

    /// How many tasks without an estimate of their memory may share a card.
    #[must_use]
    pub fn max_per_device(&self) -> u32 {
        self.max_per_device
    }

    /// Takes a lost device out: nothing more is leased on it. Its leases last until they are released.
    pub fn drop_device(&mut self, device: Device) {
        self.cards_of(device).for_each(|card| card.dropped = true);
    }

    /// Whether a device was taken out.
    #[must_use]
    pub fn is_lost(&self, device: Device) -> bool {
        self.cards.iter().any(|card| card.info.device == device && card.dropped)
    }
}

#[cfg(test)]
mod tests;
