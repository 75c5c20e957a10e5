//! `Card`: a device of the lease table, the leases on it, and what placement sees of it.

use std::collections::BTreeMap;

use crate::leasing::claim::Claim;
use crate::leasing::lease::{LeaseId, LeaseRequest, Unleasable};
use crate::leasing::placement::CardView;
use crate::model::device::{DeviceInfo, Pin};
use crate::model::memory::card_limits::CardLimits;
use crate::model::quantity::Size;

/// A device in the table.
#[derive(Debug, Clone)]
pub(super) struct Card {
    pub(super) info: DeviceInfo,
    /// The most memory that leases may book; `None`: one lease at a time, and memory does not count.
    pub(super) limits: Option<CardLimits>,
    /// Memory that processes without a lease use, as far as known.
    pub(super) foreign: Size,
    /// What the leases of other runs take of it.
    pub(super) others: OtherRuns,
    /// What claims of other runs get of it before a request of this run.
    pub(super) aside: OtherRuns,
    /// Whether it is kept free for such a claim.
    pub(super) withheld: bool,
    /// Memory in quarantine: no process uses it, and none can have it.
    pub(super) quarantined: Size,
    /// Whether it is a CPU slot beside cards, which only a request gets that is pinned to the CPU.
    pub(super) is_beside: bool,
    /// Whether the device was lost. Nothing more is leased on it.
    pub(super) dropped: bool,
    pub(super) holders: BTreeMap<LeaseId, Holder>,
}

/// What the leases of other runs take of one device. The table counts them like its own leases, which will end, unlike
/// memory that is merely in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OtherRuns {
    /// The memory that is booked.
    pub memory: Size,
    /// The part of it that is in quarantine: no end of a lease frees it.
    pub quarantined: Size,
    /// How many leases are used for training.
    pub training: usize,
    /// How many leases keep memory booked after their training.
    pub resident: usize,
    /// Whether a task trains that has the device alone.
    pub exclusive: bool,
    /// How many of those that train have no estimate of their memory.
    pub unestimated: usize,
}

impl OtherRuns {
    /// What both take together.
    pub(super) fn and(self, more: Self) -> Self {
        Self {
            memory: self.memory + more.memory,
            quarantined: self.quarantined + more.quarantined,
            training: self.training + more.training,
            resident: self.resident + more.resident,
            exclusive: self.exclusive || more.exclusive,
            unestimated: self.unestimated + more.unestimated,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) memory: Size,
    pub(super) estimated: bool,
    pub(super) exclusive: bool,
    pub(super) training: bool,
    pub(super) slot: u32,
}

impl Card {
    pub(super) fn sanity_check(&self) -> Result<(), String> {
        let device = self.info.device;
        let training = self.training();
        match self.limits.map(|limits| limits.of(self.holders.len() == 1)) {
            None if training > 1 => return Err(format!("{device} trains {training} tasks at once")),
            Some(limit) if self.foreign == Size::ZERO && self.booked() > limit => {
                return Err(format!("{device}: {} booked of {limit}", self.booked()));
            }
            _ => {}
        }
        let exclusive = self.holders.values().any(|holder| holder.exclusive && holder.training);
        if exclusive && training > 1 {
            return Err(format!("{device} is shared, though it was leased exclusively"));
        }
        Ok(())
    }

    pub(super) fn new(info: DeviceInfo, limits: Option<CardLimits>) -> Self {
        Self {
            info,
            limits,
            foreign: Size::ZERO,
            others: OtherRuns::default(),
            aside: OtherRuns::default(),
            withheld: false,
            quarantined: Size::ZERO,
            is_beside: false,
            dropped: false,
            holders: BTreeMap::new(),
        }
    }

    /// Whether a task of another run trains on it, or it is set aside or kept back for one.
    pub(super) fn is_used_by_others(&self) -> bool {
        self.withheld || self.others.training + self.aside.training > 0
    }

    /// The card as placement sees it for a request.
    pub(super) fn view(&self, place: usize, request: &LeaseRequest, held_back: bool) -> CardView {
        let own_exclusive = self.holders.values().any(|holder| holder.exclusive && holder.training);
        let own_unestimated = self.holders.values().filter(|h| h.training && !h.estimated).count();
        let others = self.others.and(self.aside);
        CardView {
            place,
            suits: self.suits(request),
            held_back: held_back || self.withheld,
            limits: self.limits.map(|limits| limits.without(self.quarantined)),
            used: self.booked_beside(request.replaces) + others.memory + self.foreign,
            lasting: others.quarantined + self.foreign,
            training: self.training() + others.training,
            resident: self.residents_beside(request.replaces) + others.resident,
            exclusive: others.exclusive || own_exclusive,
            unestimated: others.unestimated + own_unestimated,
        }
    }

    /// The card as placement sees it for a claim of another run that may lease so much of it.
    pub(super) fn view_of_claim(
        &self,
        place: usize,
        claim: &Claim,
        limits: Option<CardLimits>,
        held_back: bool,
    ) -> CardView {
        let view =
            self.view(place, &LeaseRequest { pin: None, replaces: None, ..claim.request.clone() }, held_back);
        // Memory counts for all runs or for none.
        let limits = self.limits.map(|own| limits.unwrap_or(own).without(self.quarantined));
        let replaced = claim.replaced.unwrap_or(Size::ZERO);
        let resident = view.resident.saturating_sub(usize::from(claim.replaced.is_some()));
        CardView { suits: !self.dropped, limits, used: view.used.saturating_sub(replaced), resident, ..view }
    }

    /// Takes what a claim gets now out of what other requests can get.
    pub(super) fn set_aside(&mut self, claim: &Claim) {
        let LeaseRequest { exclusive, estimated, .. } = claim.request;
        self.aside = self.aside.and(OtherRuns {
            memory: claim.more_memory(),
            training: 1,
            exclusive,
            unestimated: usize::from(!estimated),
            ..OtherRuns::default()
        });
    }

    /// Whether one of its leases could book so much memory in place of what it has booked.
    pub(super) fn could_rebook(&self, lease: LeaseId, memory: Size) -> bool {
        let used = self.booked_beside(Some(lease)) + self.others.memory + self.foreign + memory;
        let is_alone = self.holders.len() == 1 && self.others.training + self.others.resident == 0;
        self.limits.is_some_and(|limits| used <= limits.without(self.quarantined).of(is_alone))
    }

    /// Whether a request could get it.
    pub(super) fn suits(&self, request: &LeaseRequest) -> bool {
        !self.dropped && self.is_meant(request)
    }

    /// Whether a request could get it if it was not dropped.
    pub(super) fn is_meant(&self, request: &LeaseRequest) -> bool {
        let matches = |pin: &Pin| pin.matches(self.info.device, self.info.uuid.as_deref());
        request.pin.as_ref().map_or(!self.is_beside, matches)
    }

    /// Whether it is large enough for a request that is alone on it.
    pub(super) fn is_large_enough(&self, request: &LeaseRequest) -> bool {
        self.limits.is_none_or(|limits| limits.alone >= request.memory)
    }

    pub(super) fn booked(&self) -> Size {
        self.holders.values().map(|holder| holder.memory).sum()
    }

    fn booked_beside(&self, lease: Option<LeaseId>) -> Size {
        let others = self.holders.iter().filter(|(id, _)| Some(**id) != lease);
        others.map(|(_, holder)| holder.memory).sum()
    }

    fn residents_beside(&self, lease: Option<LeaseId>) -> usize {
        self.holders.iter().filter(|(id, holder)| !holder.training && Some(**id) != lease).count()
    }

    pub(super) fn training(&self) -> usize {
        self.holders.values().filter(|holder| holder.training).count()
    }

    pub(super) fn free_slot(&self) -> u32 {
        let taken: Vec<u32> = self.holders.values().filter(|h| h.training).map(|h| h.slot).collect();
        (0..).find(|slot| !taken.contains(slot)).unwrap_or(0)
    }
}

/// Why a request is refused that is too large for all devices which suit it.
pub(super) fn too_large(needed: Size, suiting: &[&Card]) -> Unleasable {
    let limits = || suiting.iter().filter_map(|card| card.limits);
    let largest = limits().map(|limits| limits.alone).max().unwrap_or_default();
    // Rounded down, so that the value is easy to read and does.
    let rounded = |size: Size| {
        let unit = if size < Size::from_gb(1) { 1_000_000 } else { 100_000_000 };
        Size::from_bytes(size.bytes() / unit * unit)
    };
    let larger = suiting.iter().filter(|card| card.limits.is_some_and(|limits| limits.whole >= needed));
    let left = larger.filter_map(|card| Some(card.info.memory?.saturating_sub(needed))).max();
    Unleasable::TooLarge { needed, largest, remain_limit: left.map(rounded) }
}
