//! `Aside`: what of a table's devices is set aside for claims of other runs.

use crate::leasing::card::{Card, OtherRuns};
use crate::leasing::claim::{Claim, Foreseen};

/// What is set aside on a table's devices for claims that come before a request of this run.
#[derive(Debug)]
pub struct Aside<'a> {
    pub(super) cards: &'a mut [Card],
    /// The places of the devices that are kept free for requests of this run.
    pub(super) held: Vec<usize>,
}

impl Aside<'_> {
    /// When a claim can be met, beside what is set aside. One that `heeds_hold` gets none of the devices that are kept free
    /// for a request of this run.
    #[must_use]
    pub fn foresee(&self, claim: &Claim, heeds_hold: bool) -> Foreseen {
        let views = claim.cards.iter().filter_map(|(place, limits)| {
            let is_held = heeds_hold && self.held.contains(place);
            Some(self.cards.get(*place)?.view_of_claim(*place, claim, *limits, is_held))
        });
        claim.foresee(&views.collect::<Vec<_>>())
    }

    /// Sets aside what a claim gets: until [`Self::clear`] no other request gets it.
    pub fn add(&mut self, claim: &Claim, foreseen: &Foreseen) {
        let (places, is_now) = match foreseen {
            Foreseen::Now(places) => (&places[..], true),
            Foreseen::Later(places) | Foreseen::Unclear(places) => (&places[..], false),
            Foreseen::Never => (&[][..], false),
        };
        for place in places {
            match self.cards.get_mut(*place) {
                Some(card) if is_now => card.set_aside(claim),
                Some(card) => card.withheld = true,
                None => {}
            }
        }
    }

    /// Sets aside what is set aside in another table, which has the same devices and perhaps more.
    pub fn copy(&mut self, other: &Aside<'_>) {
        for (card, like) in self.cards.iter_mut().zip(other.cards.iter()) {
            (card.aside, card.withheld) = (like.aside, like.withheld);
        }
    }

    /// Sets nothing aside any more.
    pub fn clear(&mut self) {
        for card in self.cards.iter_mut() {
            (card.aside, card.withheld) = (OtherRuns::default(), false);
        }
    }
}
