//! `Peaks`: the most memory that each of the last tasks of a family used, and what the next one is expected to use.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::quantity::Size;

/// How many peaks are remembered. Older ones mostly stem from code that has changed since.
pub(super) const REMEMBERED: usize = 32;

/// The fraction of the tasks for which an estimate is enough, as far as peaks tell. An estimate that is too small costs
/// a training, one that is too large a little room.
const QUANTILE: f64 = 0.95;

/// The fraction of a quantile that is added to it, as the next peak may be higher.
const MARGIN: f64 = 0.02;
/// A further fraction for a single peak, which shrinks as more peaks are known.
const MARGIN_OF_ONE: f64 = 0.10;
/// The least that is added, as the memory of a runtime itself makes small peaks vary.
const LEAST_MARGIN: Size = Size::from_bytes(64 << 20);

/// The peaks of one kind of memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Peaks {
    /// The latest is last. Invariant: at most [`REMEMBERED`].
    recent: VecDeque<Size>,
    /// A task was out of memory with less than this. It holds until that task has shown what it needs, or until enough
    /// other tasks have.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<Floor>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Floor {
    at_least: Size,
    holds_for: usize,
}

impl Peaks {
    /// Takes the most memory that a task has used.
    pub(super) fn observe(&mut self, peak: Size) {
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(peak);
        if let Some(floor) = &mut self.floor {
            floor.holds_for = floor.holds_for.saturating_sub(1);
        }
        self.floor = self.floor.filter(|floor| floor.holds_for > 0);
    }

    /// A task was out of memory and will be given `at_least`.
    pub(super) fn raise(&mut self, at_least: Size) {
        let before = self.floor.map_or(Size::ZERO, |floor| floor.at_least);
        self.floor = Some(Floor { at_least: at_least.max(before), holds_for: REMEMBERED });
    }

    /// The task that was out of memory has shown what it needs.
    pub(super) fn settle(&mut self) {
        self.floor = None;
    }

    /// What the next task is expected to need; `None` if nothing is known.
    pub(super) fn estimate(&self) -> Option<Size> {
        let floor = self.floor.map(|floor| floor.at_least);
        self.quantile().map(|peak| with_margin(peak, self.recent.len())).max(floor)
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.floor.is_none()
    }

    /// Brings what was read from elsewhere within the limits.
    pub(super) fn bound(&mut self) {
        self.recent.drain(..self.recent.len().saturating_sub(REMEMBERED));
        if let Some(floor) = &mut self.floor {
            floor.holds_for = floor.holds_for.min(REMEMBERED);
        }
    }

    /// The quantile of the peaks, by the nearest rank.
    fn quantile(&self) -> Option<Size> {
        let mut sorted: Vec<Size> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few dozen"
        )]
        let rank = (sorted.len() as f64 * QUANTILE).ceil() as usize;
        sorted.get(rank.checked_sub(1)?).copied()
    }
}

fn with_margin(peak: Size, observed: usize) -> Size {
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    let part = MARGIN + MARGIN_OF_ONE / observed.max(1) as f64;
    peak + peak.scaled(part).max(LEAST_MARGIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(peaks: &[u64]) -> Peaks {
        let mut known = Peaks::default();
        peaks.iter().for_each(|peak| known.observe(Size::from_bytes(*peak)));
        known
    }

    #[test]
    fn one_of_many_does_not_count_and_one_of_few_does() {
        let gb = 1_000_000_000;
        let mut peaks = vec![gb; 31];
        peaks.insert(5, 9 * gb);
        assert!(of(&peaks).estimate().unwrap() < Size::from_gb(2));
        assert!(of(&peaks[..12]).estimate().unwrap() >= Size::from_gb(9));
    }

    #[test]
    fn what_was_out_of_memory_is_believed_until_it_is_known() {
        let mut peaks = of(&[3_000_000_000]);
        peaks.raise(Size::from_gb(6));
        peaks.observe(Size::from_gb(3));
        assert_eq!(peaks.estimate(), Some(Size::from_gb(6)));
        peaks.settle();
        assert!(peaks.estimate().unwrap() < Size::from_gb(4));
        peaks.raise(Size::from_gb(6));
        (0..REMEMBERED).for_each(|_| peaks.observe(Size::from_gb(3)));
        assert!(peaks.estimate().unwrap() < Size::from_gb(4), "it was an accident");
    }

    proptest! {
        #[test]
        fn an_estimate_suffices_for_all_but_a_twentieth(
            peaks in prop::collection::vec(0_u64..1 << 40, 1..80),
        ) {
            let known = of(&peaks);
            let estimate = known.estimate().unwrap();
            let recent = &peaks[peaks.len().saturating_sub(REMEMBERED)..];
            let enough = |peak: &&u64| Size::from_bytes(**peak) + LEAST_MARGIN <= estimate;
            let suffices = recent.iter().filter(enough).count();
            prop_assert!(suffices * 20 >= recent.len() * 19, "{suffices} of {}", recent.len());
            if recent.len() < 20 {
                prop_assert_eq!(suffices, recent.len(), "few peaks are all believed");
            }
            let largest = *recent.iter().max().unwrap();
            let most = Size::from_bytes(largest) + Size::from_bytes(largest).scaled(0.15).max(LEAST_MARGIN);
            prop_assert!(estimate <= most, "{} of {}", estimate.bytes(), largest);
        }

        #[test]
        fn an_estimate_never_falls_by_an_out_of_memory(
            steps in prop::collection::vec((any::<bool>(), 1_u64..1 << 40), 1..100),
        ) {
            let mut known = Peaks::default();
            for (oom, bytes) in steps {
                let (size, before) = (Size::from_bytes(bytes), known.estimate());
                if oom {
                    known.raise(size);
                    prop_assert!(known.estimate() >= before.max(Some(size)));
                } else {
                    known.observe(size);
                }
                prop_assert!(known.recent.len() <= REMEMBERED);
            }
        }
    }
}
