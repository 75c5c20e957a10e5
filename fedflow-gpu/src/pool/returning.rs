//! `Returning`: what becomes of a card's memory after the processes that used it have ended.
//!
//! A process that has ended gives its memory back at once. What is still used then and belongs to nobody is not leased
//! again. What does not come back within a bound is quarantined: people are told once, and the card counts as that much
//! smaller until it does come back.

use std::time::Duration;

use fedflow_core::{Size, Time};

/// The memory of one card that should come back, and what did not.
#[derive(Debug, Default)]
pub(super) struct Returning {
    /// Shares of leases that were released, and when.
    pending: Vec<(Time, Size)>,
    lost: Size,
}

/// What a look at a card has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// So much in all is quarantined now, more than before.
    Lost(Size),
    /// Nothing is quarantined any more.
    Back,
}

impl Returning {
    /// A lease is released: its process has ended.
    pub(super) fn expect(&mut self, share: Size, now: Time) {
        self.pending.push((now, share));
    }

    /// Whether there is anything to look for.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.lost == Size::ZERO
    }

    /// When the process ended of which memory has been missing for longest, but not for too long.
    pub(super) fn waits_since(&self) -> Option<Time> {
        self.pending.iter().map(|(since, _)| *since).min()
    }

    /// The most that can be missing: what is beyond it was never ours.
    pub(super) fn most(&self) -> Size {
        self.pending.iter().map(|(_, share)| *share).sum::<Size>() + self.lost
    }

    /// What is quarantined.
    pub(super) fn lost(&self) -> Size {
        self.lost
    }

    /// Takes in that so much is used that belongs to nobody, at most [`Self::most`].
    pub(super) fn look(&mut self, missing: Size, now: Time, bound: Duration) -> Change {
        let before = self.lost;
        if missing == Size::ZERO {
            self.pending.clear();
        }
        let is_over = |since: Time| now.since(since) >= bound;
        let overdue: Size =
            self.pending.iter().filter(|(since, _)| is_over(*since)).map(|(_, share)| *share).sum();
        self.pending.retain(|(since, _)| !is_over(*since));
        self.lost = (self.lost + overdue).min(missing);
        match self.lost {
            Size::ZERO if before > Size::ZERO => Change::Back,
            lost if lost > before => Change::Lost(lost),
            _ => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUND: Duration = Duration::from_secs(10);

    #[test]
    fn what_comes_back_in_time_is_forgotten() {
        let (mut card, start) = (Returning::default(), Time::ZERO);
        card.expect(Size::from_gb(5), start);
        assert_eq!(card.look(Size::from_gb(1), start, BOUND), Change::None);
        assert!(!card.is_idle());
        assert_eq!(card.look(Size::ZERO, start + BOUND, BOUND), Change::None);
        assert!(card.is_idle());
    }

    #[test]
    fn what_does_not_is_lost_until_it_does() {
        let (mut card, start) = (Returning::default(), Time::ZERO);
        let gb = Size::from_gb;
        card.expect(gb(5), start);
        assert_eq!(card.look(gb(3), start + BOUND, BOUND), Change::Lost(gb(3)));
        assert_eq!(card.look(gb(3), start + BOUND, BOUND), Change::None, "told once");
        // Another one ends, and leaves nothing.
        card.expect(gb(5), start + BOUND);
        assert_eq!(card.look(gb(3), start + BOUND + BOUND, BOUND), Change::None);
        assert_eq!((card.lost(), card.most()), (gb(3), gb(3)));
        assert_eq!(card.look(gb(1), start + BOUND + BOUND, BOUND), Change::None);
        assert_eq!(card.lost(), gb(1));
        assert_eq!(card.look(Size::ZERO, start + BOUND + BOUND, BOUND), Change::Back);
        assert!(card.is_idle());
    }

    proptest! {
        /// Never more is lost than is missing, or than was ours.
        #[test]
        fn no_more_is_lost_than_is_missing(
            steps in proptest::collection::vec((proptest::option::of(0..24_u64), 0..24_u64, 0..8_u64), 1..40),
        ) {
            let (mut card, mut now) = (Returning::default(), Time::ZERO);
            for (share, missing, seconds) in steps {
                now = now + Duration::from_secs(seconds);
                if let Some(share) = share {
                    card.expect(Size::from_gb(share), now);
                }
                let missing = Size::from_gb(missing).min(card.most());
                let before = card.lost();
                let change = card.look(missing, now, BOUND);
                prop_assert!(card.lost() <= missing);
                prop_assert_eq!(matches!(change, Change::Lost(_)), card.lost() > before);
                prop_assert_eq!(change == Change::Back, before > Size::ZERO && card.lost() == Size::ZERO);
            }
        }
    }
}
