//! Placement: which devices a request gets. It is pure: views of cards go in, places come out.

use std::cmp::Reverse;

use crate::leasing::lease::LeaseRequest;
use crate::model::quantity::Size;

/// A card as placement sees it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CardView {
    /// Its place in the table. Of equal cards the first is preferred.
    pub(super) place: usize,
    /// Whether the card exists and the request's pin allows it.
    pub(super) suits: bool,
    /// Whether it is kept free for another request.
    pub(super) held_back: bool,
    /// The most memory that may be used on it; `None`: one lease at a time, and memory does not count.
    pub(super) capacity: Option<Size>,
    /// The memory that is booked on it or used by processes without a lease.
    pub(super) used: Size,
    /// The part of that which processes without a lease use.
    pub(super) foreign: Size,
    /// How many tasks train on it.
    pub(super) training: usize,
    /// How many processes keep memory on it after their training.
    pub(super) resident: usize,
    /// Whether a task that trains on it has it alone.
    pub(super) exclusive: bool,
    /// How many of the tasks that train on it have no estimate of their memory.
    pub(super) unestimated: usize,
}

impl CardView {
    /// Whether the request could start on it now.
    fn fits(&self, request: &LeaseRequest, max_per_device: u32) -> bool {
        if !self.suits || self.held_back || self.exclusive {
            return false;
        }
        let Some(capacity) = self.capacity else { return self.training == 0 };
        if request.exclusive && (self.training > 0 || self.resident > 0 || self.foreign > Size::ZERO) {
            return false;
        }
        // A task without an estimate might need any amount. It shares the card with others only up to the number that
        // the configuration allows, whether they have an estimate or not.
        let limit = max_per_device as usize;
        let crowded = (!request.estimated || self.unestimated > 0) && self.training >= limit;
        !crowded && self.used + request.memory <= capacity
    }

    fn free(&self) -> Option<Size> {
        self.capacity.map(|capacity| capacity.saturating_sub(self.used))
    }

    /// Whether the request could start on it if it were empty.
    fn could_fit(&self, request: &LeaseRequest) -> bool {
        self.suits
            && !self.held_back
            && self.capacity.is_none_or(|capacity| self.foreign + request.memory <= capacity)
    }
}

/// The places of the cards that a request gets now; `None` if it must wait.
///
/// The best fit is chosen: of the cards that have room, one of the smallest size, so that large tasks still find room.
/// Of equal cards, one with the fewest tasks that train, so that a group spreads. Then the order of the table decides.
/// Without an estimate there is no best fit. Only the number of tasks and the order of the table count, so that the
/// task goes where `gpu-priority` says.
///
/// A task that has run out of memory before goes to the card with the most free memory, as it needs more than was
/// thought.
#[must_use]
pub(super) fn place(cards: &[CardView], request: &LeaseRequest, max_per_device: u32) -> Option<Vec<usize>> {
    let largest = largest_wanted(cards, request);
    let mut fitting: Vec<&CardView> =
        cards.iter().filter(|card| card.fits(request, max_per_device) && card.capacity >= largest).collect();
    if request.roomy {
        fitting.sort_by_key(|card| (Reverse(card.free()), card.training, card.place));
    } else {
        let size = |card: &CardView| card.capacity.filter(|_| request.estimated);
        fitting.sort_by_key(|card| (size(card), card.training, card.place));
    }
    let wanted = request.devices as usize;
    (fitting.len() >= wanted).then(|| fitting[..wanted].iter().map(|card| card.place).collect())
}

/// The size that a card must have. For a last try alone on a card, after running out of memory, it is the largest.
fn largest_wanted(cards: &[CardView], request: &LeaseRequest) -> Option<Size> {
    let suiting = cards.iter().filter(|card| card.suits && request.roomy && request.exclusive);
    let mut sizes: Vec<Option<Size>> = suiting.map(|card| card.capacity).collect();
    sizes.sort_unstable();
    // As many cards must remain as the request asks for.
    sizes.iter().rev().nth((request.devices as usize).saturating_sub(1)).copied().flatten()
}

/// The cards to keep free for a request that must wait: those that can be emptied soonest. These are assumed to be the
/// ones with the fewest tasks.
#[must_use]
pub(super) fn hold_back(cards: &[CardView], request: &LeaseRequest) -> Vec<usize> {
    let largest = largest_wanted(cards, request);
    let mut candidates: Vec<&CardView> =
        cards.iter().filter(|card| card.could_fit(request) && card.capacity >= largest).collect();
    if request.roomy {
        candidates.sort_by_key(|card| (Reverse(card.capacity), card.training + card.resident, card.place));
    } else {
        candidates.sort_by_key(|card| (card.training + card.resident, card.capacity, card.place));
    }
    candidates.truncate(request.devices as usize);
    candidates.iter().map(|card| card.place).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::identity::TaskKey;

    #[test]
    fn what_ran_out_of_memory_goes_where_most_is_free_and_at_last_to_the_largest() {
        let cards = [card(0, 24, 0, 0), card(1, 48, 0, 0), card(2, 48, 40, 1)];
        assert_eq!(place(&cards, &request(1, 3), 4), Some(vec![0]), "best fit");
        let again = LeaseRequest { roomy: true, ..request(1, 3) };
        assert_eq!(place(&cards, &again, 4), Some(vec![1]));
        let alone = LeaseRequest { exclusive: true, ..again };
        assert_eq!(place(&cards, &alone, 4), Some(vec![1]));
        let busy = [card(0, 24, 0, 0), card(1, 48, 1, 1), card(2, 48, 40, 1)];
        assert_eq!(place(&busy, &alone, 4), None, "it waits for a large one");
        assert_eq!(hold_back(&busy, &alone), [1]);
        assert_eq!(
            place(&cards, &LeaseRequest { devices: 3, ..alone }, 4),
            None,
            "one of the three is taken"
        );
    }

    fn request(devices: u32, gigabytes: u64) -> LeaseRequest {
        LeaseRequest {
            holder: TaskKey { group: 1, place: 0 },
            devices,
            memory: Size::from_gb(gigabytes),
            estimated: true,
            exclusive: false,
            pin: None,
            hold: false,
            replaces: None,
            roomy: false,
        }
    }

    fn card(place: usize, capacity: u64, used: u64, training: usize) -> CardView {
        CardView {
            place,
            suits: true,
            held_back: false,
            capacity: Some(Size::from_gb(capacity)),
            used: Size::from_gb(used),
            foreign: Size::ZERO,
            training,
            resident: 0,
            exclusive: false,
            unestimated: 0,
        }
    }

    #[test]
    fn small_tasks_leave_the_large_card_to_large_ones() {
        let cards = [card(0, 80, 0, 0), card(1, 24, 4, 1)];
        assert_eq!(place(&cards, &request(1, 4), 1), Some(vec![1]));
        assert_eq!(place(&cards, &request(1, 40), 1), Some(vec![0]));
    }

    #[test]
    fn what_nobody_estimated_goes_where_the_table_says() {
        let unknown = LeaseRequest { estimated: false, ..request(1, 2) };
        let cards = [card(0, 80, 0, 0), card(1, 24, 0, 0)];
        assert_eq!(place(&cards, &unknown, 1), Some(vec![0]));
        assert_eq!(place(&cards, &request(1, 2), 1), Some(vec![1]));
    }

    #[test]
    fn a_group_spreads_over_equal_cards() {
        let cards = [card(0, 24, 4, 1), card(1, 24, 0, 0)];
        assert_eq!(place(&cards, &request(1, 4), 1), Some(vec![1]));
    }

    #[test]
    fn tasks_that_nobody_estimated_keep_apart() {
        let unknown = LeaseRequest { estimated: false, ..request(1, 2) };
        let cards = [card(0, 24, 2, 1)];
        assert_eq!(place(&cards, &unknown, 1), None);
        assert_eq!(place(&cards, &unknown, 2), Some(vec![0]));
        let beside_unknown = [CardView { unestimated: 1, ..card(0, 24, 2, 1) }];
        assert_eq!(place(&beside_unknown, &request(1, 2), 1), None);
    }

    #[test]
    fn an_exclusive_task_wants_an_empty_card() {
        let alone = LeaseRequest { exclusive: true, ..request(1, 2) };
        assert_eq!(place(&[card(0, 24, 0, 0)], &alone, 1), Some(vec![0]));
        assert_eq!(place(&[CardView { resident: 1, ..card(0, 24, 1, 0) }], &alone, 1), None);
        assert_eq!(place(&[CardView { foreign: Size::from_gb(1), ..card(0, 24, 1, 0) }], &alone, 1), None);
    }

    prop_compose! {
        fn any_card()(
            capacity in prop::option::weighted(0.8, 0_u64..40), used in 0_u64..40, training in 0_usize..3,
            resident in 0_usize..2, exclusive: bool, suits: bool, held_back: bool, unestimated in 0_usize..2,
        ) -> CardView {
            CardView {
                place: 0,
                suits,
                held_back,
                capacity: capacity.map(Size::from_gb),
                used: Size::from_gb(used),
                foreign: Size::ZERO,
                training,
                resident,
                exclusive: exclusive && training == 1,
                unestimated: unestimated.min(training),
            }
        }
    }

    proptest! {
        #[test]
        fn a_request_is_met_exactly_when_enough_cards_fit(
            mut cards in prop::collection::vec(any_card(), 0..6),
            devices in 1_u32..4, gigabytes in 0_u64..20, exclusive: bool, estimated: bool, limit in 1_u32..3,
        ) {
            for (place, card) in cards.iter_mut().enumerate() {
                card.place = place;
            }
            let request = LeaseRequest { exclusive, estimated, ..request(devices, gigabytes) };
            let fitting = cards.iter().filter(|card| card.fits(&request, limit)).count();
            let placed = place(&cards, &request, limit);
            prop_assert_eq!(placed.is_some(), fitting >= devices as usize, "idles or overbooks");
            let mut places = placed.unwrap_or_default();
            for &place in &places {
                let card = &cards[place];
                prop_assert!(card.suits && !card.held_back && !card.exclusive);
                if let Some(capacity) = card.capacity {
                    prop_assert!(card.used + request.memory <= capacity, "overbooked");
                    prop_assert!(!exclusive || (card.training == 0 && card.resident == 0));
                } else {
                    prop_assert_eq!(card.training, 0);
                }
            }
            places.sort_unstable();
            places.dedup();
            prop_assert!(places.is_empty() || places.len() == devices as usize, "one card twice");
        }
    }
}
