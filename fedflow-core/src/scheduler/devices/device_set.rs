//! `DeviceSet`: some of the run's devices, and `Fit`: which of them a task fits.

use crate::model::device::{Device, DeviceInfo, Pin};
use crate::model::memory::card_limits::CardLimits;
use crate::model::quantity::Size;

/// Some of the run's devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::scheduler) struct DeviceSet(u128);

/// What a task can be leased: so many devices, out of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::scheduler) struct Fit {
    pub(in crate::scheduler) devices: u32,
    pub(in crate::scheduler) among: DeviceSet,
}

/// What a task takes of a device while it trains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::scheduler) enum Takes {
    /// So much of its memory.
    Memory(Size),
    /// As much as each of so many has of it.
    OneOf(u32),
    /// All of it.
    Whole,
}

/// All devices of the run. CPU slots, which no task can tell apart, are one that has room for several.
#[derive(Debug, Clone, Default)]
pub(in crate::scheduler) struct Devices {
    all: Vec<Place>,
}

#[derive(Debug, Clone)]
struct Place {
    device: Device,
    uuid: Option<String>,
    /// How much of its memory can be leased; `None` if memory does not count.
    limits: Option<CardLimits>,
    count: u32,
}

/// No machine has more cards, or parts of cards. What is beyond that is not told apart.
const MOST: usize = u128::BITS as usize;

impl DeviceSet {
    fn of(places: impl Iterator<Item = usize>) -> Self {
        Self(places.fold(0, |bits, place| bits | 1 << place))
    }

    /// The places of its devices.
    pub(in crate::scheduler) fn places(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let place = (left != 0).then(|| left.trailing_zeros() as usize);
            left &= left.wrapping_sub(1);
            place
        })
    }

    pub(in crate::scheduler) fn contains(self, place: usize) -> bool {
        place < MOST && self.0 >> place & 1 == 1
    }

    pub(in crate::scheduler) fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether a device is in both.
    pub(in crate::scheduler) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(in crate::scheduler) fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn or_if_empty(self, other: Self) -> Self {
        if self.0 == 0 { other } else { self }
    }
}

impl Devices {
    /// The devices of a run, with what can be leased of each.
    pub(in crate::scheduler) fn new(devices: Vec<(DeviceInfo, Option<CardLimits>)>) -> Self {
        let mut all: Vec<Place> = Vec::new();
        for (info, limits) in devices {
            let alike = all.iter().position(|place| place.device == info.device);
            let alike = alike.or((all.len() == MOST).then_some(MOST - 1));
            match alike.and_then(|place| all.get_mut(place)) {
                Some(place) => place.count += 1,
                None => all.push(Place { device: info.device, uuid: info.uuid, limits, count: 1 }),
            }
        }
        Self { all }
    }

    /// How many places there are.
    pub(in crate::scheduler) fn len(&self) -> usize {
        self.all.len()
    }

    /// The place of a device.
    pub(in crate::scheduler) fn place(&self, device: Device) -> Option<usize> {
        self.all.iter().position(|place| place.device == device)
    }

    /// How many tasks that each have a device alone a place has room for.
    pub(in crate::scheduler) fn count_at(&self, place: usize) -> u32 {
        self.all.get(place).map_or(1, |place| place.count)
    }

    /// The same for a whole set.
    pub(in crate::scheduler) fn count(&self, set: DeviceSet) -> u32 {
        set.places().map(|place| self.count_at(place)).sum::<u32>().max(1)
    }

    /// How many of a set are cards.
    pub(in crate::scheduler) fn cards(&self, set: DeviceSet) -> u32 {
        let places = set.places().filter_map(|place| self.all.get(place));
        places.filter(|place| place.device != Device::Cpu).map(|place| place.count).sum()
    }

    /// The cards of a set, in the order of the pool.
    pub(in crate::scheduler) fn names_of_cards(&self, set: DeviceSet) -> impl Iterator<Item = Device> {
        let places = set.places().filter_map(|place| self.all.get(place));
        places.map(|place| place.device).filter(|device| *device != Device::Cpu)
    }

    /// The set of one device.
    pub(in crate::scheduler) fn only(&self, device: Device) -> DeviceSet {
        DeviceSet::of(self.place(device).into_iter()).or_if_empty(self.everything())
    }

    /// The devices that a task with such a pin may have, whatever memory it needs. Beside cards, CPU slots are only for
    /// tasks that are pinned to them.
    pub(in crate::scheduler) fn allowed(&self, pin: Option<&Pin>) -> DeviceSet {
        let any_card = self.all.iter().any(|place| place.device != Device::Cpu);
        let allows = |place: &Place| match pin {
            Some(pin) => pin.matches(place.device, place.uuid.as_deref()),
            None => place.device != Device::Cpu || !any_card,
        };
        self.those(allows).or_if_empty(self.everything())
    }

    /// The devices with so much memory that can be leased by a task which is alone there.
    pub(in crate::scheduler) fn with_memory(&self, memory: Size) -> DeviceSet {
        self.those(|place| place.limits.is_none_or(|limits| limits.alone >= memory))
    }

    /// The devices that a task fits. If none has so much memory, those that it may have: there it is told so.
    pub(in crate::scheduler) fn fitting(&self, pin: Option<&Pin>, memory: Size) -> DeviceSet {
        let allowed = self.allowed(pin);
        allowed.both(self.with_memory(memory)).or_if_empty(allowed)
    }

    /// How many tasks of this kind can train at once; `memory` is what each needs of a card, `None` if it has it alone.
    pub(in crate::scheduler) fn room(&self, fit: Fit, memory: Option<Size>) -> u32 {
        let room = |place: &Place| {
            let shared =
                place.limits.map(|limits| limits.shared).zip(memory.filter(|size| *size > Size::ZERO));
            let on_each = shared.map_or(1, |(all, each)| all.bytes() / each.bytes()).max(1);
            on_each.saturating_mul(u64::from(place.count))
        };
        let places = fit.among.places().filter_map(|place| self.all.get(place));
        let room = places.map(room).fold(0_u64, u64::saturating_add) / u64::from(fit.devices.max(1));
        u32::try_from(room).unwrap_or(u32::MAX).max(1)
    }

    /// What a task takes of the smallest devices that it fits, and what these have, in gigabytes. A device whose memory
    /// does not count has 1.
    pub(in crate::scheduler) fn part(&self, fit: Fit, takes: Takes) -> (f64, f64) {
        let shared = fit.among.places().filter_map(|place| self.all.get(place)?.limits);
        let smallest = shared.map(|limits| limits.shared.gigabytes()).reduce(f64::min);
        let count = f64::from(fit.devices);
        let Some(whole) = smallest else { return (count, count) };
        let own = match takes {
            // One that has more than leases may share is alone on its card.
            Takes::Memory(memory) => memory.gigabytes().min(whole),
            Takes::OneOf(among) => whole / f64::from(among.max(1)),
            Takes::Whole => whole,
        };
        (own * count, whole * count)
    }

    /// What a task fits of which nothing is known.
    pub(in crate::scheduler) fn anything(&self) -> Fit {
        Fit { devices: 1, among: self.everything() }
    }

    /// Whether the memory of any device counts.
    pub(in crate::scheduler) fn any_with_memory(&self) -> bool {
        self.all.iter().any(|place| place.limits.is_some())
    }

    fn those(&self, test: impl Fn(&Place) -> bool) -> DeviceSet {
        let passing = self.all.iter().enumerate().filter(|(_, place)| test(place));
        DeviceSet::of(passing.map(|(place, _)| place))
    }

    fn everything(&self) -> DeviceSet {
        self.those(|_| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(cards: &[u64], slots: usize) -> Devices {
        let card = |(ordinal, size): (u32, &u64)| {
            let size = Size::from_gb(*size);
            (DeviceInfo::simulated(ordinal, size), Some(size.into()))
        };
        let slot = DeviceInfo { device: Device::Cpu, uuid: None, name: "CPU slot".into(), memory: None };
        let slots = std::iter::repeat_n((slot, None), slots);
        Devices::new((0..).zip(cards).map(card).chain(slots).collect())
    }

    fn places(set: DeviceSet) -> Vec<usize> {
        set.places().collect()
    }

    #[test]
    fn a_task_fits_the_cards_that_are_large_enough_and_allowed() {
        let devices = devices(&[24, 8, 80], 0);
        assert_eq!(places(devices.fitting(None, Size::from_gb(10))), [0, 2]);
        assert_eq!(places(devices.fitting(None, Size::from_gb(5))), [0, 1, 2]);
        let pin: Pin = "cuda:2".parse().unwrap();
        assert_eq!(places(devices.fitting(Some(&pin), Size::from_gb(5))), [2]);
        assert_eq!(
            places(devices.fitting(None, Size::from_gb(90))),
            [0, 1, 2],
            "it is refused, not forgotten"
        );
        let lost: Pin = "cuda:7".parse().unwrap();
        assert_eq!(places(devices.fitting(Some(&lost), Size::from_gb(5))), [0, 1, 2]);
    }

    #[test]
    fn slots_are_one_and_beside_cards_only_for_what_is_pinned_to_them() {
        let slots = devices(&[], 4);
        let any = slots.fitting(None, Size::from_gb(900));
        assert_eq!((places(any), slots.count(any)), (vec![0], 4));
        let both = devices(&[24], 4);
        assert_eq!(places(both.fitting(None, Size::from_gb(2))), [0]);
        let on_slots = both.fitting(Some(&Pin::Device(Device::Cpu)), Size::from_gb(2));
        assert_eq!((places(on_slots), both.count(on_slots)), (vec![1], 4));
    }

    #[test]
    fn there_is_room_for_what_shares_a_card() {
        let devices = devices(&[24, 8], 0);
        let fit = |devices: u32, set| Fit { devices, among: set };
        let any = devices.allowed(None);
        assert_eq!(devices.room(fit(1, any), None), 2);
        assert_eq!(devices.room(fit(1, any), Some(Size::from_gb(4))), 6 + 2);
        assert_eq!(devices.room(fit(2, any), Some(Size::from_gb(20))), 1);
    }

    #[test]
    fn more_devices_than_can_be_told_apart_are_still_devices() {
        let devices = devices(&[8; 200], 0);
        assert_eq!(devices.count(devices.allowed(None)), 200);
        assert!(devices.allowed(None).contains(127));
    }
}
