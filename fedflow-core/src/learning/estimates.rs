//! `Estimates`: how much memory tasks are expected to need, learned from what similar tasks have used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::learning::family::Family;
use crate::learning::peaks::Peaks;
use crate::model::quantity::Size;

/// How many families are remembered at most. Those that were met longest ago are forgotten first.
const FAMILIES: usize = 2048;

/// A kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The host's.
    Host,
    /// A card's. If a task has several cards, the one of which it uses most.
    Card,
}

/// What was learned of tasks' memory, by [`Family`].
///
/// It can be stored between runs: in serde's formats it is a dictionary that stays readable when members are added. Pass
/// what was read from elsewhere through [`Estimates::bounded`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Estimates {
    /// By the key of the family; see [`Family`].
    families: BTreeMap<u64, Known>,
    /// Counts observations, and tells which family was met longest ago.
    steps: u64,
}

/// What is known of a family.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    /// A name for people; empty for the narrower families.
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "Peaks::is_empty")]
    host: Peaks,
    #[serde(skip_serializing_if = "Peaks::is_empty")]
    card: Peaks,
    /// The step at which it was last met.
    met: u64,
    /// Whether it was met since it was read.
    #[serde(skip)]
    news: bool,
}

impl Estimates {
    /// What a task of a family is expected to need; `None` if no similar task was met. The narrowest family that is
    /// known decides.
    #[must_use]
    pub fn of(&self, family: &Family, memory: Memory) -> Option<Size> {
        self.of_alike(family, memory).or_else(|| self.estimate(family.keys()[0], memory))
    }

    /// The same from tasks with the same choices only. A task that makes a choice for the first time may need a quite
    /// different amount than the widest family tells.
    #[must_use]
    pub fn of_alike(&self, family: &Family, memory: Memory) -> Option<Size> {
        let [_, alike, itself] = family.keys();
        self.estimate(itself, memory).or_else(|| self.estimate(alike, memory))
    }

    /// Whether this very task was met before.
    pub(crate) fn knows(&self, family: &Family, memory: Memory) -> bool {
        let [.., itself] = family.keys();
        self.estimate(itself, memory).is_some()
    }

    fn estimate(&self, key: u64, memory: Memory) -> Option<Size> {
        self.families.get(&key)?.peaks(memory).estimate()
    }

    /// Takes the most memory that a task has used. `settled` means that the task was out of memory before, and has now
    /// shown what it needs.
    pub fn observe(&mut self, family: &Family, memory: Memory, peak: Size, settled: bool) {
        self.meet(family, memory, |peaks| {
            if settled {
                peaks.settle();
            }
            peaks.observe(peak);
        });
    }

    /// A task was out of memory and will be given `at_least`. Until it is known what it needs, other tasks of its family
    /// are not given less.
    pub fn out_of_memory(&mut self, family: &Family, memory: Memory, at_least: Size) {
        self.meet(family, memory, |peaks| peaks.raise(at_least));
    }

    /// Takes what `later` has learned since it was read, for a store that other runs have changed meanwhile.
    pub fn take_news(&mut self, later: &Self) {
        self.steps = self.steps.max(later.steps);
        for (key, known) in later.families.iter().filter(|(_, known)| known.news) {
            self.families.insert(*key, known.clone());
        }
        self.forget();
    }

    /// Whether anything was learned since it was read.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.families.values().any(|known| known.news)
    }

    /// Brings what was read from elsewhere within the limits on its size.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        for known in self.families.values_mut() {
            known.host.bound();
            known.card.bound();
            // A step from the future would never be forgotten.
            known.met = known.met.min(self.steps);
        }
        self.forget();
        self
    }

    /// How many families are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.families.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    fn meet(&mut self, family: &Family, memory: Memory, change: impl Fn(&mut Peaks)) {
        self.steps = self.steps.saturating_add(1);
        for (level, key) in family.keys().into_iter().enumerate() {
            let known = self.families.entry(key).or_default();
            known.met = self.steps;
            known.news = true;
            if level == 0 && known.name.is_empty() {
                known.name.push_str(family.name());
            }
            change(known.peaks_mut(memory));
        }
        self.forget();
    }

    /// Forgets the families that were met longest ago. It forgets an eighth at once, so that it is rarely needed.
    fn forget(&mut self) {
        if self.families.len() <= FAMILIES {
            return;
        }
        // A wide family is worth more than a single task.
        let rank = |(key, known): (&u64, &Known)| (!known.name.is_empty(), known.met, *key);
        let mut ranked: Vec<_> = self.families.iter().map(rank).collect();
        ranked.sort_unstable();
        let surplus = ranked.len() - (FAMILIES - FAMILIES / 8);
        ranked.iter().take(surplus).for_each(|(.., key)| drop(self.families.remove(key)));
    }
}

impl Known {
    fn peaks(&self, memory: Memory) -> &Peaks {
        match memory {
            Memory::Host => &self.host,
            Memory::Card => &self.card,
        }
    }

    fn peaks_mut(&mut self, memory: Memory) -> &mut Peaks {
        match memory {
            Memory::Host => &mut self.host,
            Memory::Card => &mut self.card,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::name::Name;
    use crate::work::spec::TaskSpec;

    fn family(group: &str, id: u32, model: &str) -> Family {
        let mut spec = TaskSpec::command(id, ["train"]).unwrap();
        spec.params.insert("model", model);
        Family::of(&Name::new(group).unwrap(), &spec)
    }

    fn gb(gigabytes: u64) -> Size {
        Size::from_gb(gigabytes)
    }

    #[test]
    fn the_narrowest_family_that_is_known_counts() {
        let mut known = Estimates::default();
        let estimate = |known: &Estimates, family: &Family| {
            known.of(family, Memory::Card).map_or(0, |size| size.bytes() / 1_000_000_000)
        };
        assert_eq!(known.of(&family("a", 1, "small"), Memory::Card), None);
        known.observe(&family("a", 1, "small"), Memory::Card, gb(2), false);
        known.observe(&family("a", 2, "large"), Memory::Card, gb(20), false);
        assert_eq!(estimate(&known, &family("a", 1, "small")), 2, "itself");
        assert_eq!(estimate(&known, &family("a", 3, "small")), 2, "those of its choice");
        assert_eq!(estimate(&known, &family("a", 3, "other")), 21, "all of the group");
        assert_eq!(estimate(&known, &family("b", 1, "small")), 0, "another group is another matter");
        assert_eq!(known.of(&family("a", 1, "small"), Memory::Host), None);
    }

    #[test]
    fn what_others_stored_meanwhile_is_kept() {
        let stored = |known: &Estimates| -> Estimates {
            serde_json::from_str(&serde_json::to_string(known).unwrap()).unwrap()
        };
        let mut first = Estimates::default();
        first.observe(&family("a", 1, "m"), Memory::Card, gb(1), false);
        let (mut ours, mut theirs) = (stored(&first), stored(&first));
        assert!(!ours.has_news());
        ours.observe(&family("b", 1, "m"), Memory::Card, gb(2), false);
        theirs.observe(&family("a", 1, "m"), Memory::Card, gb(9), false);
        let mut file = stored(&theirs);
        file.take_news(&ours);
        assert!(file.of(&family("a", 1, "m"), Memory::Card) > Some(gb(9)));
        assert!(file.of(&family("b", 1, "m"), Memory::Card) > Some(gb(2)));
    }

    proptest! {
        #[test]
        fn what_is_stored_is_bounded_and_comes_back(tasks in 1_u32..4000, peak in 0_u64..1 << 40) {
            let mut known = Estimates::default();
            for task in 0..tasks {
                known.observe(&family("sweep", task, "m"), Memory::Card, Size::from_bytes(peak), false);
                known.observe(&family("sweep", task, "m"), Memory::Host, Size::from_bytes(peak), false);
            }
            prop_assert!(known.len() <= FAMILIES);
            let text = serde_json::to_string(&known).unwrap();
            prop_assert!(text.len() < 1 << 20, "{}", text.len());
            let back: Estimates = serde_json::from_str(&text).unwrap();
            let last = family("sweep", tasks - 1, "m");
            for memory in [Memory::Host, Memory::Card] {
                prop_assert_eq!(back.clone().bounded().of(&last, memory), known.of(&last, memory));
                prop_assert!(known.of(&last, memory) >= Some(Size::from_bytes(peak)), "the latest is remembered");
            }
        }
    }
}
