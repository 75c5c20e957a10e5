//! `TaskPlaces`: finds a task of a group by its identifier without keeping the identifier a second time.

use std::hash::{BuildHasher, RandomState};

use fedflow_core::Name;
use hashbrown::HashTable;

use crate::report::TaskReport;

/// The place of each task of a list, to be found by its identifier: five bytes or so a task.
///
/// Every call is given the same list, which only grows at its end through [`Self::find_or_push`].
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskPlaces {
    places: HashTable<u32>,
    hasher: RandomState,
}

impl TaskPlaces {
    pub(crate) fn with_capacity(tasks: usize) -> Self {
        Self { places: HashTable::with_capacity(tasks), hasher: RandomState::new() }
    }

    /// Where a task is.
    pub(crate) fn find(&self, tasks: &[TaskReport], id: &Name) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        self.places.find(hash, |place| tasks[*place as usize].id == *id).map(|place| *place as usize)
    }

    /// Where a task is; if there is none, one is made and put at the end.
    pub(crate) fn find_or_push(
        &mut self,
        tasks: &mut Vec<TaskReport>,
        id: &Name,
        make: impl FnOnce(&Name) -> TaskReport,
    ) -> usize {
        if let Some(place) = self.find(tasks, id) {
            return place;
        }
        let place = tasks.len();
        tasks.push(make(id));
        let hasher = &self.hasher;
        if let Ok(short) = u32::try_from(place) {
            let hash_of = |place: &u32| hasher.hash_one(&tasks[*place as usize].id);
            self.places.insert_unique(hasher.hash_one(id), short, hash_of);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_is_found_where_it_was_put() {
        let (mut places, mut tasks) = (TaskPlaces::default(), Vec::new());
        let ids: Vec<Name> = (0..1_000_u32).map(Name::from).collect();
        for (place, id) in ids.iter().enumerate() {
            assert_eq!(places.find(&tasks, id), None);
            let make = |id: &Name| TaskReport::new(id.clone());
            assert_eq!(places.find_or_push(&mut tasks, id, make), place);
            assert_eq!(places.find_or_push(&mut tasks, id, |_| unreachable!()), place);
        }
        assert!(ids.iter().enumerate().all(|(place, id)| places.find(&tasks, id) == Some(place)));
        assert_eq!(tasks.len(), ids.len());
    }
}
