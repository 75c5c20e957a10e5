//! Placement: which devices a request gets. Pure: views of cards in, places out.

use crate::lease::LeaseRequest;
use crate::quantity::Size;

/// What placement sees of one card.
#[derive(Debug, Clone, PartialEq)]
pub struct CardView {
    /// Its place in the table; the order of preference among equals.
    pub place: usize,
    /// Whether the request's pin means it.
    pub suits: bool,
    /// Whether it is kept back for somebody else.
    pub held_back: bool,
    /// The most memory that may be used on it; none: one lease at a time, and memory does not count.
    pub capacity: Option<Size>,
    /// The memory that leases and others use on it.
    pub used: Size,
    /// The part of it that is not leased by this pool.
    pub foreign: Size,
    /// How many tasks train on it.
    pub training: usize,
    /// How many processes keep memory on it though their training has ended.
    pub resident: usize,
    /// Whether somebody has it alone.
    pub exclusive: bool,
    /// How many of those who train on it have memory that nobody estimated.
    pub unestimated: usize,
}

impl CardView {
    fn free(&self) -> Size {
        self.capacity.unwrap_or_default().saturating_sub(self.used)
    }

    /// Whether the request could start on it now.
    fn fits(&self, request: &LeaseRequest, max_per_device: u32) -> bool {
        if !self.suits || self.held_back || self.exclusive {
            return false;
        }
        if self.capacity.is_none() {
            return self.training == 0;
        }
        if request.exclusive && (self.training > 0 || self.resident > 0 || self.foreign > Size::ZERO) {
            return false;
        }
        // One that nobody estimated might need anything: it does not join those who were, nor they it,
        // beyond the number that the configuration allows.
        let limit = max_per_device as usize;
        let crowded = (!request.estimated || self.unestimated > 0) && self.training >= limit;
        !crowded && self.free() >= request.memory
    }

    /// Whether the request could start on it if it were empty.
    fn could_fit(&self, request: &LeaseRequest) -> bool {
        self.suits
            && !self.held_back
            && self.capacity.is_none_or(|capacity| capacity.saturating_sub(self.foreign) >= request.memory)
    }
}

/// The places of the cards that a request gets now, or `None` if it must wait.
///
/// Best fit: among the cards on which it fits, those with the least memory to spare, so that large tasks still
/// find room; among equals those with fewer tasks training, so that a group spreads over equal cards; then the
/// order of the table.
#[must_use]
pub fn place(cards: &[CardView], request: &LeaseRequest, max_per_device: u32) -> Option<Vec<usize>> {
    let mut fitting: Vec<&CardView> =
        cards.iter().filter(|card| card.fits(request, max_per_device)).collect();
    // Cards of one size count as equal whatever their load: best fit decides between sizes, spreading within.
    fitting.sort_by_key(|card| (card.capacity, card.training, card.free(), card.place));
    let wanted = request.devices as usize;
    (fitting.len() >= wanted).then(|| fitting[..wanted].iter().map(|card| card.place).collect())
}

/// The cards to keep back for a request that must wait: those that can be emptied for it soonest, taken to be
/// those with the fewest tasks on them.
#[must_use]
pub fn hold_back(cards: &[CardView], request: &LeaseRequest) -> Vec<usize> {
    let mut candidates: Vec<&CardView> = cards.iter().filter(|card| card.could_fit(request)).collect();
    candidates.sort_by_key(|card| (card.training + card.resident, card.capacity, card.place));
    candidates.truncate(request.devices as usize);
    candidates.iter().map(|card| card.place).collect()
}
