//! `NameIndex`: finds the items of a list by their names, which only the items themselves keep.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::model::name::Name;

/// An item that has a name of its own in its list.
pub(crate) trait Named {
    fn name(&self) -> &Name;
}

/// The place of each item in a list, found by its name: about five bytes an item. Nothing iterates over it.
///
/// Every call is given the same list, which only grows at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameIndex {
    table: HashTable<u32>,
    hasher: RandomState,
}

impl NameIndex {
    /// The index of a whole list.
    pub(crate) fn of<T: Named>(items: &[T]) -> Self {
        let mut index = Self::default();
        (1..=items.len()).for_each(|end| index.add_last(&items[..end]));
        index
    }

    /// Makes room for so many more items.
    pub(crate) fn reserve<T: Named>(&mut self, additional: usize, items: &[T]) {
        let Self { table, hasher } = self;
        table.reserve(additional, |place| hash(hasher, items, *place));
    }

    /// The place of the item of this name.
    pub(crate) fn find<T: Named>(&self, name: &str, items: &[T]) -> Option<usize> {
        let is_it = |place: &u32| items[*place as usize].name().as_str() == name;
        self.table.find(self.hasher.hash_one(name), is_it).map(|place| *place as usize)
    }

    /// Adds the last item of the list.
    pub(crate) fn add_last<T: Named>(&mut self, items: &[T]) {
        let Some(last) = items.len().checked_sub(1).and_then(|last| u32::try_from(last).ok()) else { return };
        let Self { table, hasher } = self;
        table.insert_unique(hash(hasher, items, last), last, |place| hash(hasher, items, *place));
    }
}

fn hash<T: Named>(hasher: &RandomState, items: &[T], place: u32) -> u64 {
    hasher.hash_one(items[place as usize].name().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Named for Name {
        fn name(&self) -> &Name {
            self
        }
    }

    #[test]
    fn each_item_is_found_where_it_was_put() {
        let (mut index, mut names) = (NameIndex::default(), Vec::new());
        for number in 0..1_000_u32 {
            let name = Name::from(number);
            assert_eq!(index.find(name.as_str(), &names), None);
            names.push(name);
            index.add_last(&names);
        }
        let found = |(place, name): (usize, &Name)| index.find(name.as_str(), &names) == Some(place);
        assert!(names.iter().enumerate().all(found));
    }
}
