//! `UnreleasedMemory`: a card's memory that is still in use after the process that leased it has ended.
//!
//! Usually a process's memory is free as soon as the process has ended. Memory that is still used then, and that no
//! process accounts for, is not leased again. Memory that stays unreleased for too long is quarantined: a warning says so
//! once, and the card counts as that much smaller until the memory is free.

use std::time::Duration;

use fedflow_core::{Size, Time};

/// The unreleased memory of one card.
#[derive(Debug, Default)]
pub(super) struct UnreleasedMemory {
    /// Shares of leases whose process has ended, and when it ended.
    pending: Vec<(Time, Size)>,
    /// Memory that has been unreleased for too long.
    quarantined: Size,
}

/// How the quarantined memory of a card has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuarantineChange {
    None,
    /// More is quarantined than before. Holds all that is quarantined now.
    Grown(Size),
    /// Nothing is quarantined any more.
    Cleared,
}

impl UnreleasedMemory {
    /// Notes that a process has ended and should have released its share.
    pub(super) fn expect(&mut self, share: Size, now: Time) {
        self.pending.push((now, share));
    }

    /// Whether no memory can be unreleased.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.quarantined == Size::ZERO
    }

    /// When the first process ended whose memory may be unreleased and is not quarantined yet.
    pub(super) fn longest_pending(&self) -> Option<Time> {
        self.pending.iter().map(|(since, _)| *since).min()
    }

    /// The most that can be unreleased: more was never leased here.
    pub(super) fn at_most(&self) -> Size {
        self.pending.iter().map(|(_, share)| *share).sum::<Size>() + self.quarantined
    }

    /// The quarantined memory.
    pub(super) fn quarantined(&self) -> Size {
        self.quarantined
    }

    /// Takes in how much memory is unreleased now, at most [`Self::at_most`]. Memory that has been unreleased for
    /// `bound` is quarantined.
    pub(super) fn update(&mut self, unreleased: Size, now: Time, bound: Duration) -> QuarantineChange {
        let before = self.quarantined;
        if unreleased == Size::ZERO {
            self.pending.clear();
        }
        let is_overdue = |since: Time| now.since(since) >= bound;
        let overdue: Size =
            self.pending.iter().filter(|(since, _)| is_overdue(*since)).map(|(_, share)| *share).sum();
        self.pending.retain(|(since, _)| !is_overdue(*since));
        self.quarantined = (self.quarantined + overdue).min(unreleased);
        match self.quarantined {
            Size::ZERO if before > Size::ZERO => QuarantineChange::Cleared,
            grown if grown > before => QuarantineChange::Grown(grown),
            _ => QuarantineChange::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUND: Duration = Duration::from_secs(10);

    #[test]
    fn memory_that_is_released_in_time_is_forgotten() {
        let (mut card, start) = (UnreleasedMemory::default(), Time::ZERO);
        card.expect(Size::from_gb(5), start);
        assert_eq!(card.update(Size::from_gb(1), start, BOUND), QuarantineChange::None);
        assert!(!card.is_idle());
        assert_eq!(card.update(Size::ZERO, start + BOUND, BOUND), QuarantineChange::None);
        assert!(card.is_idle());
    }

    #[test]
    fn memory_that_is_not_released_is_quarantined_until_it_is() {
        let (mut card, start) = (UnreleasedMemory::default(), Time::ZERO);
        let gb = Size::from_gb;
        card.expect(gb(5), start);
        assert_eq!(card.update(gb(3), start + BOUND, BOUND), QuarantineChange::Grown(gb(3)));
        assert_eq!(card.update(gb(3), start + BOUND, BOUND), QuarantineChange::None, "reported once");
        // Another process ends and releases all its memory.
        card.expect(gb(5), start + BOUND);
        assert_eq!(card.update(gb(3), start + BOUND + BOUND, BOUND), QuarantineChange::None);
        assert_eq!((card.quarantined(), card.at_most()), (gb(3), gb(3)));
        assert_eq!(card.update(gb(1), start + BOUND + BOUND, BOUND), QuarantineChange::None);
        assert_eq!(card.quarantined(), gb(1));
        assert_eq!(card.update(Size::ZERO, start + BOUND + BOUND, BOUND), QuarantineChange::Cleared);
        assert!(card.is_idle());
    }

    proptest! {
        /// Never more is quarantined than is unreleased, or than was leased.
        #[test]
        fn no_more_is_quarantined_than_is_unreleased(
            steps in proptest::collection::vec((proptest::option::of(0..24_u64), 0..24_u64, 0..8_u64), 1..40),
        ) {
            let (mut card, mut now) = (UnreleasedMemory::default(), Time::ZERO);
            for (share, unreleased, seconds) in steps {
                now = now + Duration::from_secs(seconds);
                if let Some(share) = share {
                    card.expect(Size::from_gb(share), now);
                }
                let unreleased = Size::from_gb(unreleased).min(card.at_most());
                let before = card.quarantined();
                let change = card.update(unreleased, now, BOUND);
                prop_assert!(card.quarantined() <= unreleased);
                prop_assert_eq!(matches!(change, QuarantineChange::Grown(_)), card.quarantined() > before);
                prop_assert_eq!(change == QuarantineChange::Cleared, before > Size::ZERO && card.quarantined() == Size::ZERO);
            }
        }
    }
}
