//! Tasks that could load before their group is active, but whose data is in a process that a task before them still has:
//! they wait until that is kept, instead of loading the same again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::scheduler::tasks::keep_policy::{KeepKey, KeepPolicy};

/// The postponed tasks of a group, by what they wait for.
#[derive(Debug, Clone, Default)]
pub(super) struct Postponed {
    queues: BTreeMap<KeepKey, Queue>,
}

#[derive(Debug, Clone)]
struct Queue {
    policy: Arc<KeepPolicy>,
    tasks: VecDeque<PostponedTask>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct PostponedTask {
    pub(super) place: u32,
    /// In the start order.
    pub(super) rank: u32,
}

impl Postponed {
    /// How many tasks wait for the same data.
    pub(super) fn count(&self, policy: &KeepPolicy) -> usize {
        // Mostly there are none, and the key need not be made.
        if self.queues.is_empty() {
            return 0;
        }
        self.queues.get(&policy.keep_key()).map_or(0, |queue| queue.tasks.len())
    }

    pub(super) fn push(&mut self, policy: &Arc<KeepPolicy>, task: PostponedTask) {
        let new = || Queue { policy: Arc::clone(policy), tasks: VecDeque::new() };
        self.queues.entry(policy.keep_key()).or_insert_with(new).tasks.push_back(task);
    }

    pub(super) fn pop(&mut self, policy: &KeepPolicy) -> Option<PostponedTask> {
        let key = policy.keep_key();
        let queue = self.queues.get_mut(&key)?;
        let task = queue.tasks.pop_front();
        if queue.tasks.is_empty() {
            self.queues.remove(&key);
        }
        task
    }

    /// What is waited for.
    pub(super) fn policies(&self) -> Vec<Arc<KeepPolicy>> {
        self.queues.values().map(|queue| Arc::clone(&queue.policy)).collect()
    }

    /// How often each of so many tasks is queued while it is postponed. For the invariants.
    pub(super) fn counts(&self, tasks: usize, is_postponed: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut counts = vec![0; tasks];
        for task in
            self.queues.values().flat_map(|queue| &queue.tasks).filter(|task| is_postponed(task.place))
        {
            if let Some(count) = counts.get_mut(task.place as usize) {
                *count += 1;
            }
        }
        counts
    }
}
