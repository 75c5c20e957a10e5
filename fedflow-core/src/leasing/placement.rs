//! Placement: which devices a request gets. It is pure: views of cards go in, places come out.

use std::cmp::Reverse;

use crate::leasing::lease::LeaseRequest;
use crate::model::memory::card_limits::CardLimits;
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
    pub(super) limits: Option<CardLimits>,
    /// The memory that is booked on it or used by processes without a lease.
    pub(super) used: Size,
    /// The part of that which no end of a lease frees: processes without a lease use it, or it is in quarantine.
    pub(super) lasting: Size,
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
        let Some(limits) = self.limits else { return self.training == 0 };
        let is_alone = self.training == 0 && self.resident == 0;
        if request.exclusive && !is_alone {
            return false;
        }
        // A task without an estimate might need any amount. It shares the card with others only up to the number that
        // the configuration allows, whether they have an estimate or not.
        let most = max_per_device.max(1) as usize;
        let crowded = (!request.estimated || self.unestimated > 0) && self.training >= most;
        !crowded && self.used + request.memory <= limits.of(is_alone)
    }

    /// The size that counts when cards are compared.
    fn size(&self) -> Option<Size> {
        self.limits.map(|limits| limits.shared)
    }

    fn free(&self) -> Option<Size> {
        self.limits.map(|limits| limits.shared.saturating_sub(self.used))
    }

    /// The card when all leases on it have ended.
    fn emptied(&self) -> Self {
        Self {
            used: self.lasting,
            training: 0,
            resident: 0,
            exclusive: false,
            unestimated: 0,
            ..self.clone()
        }
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
    let largest = largest_wanted(cards, request, max_per_device);
    let mut fitting: Vec<&CardView> =
        cards.iter().filter(|card| card.fits(request, max_per_device) && card.size() >= largest).collect();
    if request.roomy {
        fitting.sort_by_key(|card| (Reverse(card.free()), card.training, card.place));
    } else {
        let size = |card: &CardView| card.size().filter(|_| request.estimated);
        fitting.sort_by_key(|card| (size(card), card.training, card.place));
    }
    let wanted = request.devices as usize;
    (fitting.len() >= wanted).then(|| fitting[..wanted].iter().map(|card| card.place).collect())
}

/// The size that a card must have. For a last try alone on a card, after running out of memory, it is the largest of
/// those that the request can get at all, as leases end.
fn largest_wanted(cards: &[CardView], request: &LeaseRequest, max_per_device: u32) -> Option<Size> {
    let last_try = request.roomy && request.exclusive;
    let comes =
        |card: &CardView| CardView { held_back: false, ..card.emptied() }.fits(request, max_per_device);
    let suiting = cards.iter().filter(|card| last_try && comes(card));
    let mut sizes: Vec<Option<Size>> = suiting.map(CardView::size).collect();
    sizes.sort_unstable();
    // As many cards must remain as the request asks for.
    sizes.iter().rev().nth((request.devices as usize).saturating_sub(1)).copied().flatten()
}

/// The cards to keep free for a request that must wait: those that can be emptied soonest. These are assumed to be the
/// ones with the fewest tasks. None are kept free for a request that the end of all leases would not satisfy.
#[must_use]
pub(super) fn hold_back(cards: &[CardView], request: &LeaseRequest, max_per_device: u32) -> Vec<usize> {
    let largest = largest_wanted(cards, request, max_per_device);
    let comes = |card: &&CardView| card.emptied().fits(request, max_per_device) && card.size() >= largest;
    let mut candidates: Vec<&CardView> = cards.iter().filter(comes).collect();
    if candidates.len() < request.devices as usize {
        return Vec::new();
    }
    if request.roomy {
        candidates.sort_by_key(|card| (Reverse(card.size()), card.training + card.resident, card.place));
    } else {
        candidates.sort_by_key(|card| (card.training + card.resident, card.size(), card.place));
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
        assert_eq!(hold_back(&busy, &alone, 4), [1]);
        assert_eq!(
            place(&cards, &LeaseRequest { devices: 3, ..alone }, 4),
            None,
            "one of the three is taken"
        );
    }

    fn request(devices: u32, gigabytes: u64) -> LeaseRequest {
        LeaseRequest {
            devices,
            ..LeaseRequest::new(TaskKey { group: 1, place: 0 }, Size::from_gb(gigabytes))
        }
    }

    fn card(place: usize, capacity: u64, used: u64, training: usize) -> CardView {
        CardView {
            place,
            suits: true,
            held_back: false,
            limits: Some(Size::from_gb(capacity).into()),
            used: Size::from_gb(used),
            lasting: Size::ZERO,
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
    }

    /// A display server is enough to use some of a card for ever.
    #[test]
    fn foreign_memory_takes_room_and_keeps_no_exclusive_task_away() {
        let beside_foreign = [CardView { lasting: Size::from_gb(1), ..card(0, 24, 1, 0) }];
        let alone = |gigabytes| LeaseRequest { exclusive: true, ..request(1, gigabytes) };
        assert_eq!(place(&beside_foreign, &alone(23), 1), Some(vec![0]));
        assert_eq!(place(&beside_foreign, &alone(24), 1), None);
        assert_eq!(hold_back(&beside_foreign, &alone(24), 1), [0; 0], "no lease is in its way");
        let shared = [CardView { lasting: Size::from_gb(1), ..card(0, 24, 9, 1) }];
        assert_eq!(hold_back(&shared, &alone(23), 1), [0]);
        assert_eq!(hold_back(&shared, &LeaseRequest { devices: 2, ..alone(3) }, 1), [0; 0]);
    }

    #[test]
    fn a_last_try_takes_the_largest_card_that_it_can_get() {
        let last_try = LeaseRequest { exclusive: true, roomy: true, ..request(1, 20) };
        let taken_for_ever = CardView { lasting: Size::from_gb(40), ..card(1, 48, 40, 0) };
        assert_eq!(place(&[card(0, 24, 0, 0), taken_for_ever], &last_try, 1), Some(vec![0]));
    }

    #[test]
    fn alone_on_a_card_a_task_may_have_more() {
        let limits =
            CardLimits { shared: Size::from_gb(19), alone: Size::from_gb(22), whole: Size::from_gb(24) };
        let card = |used, training| CardView { limits: Some(limits), ..card(0, 24, used, training) };
        assert_eq!(place(&[card(0, 0)], &request(1, 22), 1), Some(vec![0]));
        assert_eq!(place(&[card(0, 0)], &request(1, 23), 1), None);
        assert_eq!(place(&[card(10, 1)], &request(1, 9), 1), Some(vec![0]));
        assert_eq!(place(&[card(10, 1)], &request(1, 10), 1), None);
        assert_eq!(place(&[CardView { resident: 1, ..card(10, 0) }], &request(1, 10), 1), None);
        assert_eq!(hold_back(&[card(10, 1)], &request(1, 22), 1), [0]);
    }

    prop_compose! {
        fn any_card()(
            capacity in prop::option::weighted(0.8, (0_u64..40, 0_u64..9)), used in 0_u64..40, lasting in 0_u64..40,
            training in 0_usize..3,
            resident in 0_usize..2, exclusive: bool, suits: bool, held_back: bool, unestimated in 0_usize..2,
        ) -> CardView {
            CardView {
                place: 0,
                suits,
                held_back,
                limits: capacity.map(|(shared, more)| {
                    let [shared, alone] = [shared, shared + more].map(Size::from_gb);
                    CardLimits { shared, alone, whole: alone }
                }),
                used: Size::from_gb(used),
                lasting: Size::from_gb(lasting.min(used)),
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
                if let Some(limits) = card.limits {
                    let is_alone = card.training + card.resident == 0;
                    prop_assert!(card.used + request.memory <= limits.alone, "overbooked");
                    prop_assert!(is_alone || card.used + request.memory <= limits.shared, "overbooked");
                    prop_assert!(!exclusive || (card.training == 0 && card.resident == 0));
                } else {
                    prop_assert_eq!(card.training, 0);
                }
            }
            places.sort_unstable();
            places.dedup();
            prop_assert!(places.is_empty() || places.len() == devices as usize, "one card twice");
        }

        /// What is kept free for a request is what it gets when all leases have ended, or nothing.
        #[test]
        fn nothing_is_held_back_for_what_cannot_come(
            mut cards in prop::collection::vec(any_card(), 0..6),
            devices in 1_u32..4, gigabytes in 0_u64..40, exclusive: bool, estimated: bool, roomy: bool, limit in 1_u32..3,
        ) {
            for (place, card) in cards.iter_mut().enumerate() {
                card.place = place;
            }
            let request = LeaseRequest { exclusive, estimated, roomy, ..request(devices, gigabytes) };
            let held = hold_back(&cards, &request, limit);
            let emptied: Vec<CardView> = cards.iter().map(CardView::emptied).collect();
            let only_held: Vec<CardView> =
                emptied.iter().filter(|card| held.contains(&card.place)).cloned().collect();
            if held.is_empty() {
                prop_assert_eq!(place(&emptied, &request, limit), None, "it could come, and may wait for ever");
            } else {
                prop_assert!(place(&only_held, &request, limit).is_some(), "held back for what cannot come");
            }
        }
    }
}
