//! `CardLimits`: how much of a card's memory may be leased.

use super::quantity::Size;

/// How much of a card's memory may be leased. What other programs use there comes out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardLimits {
    /// By all leases together.
    pub shared: Size,
    /// By a lease that is alone on the card.
    pub alone: Size,
    /// What there is, with no limit of the configuration.
    pub whole: Size,
}

impl CardLimits {
    /// The limits of a card of which a part cannot be used.
    pub(crate) fn without(self, part: Size) -> Self {
        let Self { shared, alone, whole } = self;
        let [shared, alone, whole] = [shared, alone, whole].map(|size| size.saturating_sub(part));
        Self { shared, alone, whole }
    }

    /// What leases may book in all, when one of them is or is not alone on the card.
    pub(crate) fn of(self, is_alone: bool) -> Size {
        if is_alone { self.alone } else { self.shared }
    }
}

impl From<Size> for CardLimits {
    /// One limit for all cases.
    fn from(size: Size) -> Self {
        Self { shared: size, alone: size, whole: size }
    }
}
