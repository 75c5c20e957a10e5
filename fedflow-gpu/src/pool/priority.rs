//! The order in which cards are preferred: `gpu-priority.strategy` and `gpu-priority.reverse`.

use std::cmp::Reverse;

use fedflow_core::{GpuPriority, GpuStrategy, Size};

/// What cards are compared by. What is unknown comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rank {
    /// The place on the bus.
    pub(super) place: u32,
    pub(super) total: Option<Size>,
    pub(super) free: Option<Size>,
    pub(super) speed: Option<u64>,
}

/// Sorts cards, the preferred first. Equals are in the order of the bus.
pub(super) fn sort<T>(cards: &mut [T], priority: GpuPriority, rank: impl Fn(&T) -> Rank) {
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
            Rank { place: 2, total: gb(24), free: gb(1), speed: Some(9) },
            Rank { place: 0, total: gb(8), free: gb(8), speed: Some(5) },
            Rank { place: 3, total: None, free: None, speed: None },
            Rank { place: 1, total: gb(24), free: gb(20), speed: Some(5) },
        ];
        sort(&mut cards, GpuPriority { strategy, reverse }, |rank| *rank);
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
