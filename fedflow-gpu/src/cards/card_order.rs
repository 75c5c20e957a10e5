//! The order in which cards are tried for a lease: `gpu-priority.strategy` and `gpu-priority.reverse`.

use std::cmp::Reverse;

use fedflow_core::{GpuPriority, GpuStrategy, Size};

/// What cards are compared by. An unknown value comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CardRank {
    /// The place on the PCI bus.
    pub(crate) place: u32,
    pub(crate) total: Option<Size>,
    pub(crate) free: Option<Size>,
    /// Cores times clock.
    pub(crate) speed: Option<u64>,
}

/// Sorts cards so that the preferred ones come first, and equal ones in the order of the PCI bus.
pub(crate) fn sort_by_priority<T>(cards: &mut [T], priority: GpuPriority, rank: impl Fn(&T) -> CardRank) {
    cards.sort_by_key(|card| {
        let rank = rank(card);
        let measure = match priority.strategy {
            GpuStrategy::Pci => None,
            GpuStrategy::TotalMem => rank.total.map(Size::bytes),
            GpuStrategy::RemainMem => rank.free.map(Size::bytes),
            GpuStrategy::Performance => rank.speed,
        };
        (Reverse(measure), rank.place)
    });
    if priority.reverse {
        cards.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(strategy: GpuStrategy, reverse: bool) -> Vec<u32> {
        let gb = |n| Some(Size::from_gb(n));
        let mut cards = [
            CardRank { place: 2, total: gb(24), free: gb(1), speed: Some(9) },
            CardRank { place: 0, total: gb(8), free: gb(8), speed: Some(5) },
            CardRank { place: 3, total: None, free: None, speed: None },
            CardRank { place: 1, total: gb(24), free: gb(20), speed: Some(5) },
        ];
        sort_by_priority(&mut cards, GpuPriority { strategy, reverse }, |rank| *rank);
        cards.iter().map(|rank| rank.place).collect()
    }

    #[test]
    fn the_orders() {
        assert_eq!(order(GpuStrategy::Pci, false), [0, 1, 2, 3]);
        assert_eq!(order(GpuStrategy::TotalMem, false), [1, 2, 0, 3]);
        assert_eq!(order(GpuStrategy::RemainMem, false), [1, 0, 2, 3]);
        assert_eq!(order(GpuStrategy::Performance, false), [2, 0, 1, 3]);
        assert_eq!(order(GpuStrategy::Performance, true), [3, 1, 0, 2]);
    }
}
