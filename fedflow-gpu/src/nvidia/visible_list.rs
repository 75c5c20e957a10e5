//! `VisibleList`: which cards a run may use, and how they are numbered.

use std::fmt;

use super::card_facts::{CardError, CardRole, FoundCard};

/// The cards that a run may use. The place in `cards` is the `N` of `cuda:N`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct VisibleList {
    /// Places in the list of found cards.
    pub(crate) cards: Vec<usize>,
    /// Places in the list of found cards of those that belong in the visible list but cannot be used.
    pub(crate) failed: Vec<usize>,
    /// From this number on, cards are numbered lower than usual, because one ahead of them failed. A pin by such a
    /// number is ambiguous.
    pub(crate) uncertain_from: Option<u32>,
    /// Cards that `CUDA_VISIBLE_DEVICES` hides, probably by mistake.
    pub(crate) hidden: Option<HiddenCards>,
}

/// Which cards an inherited `CUDA_VISIBLE_DEVICES` hides, and by which entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HiddenCards {
    /// All: the variable is empty.
    All,
    /// An entry names no card. CUDA hides this entry and all after it.
    From {
        /// The value of the variable.
        value: String,
        /// The first hidden entry.
        entry: String,
    },
    /// An entry names a card a second time. CUDA hides this entry and all after it.
    Repeated {
        /// The value of the variable.
        value: String,
        /// The first hidden entry.
        entry: String,
    },
}

impl fmt::Display for HiddenCards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("CUDA_VISIBLE_DEVICES is empty, which hides all cards"),
            Self::From { value, entry } => write!(
                f,
                "CUDA_VISIBLE_DEVICES={value:?}: the entry {entry:?} names no card, which hides all from there on"
            ),
            Self::Repeated { value, entry } => write!(
                f,
                "CUDA_VISIBLE_DEVICES={value:?}: the entry {entry:?} names a card again, which hides all from \
                 there on"
            ),
        }
    }
}

/// Makes the visible list from the found cards, in PCI order, and the inherited `CUDA_VISIBLE_DEVICES`.
///
/// Without the variable the list holds all cards that work, with its instances in place of a divided card. In the
/// variable, an entry is a card's number in PCI order, its UUID, the beginning of its UUID, or an instance's UUID.
pub(crate) fn resolve(found: &[FoundCard], inherited: Option<&str>) -> VisibleList {
    let mut visible = VisibleList::default();
    let Some(value) = inherited else {
        for (place, card) in found.iter().enumerate() {
            visible.take(place, card);
        }
        return visible;
    };
    if value.trim().is_empty() {
        visible.hidden = Some(HiddenCards::All);
        return visible;
    }
    for entry in value.split(',').map(str::trim) {
        let owned = || (value.to_owned(), entry.to_owned());
        let Some(place) = find(found, entry) else {
            let (value, entry) = owned();
            visible.hidden = Some(HiddenCards::From { value, entry });
            break;
        };
        if visible.cards.contains(&place) || visible.failed.contains(&place) {
            let (value, entry) = owned();
            visible.hidden = Some(HiddenCards::Repeated { value, entry });
            break;
        }
        if found[place].role == CardRole::Divided {
            visible.fail(place);
        } else {
            visible.take(place, &found[place]);
        }
    }
    visible
}

impl VisibleList {
    fn take(&mut self, place: usize, card: &FoundCard) {
        match (&card.error, card.role) {
            (None, CardRole::Divided) => {}
            (None, CardRole::Whole | CardRole::Instance) => self.cards.push(place),
            // A card that a container or a batch system keeps from this user is not in CUDA's list either, so it does
            // not count.
            (Some(CardError::NoPermission), _) => {}
            (Some(_), _) => self.fail(place),
        }
    }

    fn fail(&mut self, place: usize) {
        self.failed.push(place);
        self.uncertain_from.get_or_insert(u32::try_from(self.cards.len()).unwrap_or(u32::MAX));
    }
}

/// The card that an entry of `CUDA_VISIBLE_DEVICES` names.
fn find(found: &[FoundCard], entry: &str) -> Option<usize> {
    if let Ok(number) = entry.parse::<usize>() {
        let counted =
            |card: &FoundCard| card.role != CardRole::Instance && card.error != Some(CardError::NoPermission);
        return found.iter().enumerate().filter(|(_, card)| counted(card)).nth(number).map(|(at, _)| at);
    }
    let position = |matches: &dyn Fn(&str) -> bool| {
        let mut places = (0..found.len()).filter(|at| found[*at].uuid.as_deref().is_some_and(matches));
        (places.next(), places.next().is_none())
    };
    if let (Some(place), _) = position(&|uuid| uuid == entry) {
        return Some(place);
    }
    // The beginning of a UUID is enough if only one card's UUID begins so.
    match position(&|uuid| entry.len() > "GPU-".len() && uuid.starts_with(entry)) {
        (Some(place), true) => Some(place),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn card(index: u32, role: CardRole, uuid: &str) -> FoundCard {
        FoundCard { uuid: Some(uuid.into()), ..FoundCard::unknown(index, role) }
    }

    fn whole(uuids: &[&str]) -> Vec<FoundCard> {
        (0..).zip(uuids).map(|(index, uuid)| card(index, CardRole::Whole, uuid)).collect()
    }

    fn cards(found: &[FoundCard], inherited: Option<&str>) -> Vec<usize> {
        resolve(found, inherited).cards
    }

    #[test]
    fn all_cards_unless_something_is_inherited() {
        let found = whole(&["GPU-aa", "GPU-ab", "GPU-b"]);
        assert_eq!(cards(&found, None), [0, 1, 2]);
        assert_eq!(resolve(&found, None).hidden, None);
        assert_eq!(resolve(&found, Some("")).hidden, Some(HiddenCards::All));
        assert_eq!(resolve(&found, Some(" ")).hidden, Some(HiddenCards::All));
        for none in ["", "-1", "NoDevFiles", "none", ","] {
            assert!(cards(&found, Some(none)).is_empty(), "{none}");
        }
    }

    #[test]
    fn an_inherited_value_restricts_and_orders() {
        let found = whole(&["GPU-aa", "GPU-ab", "GPU-b"]);
        assert_eq!(cards(&found, Some("2,0")), [2, 0]);
        assert_eq!(cards(&found, Some(" 1 , GPU-b ")), [1, 2]);
        assert_eq!(cards(&found, Some("GPU-ab,0")), [1, 0]);
    }

    #[test]
    fn the_beginning_of_a_uuid_must_mean_one_card() {
        let found = whole(&["GPU-aa", "GPU-ab", "GPU-abc"]);
        assert_eq!(cards(&found, Some("GPU-aa")), [0]);
        assert_eq!(cards(&found, Some("GPU-abc")), [2]);
        assert_eq!(cards(&found, Some("GPU-ab")), [1], "a whole UUID is not taken for a beginning");
        for unclear in ["GPU-a", "GPU-", "G", "gpu-aa"] {
            assert!(cards(&found, Some(unclear)).is_empty(), "{unclear}");
        }
    }

    #[test]
    fn an_entry_that_names_no_card_hides_what_follows() {
        let found = whole(&["GPU-a", "GPU-b", "GPU-c"]);
        let visible = resolve(&found, Some("1,7,0"));
        assert_eq!(visible.cards, [1]);
        let said = visible.hidden.unwrap().to_string();
        assert!(said.contains("\"7\"") && said.contains("\"1,7,0\""), "{said}");
        let visible = resolve(&found, Some("1,GPU-b,0"));
        assert_eq!(visible.cards, [1]);
        assert!(matches!(visible.hidden, Some(HiddenCards::Repeated { entry, .. }) if entry == "GPU-b"));
    }

    #[test]
    fn a_failed_card_makes_the_later_numbers_uncertain() {
        let mut found = whole(&["GPU-a", "GPU-b", "GPU-c"]);
        found[1].error = Some(CardError::Lost);
        let visible = resolve(&found, None);
        assert_eq!((visible.cards, visible.failed, visible.uncertain_from), (vec![0, 2], vec![1], Some(1)));
        let visible = resolve(&found, Some("2,1"));
        assert_eq!((visible.cards, visible.uncertain_from), (vec![2], Some(1)));
    }

    #[test]
    fn a_card_that_is_kept_from_us_is_not_counted() {
        let mut found = whole(&["GPU-a", "GPU-b", "GPU-c"]);
        found[0].error = Some(CardError::NoPermission);
        let visible = resolve(&found, None);
        assert_eq!((visible.cards, visible.uncertain_from), (vec![1, 2], None));
        assert_eq!(cards(&found, Some("1")), [2]);
    }

    #[test]
    fn a_divided_card_is_replaced_by_its_instances() {
        let found = [
            card(0, CardRole::Divided, "GPU-a"),
            card(0, CardRole::Instance, "MIG-a"),
            card(0, CardRole::Instance, "MIG-b"),
            card(1, CardRole::Whole, "GPU-b"),
        ];
        assert_eq!(cards(&found, None), [1, 2, 3]);
        assert_eq!(cards(&found, Some("MIG-b,1")), [2, 3]);
        let visible = resolve(&found, Some("0,GPU-b"));
        assert_eq!((visible.cards, visible.failed), (vec![3], vec![0]));
    }

    proptest! {
        #[test]
        fn no_value_panics_or_repeats_a_card(value in "[0-9GPUMIGab,\\- ]{0,24}") {
            let mut places = cards(&whole(&["GPU-a", "GPU-b", "GPU-ab"]), Some(&value));
            let count = places.len();
            places.sort_unstable();
            places.dedup();
            prop_assert_eq!(places.len(), count);
        }
    }
}
