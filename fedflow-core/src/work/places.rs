//! `Places`: finds a task of a group by its identifier, which only the task itself keeps.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::work::entry::TaskEntry;

/// The place of each task in a list: five bytes or so a task. Nothing iterates over it.
///
/// Every call is given the same list, which only grows at its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Places {
    /// Makes room for so many more tasks.
    pub(super) fn reserve(&mut self, additional: usize, tasks: &[TaskEntry]) {
        let Self { table, hasher } = self;
        table.reserve(additional, |place| hash(hasher, tasks, *place));
    }

    /// Where the task of this identifier is.
    pub(super) fn find(&self, task_id: &str, tasks: &[TaskEntry]) -> Option<usize> {
        let is_it = |place: &u32| tasks[*place as usize].task_id().as_str() == task_id;
        self.table.find(self.hasher.hash_one(task_id), is_it).map(|place| *place as usize)
    }

    /// Notes the last task of the list.
    pub(super) fn add_last(&mut self, tasks: &[TaskEntry]) {
        let Some(last) = tasks.len().checked_sub(1).and_then(|last| u32::try_from(last).ok()) else { return };
        let Self { table, hasher } = self;
        table.insert_unique(hash(hasher, tasks, last), last, |place| hash(hasher, tasks, *place));
    }
}

fn hash(hasher: &RandomState, tasks: &[TaskEntry], place: u32) -> u64 {
    hasher.hash_one(tasks[place as usize].task_id().as_str())
}
