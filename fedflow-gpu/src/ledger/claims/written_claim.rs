//! `WrittenClaim`: a refused request as other runs read it in its supervisor's file.

use fedflow_core::{CardLimits, Claim, LeaseRequest, Size, TaskKey};
use serde::{Deserialize, Serialize};

use super::named_cards;
use crate::ledger::card_key::CardKey;

/// A refused request. It is written until it is granted or withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WrittenClaim {
    /// The request's number, which no other request of its supervisor has.
    pub(crate) number: u64,
    /// When it is served among those of all runs: the lowest first.
    pub(crate) ticket: u64,
    /// When it was first refused, in Unix seconds.
    pub(crate) since: u64,
    /// How often it was refused: a supervisor that has looked and did not take what was free cannot have it.
    pub(crate) refusals: u64,
    pub(crate) devices: u32,
    pub(crate) memory: Size,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) exclusive: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) estimated: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) roomy: bool,
    /// How many tasks without an estimate may share a card in its run.
    pub(crate) max_per_device: u32,
    /// What it has booked on its card already and gives back for the new lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced: Option<Size>,
    /// The devices that suit it.
    pub(crate) on: Vec<LimitedCards>,
}

/// Cards of which a run may lease equally much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LimitedCards {
    /// Their names, as `named_cards` writes them.
    pub(crate) cards: String,
    /// `None` for CPU slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limits: Option<Limits>,
}

/// How much memory of a card leases may have together, and a lease that is alone.
type Limits = (Size, Size);

/// The place of a request among those of all runs. The least comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ledger) struct Rank {
    pub(crate) ticket: u64,
    /// When it was first refused, in Unix seconds.
    pub(crate) since: u64,
    /// The name of its supervisor's file.
    pub(in crate::ledger) supervisor: String,
}

impl LimitedCards {
    /// The cards with these names and limits, in groups.
    pub(in crate::ledger) fn group<'a>(
        cards: impl IntoIterator<Item = (&'a CardKey, Option<CardLimits>)>,
    ) -> Vec<Self> {
        let mut groups: Vec<(Option<Limits>, Vec<&str>)> = Vec::new();
        for (key, limits) in cards {
            let limits = limits.map(|limits| (limits.shared, limits.alone));
            match groups.iter_mut().find(|(of, _)| *of == limits) {
                Some((_, names)) => names.push(&key.card),
                None => groups.push((limits, vec![&key.card])),
            }
        }
        groups
            .into_iter()
            .map(|(limits, names)| Self { cards: named_cards::text_of(names), limits })
            .collect()
    }

    /// The limits as the lease table knows them.
    pub(super) fn card_limits(&self) -> Option<CardLimits> {
        self.limits.map(|(shared, alone)| CardLimits { shared, alone, whole: alone })
    }

    /// Whether a card is one of them.
    pub(super) fn contain(&self, card: &str) -> bool {
        named_cards::names(&self.cards, card)
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        named_cards::count(&self.cards)
    }

    /// Each of them alone.
    pub(super) fn each(&self) -> impl Iterator<Item = Self> {
        named_cards::each(&self.cards).map(|cards| Self { cards, limits: self.limits })
    }
}

impl WrittenClaim {
    /// Whether another request asks for the same, so that one of the two stands for both.
    pub(super) fn asks_as(&self, other: &Self) -> bool {
        let Self { number, ticket, since, refusals, .. } = self.clone();
        Self { number, ticket, since, refusals, ..other.clone() } == *self
    }

    /// The claim as the lease table takes it, on these devices.
    pub(super) fn on_cards(&self, cards: Vec<(usize, Option<CardLimits>)>) -> Claim {
        // In the table it stands for no task of this run.
        let no_task = TaskKey { group: u32::MAX, place: u32::MAX };
        let request = LeaseRequest {
            devices: self.devices,
            estimated: self.estimated,
            exclusive: self.exclusive,
            roomy: self.roomy,
            ..LeaseRequest::new(no_task, self.memory)
        };
        Claim { request, cards, max_per_device: self.max_per_device, replaced: self.replaced }
    }
}
