//! `FamilyMemory`: the estimates of a family of tasks against the memory that they used, and which to change.

use fedflow_core::{EstimateSource, MemoryUse, Size};
use indexmap::IndexMap;

use crate::report::{GroupReport, TaskReport};

/// A proposed estimate is the largest peak times this.
const MARGIN: f64 = 1.1;
/// An estimate is worth lowering if it is this many times what would do, and this much more.
const WORTH_LOWERING: (f64, Size) = (1.5, Size::from_bytes(512_000_000));

/// The estimates of a family of tasks for one kind of memory, and what the tasks used.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FamilyMemory {
    /// The family, such as `train-*: digits train-client`.
    pub family: String,
    /// The kind of memory.
    pub kind: MemoryKind,
    /// How many tasks were measured. The last attempt of each counts.
    pub tasks: usize,
    /// The smallest and the largest estimate, before any was raised for a retry.
    pub asked: (Size, Size),
    /// The largest estimate that was raised for a retry; none if no estimate was.
    pub raised: Option<Size>,
    /// The source of the largest estimate.
    pub source: EstimateSource,
    /// The largest peak of a task.
    pub peak: Size,
    /// The mean of the tasks' peaks.
    pub mean: Size,
    /// How many tasks used more than was estimated.
    pub exceeded: usize,
}

/// A kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemoryKind {
    /// Host memory.
    Host,
    /// Memory of a card.
    Card,
}

/// A proposed change of an estimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// It can be lowered to this.
    Lower(Size),
    /// It did not suffice and should be raised to this.
    Raise(Size),
}

impl MemoryKind {
    /// The key of the estimate in a flow file.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Host => "estimate-memory",
            Self::Card => "estimate-cuda-memory",
        }
    }
}

impl FamilyMemory {
    /// A better estimate, if it is worth writing one. A learned estimate adjusts itself. A default that suffices costs
    /// little on the host, but on a card it keeps tasks apart that could share it.
    #[must_use]
    pub fn advice(&self) -> Option<Advice> {
        let proposed = rounded(self.peak.scaled(MARGIN));
        if self.exceeded > 0 && self.source != EstimateSource::Learned {
            return Some(Advice::Raise(proposed));
        }
        let asked = self.asked.1;
        let worth = match self.source {
            EstimateSource::Given => {
                asked >= proposed.scaled(WORTH_LOWERING.0) && asked >= proposed + WORTH_LOWERING.1
            }
            EstimateSource::Default => self.kind == MemoryKind::Card,
            EstimateSource::Learned => false,
        };
        worth.then_some(Advice::Lower(proposed))
    }

    fn sharing(&self) -> &'static str {
        if self.source == EstimateSource::Default { ", and let them share a card" } else { "" }
    }

    /// The advice as a sentence: `8GB asked, 3.1GB used at most: estimate-cuda-memory = "3.5GB" would do`.
    #[must_use]
    pub fn advice_text(&self) -> Option<String> {
        let (Self { peak, exceeded, tasks, .. }, asked) = (self, self.asked.1);
        let by = if self.source == EstimateSource::Default { "by default" } else { "asked" };
        let key = self.kind.key();
        Some(match self.advice()? {
            Advice::Lower(size) => {
                format!("{asked} {by}, {peak} used at most: {key} = \"{size}\" would do{}", self.sharing())
            }
            Advice::Raise(size) => {
                format!(
                    "{asked} {by}, {peak} used, and more than estimated by {exceeded} of {tasks}: {key} = \"{size}\" would suffice"
                )
            }
        })
    }
}

/// The memory that the tasks of some groups used, by family in order of appearance, host memory first.
#[must_use]
pub fn memory_by_family(groups: &[GroupReport]) -> Vec<FamilyMemory> {
    let mut families: IndexMap<(&str, MemoryKind), FamilyMemory> = IndexMap::new();
    for (family, kind, used, asked, peak) in groups.iter().flat_map(GroupReport::tasks).flat_map(measured) {
        let known = families.entry((family, kind)).or_insert_with(|| FamilyMemory {
            family: family.to_owned(),
            kind,
            tasks: 0,
            asked: (asked, asked),
            raised: None,
            source: used.source,
            peak,
            mean: Size::ZERO,
            exceeded: 0,
        });
        if asked > known.asked.1 {
            known.source = used.source;
        }
        known.asked = (known.asked.0.min(asked), known.asked.1.max(asked));
        known.raised = known.raised.max((used.asked > asked).then_some(used.asked));
        known.tasks += 1;
        known.peak = known.peak.max(peak);
        // The sum, until all tasks are counted.
        known.mean = known.mean + peak;
        known.exceeded += usize::from(peak > asked);
    }
    let mut families: Vec<FamilyMemory> = families.into_values().collect();
    for family in &mut families {
        let tasks = u64::try_from(family.tasks).unwrap_or(u64::MAX).max(1);
        family.mean = Size::from_bytes(family.mean.bytes() / tasks);
    }
    families
}

/// What was measured of a task's last attempt, its first estimate, and the peak.
fn measured(task: &TaskReport) -> impl Iterator<Item = (&str, MemoryKind, MemoryUse, Size, Size)> {
    let uses = task.measured().into_iter().flat_map(|measured| {
        let both = [(MemoryKind::Host, Some(measured.host)), (MemoryKind::Card, measured.card)];
        both.map(|(kind, used)| (measured.family.as_str(), kind, used))
    });
    uses.filter_map(move |(family, kind, used)| {
        let used = used?;
        Some((
            family,
            kind,
            used,
            first_asked(task, kind).map_or(used.asked, |first| first.min(used.asked)),
            used.peak?,
        ))
    })
}

/// The estimate of the task's first attempt in the last session; that of a retry may be larger.
fn first_asked(task: &TaskReport, kind: MemoryKind) -> Option<Size> {
    let session = task.all_attempts.last()?.session;
    let mut all_attempts = task.all_attempts.iter().filter(|attempt| attempt.session == session);
    all_attempts.find_map(|attempt| {
        let measured = attempt.measured.as_deref();
        match kind {
            MemoryKind::Host => measured.map(|measured| measured.host.asked),
            // An attempt that keeps its process is measured only when the process ends.
            MemoryKind::Card => {
                attempt.memory.or_else(|| measured.and_then(|measured| Some(measured.card?.asked)))
            }
        }
    })
}

/// Rounds up to two digits.
fn rounded(size: Size) -> Size {
    let digits = size.bytes().checked_ilog10().unwrap_or(0).saturating_sub(1);
    let unit = 10_u64.pow(digits);
    Size::from_bytes(size.bytes().div_ceil(unit).saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(asked: u64, peak: u64, source: EstimateSource) -> FamilyMemory {
        let [asked, peak] = [asked, peak].map(|megabytes| Size::from_bytes(megabytes * 1_000_000));
        FamilyMemory {
            raised: None,
            family: "train-*: mlp".into(),
            kind: MemoryKind::Card,
            tasks: 4,
            asked: (asked, asked),
            source,
            peak,
            mean: peak,
            exceeded: usize::from(peak > asked),
        }
    }

    #[test]
    fn estimates_that_are_far_off_are_named() {
        use EstimateSource::{Default, Given, Learned};
        let text = |asked, peak, source| family(asked, peak, source).advice_text();
        assert_eq!(
            text(8_000, 3_100, Given).unwrap(),
            "8GB asked, 3.1GB used at most: estimate-cuda-memory = \"3.5GB\" would do"
        );
        assert_eq!(
            text(2_000, 3_100, Default).unwrap(),
            "2GB by default, 3.1GB used, and more than estimated by 1 of 4: estimate-cuda-memory = \"3.5GB\" would suffice"
        );
        assert!(text(2_000, 1_000, Default).unwrap().ends_with("would do, and let them share a card"));
        let host = FamilyMemory { kind: MemoryKind::Host, ..family(2_000, 10, Default) };
        assert_eq!(host.advice_text(), None, "it is reserved only while a task loads");
        assert_eq!(text(4_000, 3_100, Given), None, "a margin is no waste");
        assert_eq!(text(500, 10, Given), None, "nor is what is little");
        assert_eq!(text(8_000, 3_100, Learned), None, "it follows by itself");
    }

    #[test]
    fn proposals_have_two_digits_and_suffice() {
        for (bytes, expected) in [(3_410_000_000, 3_500_000_000), (99_000_001, 100_000_000), (7, 7), (0, 0)] {
            assert_eq!(rounded(Size::from_bytes(bytes)), Size::from_bytes(expected));
        }
    }
}
