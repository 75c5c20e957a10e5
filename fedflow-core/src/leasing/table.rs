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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::leasing::claim::{Claim, Foreseen};

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
        LeaseRequest::new(TaskKey { group: 1, place: 0 }, Size::from_gb(gigabytes))
    }

    #[test]
    fn a_limit_in_the_way_is_named_with_the_value_that_would_do() {
        let cards = [DeviceInfo::simulated(0, Size::from_gb(24))];
        let mut config = Config::default();
        let refused = |config: &Config, gigabytes| {
            let error = LeaseTable::of_devices(&cards, config).check(&request(gigabytes));
            error.err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(&config, 22), "", "alone on the card");
        assert_eq!(
            refused(&config, 23),
            "23GB on a card is more than any card may lease; the largest share is 22GB, as \
             remain-limit.cuda-memory leaves no more; with \"1GB\" it would fit"
        );
        assert!(refused(&config, 25).ends_with("the largest share is 22GB"));
        config.set("remain-limit.cuda-memory", &"1GB".into()).unwrap();
        assert_eq!(refused(&config, 23), "");
        config.set("utilization-limit.cuda-memory", &0.1.into()).unwrap();
        assert_eq!(refused(&config, 23), "", "no share of it keeps the only task from starting");
    }

    #[test]
    fn a_lease_that_is_alone_may_be_booked_more() {
        let limits =
            CardLimits { shared: Size::from_gb(8), alone: Size::from_gb(9), whole: Size::from_gb(10) };
        let mut table = LeaseTable::new(1);
        table.add_card(DeviceInfo::simulated(0, Size::from_gb(10)), Some(limits));
        let first = table.try_lease(&request(2)).unwrap();
        assert!(table.rebook(first.id, Size::from_gb(9)));
        assert_eq!(table.try_lease(&request(0)), None, "it has more than leases may have together");
        assert!(table.rebook(first.id, Size::from_gb(2)));
        let second = table.try_lease(&request(2)).unwrap();
        assert!(!table.rebook(first.id, Size::from_gb(7)));
        table.release(second.id);
        assert!(table.rebook(first.id, Size::from_gb(7)));
        assert_eq!(table.sanity_check(), Ok(()));
    }

    #[test]
    fn slots_beside_cards_are_only_for_what_is_pinned_to_the_cpu() {
        let mut table = table().with_slots_beside(2);
        assert_eq!((table.devices().len(), table.slots_beside()), (1, 2));
        let on_cpu = |place| LeaseRequest {
            holder: TaskKey { group: 1, place },
            pin: Some(Pin::Device(Device::Cpu)),
            exclusive: true,
            ..request(900)
        };
        assert_eq!(table.check(&on_cpu(1)), Ok(()));
        let card = table.try_lease(&LeaseRequest { exclusive: true, ..request(1) }).unwrap();
        assert_eq!(table.try_lease(&request(1)), None, "no slot is a card");
        let slots: Vec<Lease> = (1..=2).map(|place| table.try_lease(&on_cpu(place)).unwrap()).collect();
        assert_eq!(slots.iter().map(|lease| lease.shares[0].slot).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((slots[0].device(), slots[0].device_seen), (Device::Cpu, Device::Cpu));
        assert_eq!(table.try_lease(&on_cpu(3)), None, "all slots are taken");
        table.end_train(slots[0].id);
        assert!(table.try_lease(&on_cpu(3)).is_some());
        let two = LeaseRequest { devices: 3, ..on_cpu(4) };
        assert_eq!(table.check(&two), Err(Unleasable::TooMany { needed: 3, available: 2 }));
        // What waits for slots keeps no card free, and the other way round.
        let waits = LeaseRequest { devices: 2, hold: true, ..on_cpu(5) };
        assert_eq!(table.try_lease(&waits), None);
        let large = LeaseRequest { holder: TaskKey { group: 1, place: 6 }, hold: true, ..request(10) };
        assert_eq!(table.try_lease(&large), None);
        table.release(card.id);
        assert_eq!(table.try_lease(&request(1)), None, "the card is kept free");
        assert!(table.try_lease(&large).is_some());
        table.drop_device(Device::Sim(0));
        assert_eq!(table.check(&request(1)), Err(Unleasable::NoneLeft));
        assert_eq!(table.check(&on_cpu(1)), Ok(()));
        assert_eq!(LeaseTable::of_cpu_slots(2).with_slots_beside(4).slots_beside(), 0);
    }

    #[test]
    fn leases_of_other_runs_count_as_own_ones_do() {
        let mut table = table();
        let others = OtherRuns { memory: Size::from_gb(6), training: 1, ..OtherRuns::default() };
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

        table.set_others(0, OtherRuns { unestimated: 1, ..others });
        assert_eq!(table.try_lease(&request(1)), None, "one without an estimate might need anything");
        table.set_others(0, OtherRuns { exclusive: true, ..others });
        assert_eq!(table.try_lease(&request(1)), None);
        table.set_others(0, OtherRuns { training: 0, resident: 1, ..others });
        assert_eq!(table.try_lease(&LeaseRequest { exclusive: true, ..request(1) }), None);
        table.set_others(0, OtherRuns::default());
        assert!(table.try_lease(&LeaseRequest { exclusive: true, ..request(9) }).is_some());
    }

    #[test]
    fn a_slot_that_another_run_has_is_taken() {
        let mut table = LeaseTable::of_cpu_slots(2);
        table.set_others(0, OtherRuns { training: 1, ..OtherRuns::default() });
        let lease = table.try_lease(&request(1)).unwrap();
        assert_eq!((lease.shares[0].slot, table.places(lease.id)), (1, vec![1]));
        assert_eq!(table.try_lease(&request(1)), None);
    }

    #[test]
    fn a_card_full_of_other_runs_leases_can_be_kept_back() {
        let mut table = table();
        table.set_others(0, OtherRuns { memory: Size::from_gb(8), training: 1, ..OtherRuns::default() });
        let waiter = TaskKey { group: 1, place: 7 };
        assert_eq!(table.try_lease(&LeaseRequest { holder: waiter, hold: true, ..request(9) }), None);
        assert_eq!(table.try_lease(&request(1)), None, "it would fit, but another has waited longer");
        table.withdraw(waiter);
        assert!(table.try_lease(&request(1)).is_some());
    }

    fn claim(request: LeaseRequest, cards: usize) -> Claim {
        let limits = Some(Size::from_gb(10).into());
        Claim {
            request,
            cards: (0..cards).map(|place| (place, limits)).collect(),
            max_per_device: 1,
            replaced: None,
        }
    }

    #[test]
    fn what_is_set_aside_for_a_claim_is_not_leased() {
        let mut table = table();
        let now = claim(request(6), 1);
        let foreseen = table.aside().foresee(&now, true);
        assert_eq!(foreseen, Foreseen::Now(vec![0]));
        table.aside().add(&now, &foreseen);
        assert_eq!(table.try_lease(&request(5)), None);
        assert!(table.fits_beside_claims(&request(5)));
        let lease = table.try_lease(&request(4)).unwrap();
        table.aside().clear();

        let later = claim(request(7), 1);
        let foreseen = table.aside().foresee(&later, true);
        assert_eq!(foreseen, Foreseen::Later(vec![0]));
        table.aside().add(&later, &foreseen);
        assert_eq!(table.try_lease(&request(1)), None, "the card is to be emptied");
        table.end_train(lease.id);
        table.aside().clear();
        assert_eq!(table.aside().foresee(&later, true), Foreseen::Unclear(vec![0]), "its process may stay");
        let replaces = Claim { replaced: Some(Size::from_gb(4)), ..later };
        assert_eq!(table.aside().foresee(&replaces, true), Foreseen::Now(vec![0]), "it is its own process");
        assert_eq!(table.aside().foresee(&claim(request(11), 1), true), Foreseen::Never);
        let two = claim(LeaseRequest { devices: 2, ..request(1) }, 1);
        assert_eq!(table.aside().foresee(&two, true), Foreseen::Never);
    }

    #[test]
    fn a_claim_that_comes_after_the_own_longest_waiter_gets_none_of_its_cards() {
        let mut table = table();
        let lease = table.try_lease(&request(6)).unwrap();
        let waiter = TaskKey { group: 1, place: 7 };
        assert_eq!(table.try_lease(&LeaseRequest { holder: waiter, hold: true, ..request(9) }), None);
        assert_eq!(table.aside().foresee(&claim(request(2), 1), false), Foreseen::Now(vec![0]));
        assert_eq!(table.aside().foresee(&claim(request(2), 1), true), Foreseen::Never);
        table.release(lease.id);
    }

    proptest! {
        /// What is leased and what is set aside are together never too much, and nothing is set aside for what cannot come.
        #[test]
        fn leases_and_claims_never_overbook_a_card(
            cards in 1_usize..4,
            asked in prop::collection::vec((1_u64..11, 1_u32..3, any::<bool>(), any::<bool>(), 0_u8..3), 1..12),
        ) {
            let mut table = LeaseTable::new(1);
            for ordinal in 0..cards {
                let info = DeviceInfo::simulated(u32::try_from(ordinal).unwrap(), Size::from_gb(10));
                table.add(info, Some(Size::from_gb(10)));
            }
            for (gigabytes, devices, exclusive, estimated, kind) in asked {
                let request = LeaseRequest { devices, exclusive, estimated, ..request(gigabytes) };
                if kind > 0 {
                    table.try_lease(&request);
                } else {
                    let claim = claim(request, cards);
                    let foreseen = table.aside().foresee(&claim, true);
                    table.aside().add(&claim, &foreseen);
                }
                for card in &table.cards {
                    let all = card.others.and(card.aside);
                    prop_assert!(card.booked() + all.memory <= Size::from_gb(10));
                    let trains = card.training() + all.training;
                    let alone = all.exclusive || card.holders.values().any(|holder| holder.exclusive);
                    prop_assert!(!alone || trains == 1, "{:?}", card);
                    let unknown = all.unestimated + card.holders.values().filter(|holder| !holder.estimated).count();
                    prop_assert!(unknown == 0 || trains == 1, "{:?}", card);
                }
            }
        }
    }
}
