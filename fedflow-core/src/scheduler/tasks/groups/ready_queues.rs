//! Tasks that are ready to be started, in one queue for each demand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::scheduler::devices::device_set::Fit;
use crate::scheduler::tasks::demand::Demand;

/// Queues of ready tasks.
///
/// Tasks for busy devices must not stand in the way of those for idle ones, so tasks that fit other devices have a queue
/// of their own. The queue whose devices are supplied worst is served first; among equals the task that a kept process
/// waits for, then the one that comes first in the start order.
#[derive(Debug, Clone, Default)]
pub(in crate::scheduler) struct ReadyQueues {
    queues: BTreeMap<Demand, Queue>,
    /// The families that have queues of their own.
    families: BTreeSet<u64>,
}

/// How many families have queues of their own: every queue is looked at for each start. Those that come later share one,
/// where a task may wait behind another that fits fewer devices.
const FAMILIES: usize = 64;

/// The family in whose name that queue stands.
const OTHERS: u64 = 0;

#[derive(Debug, Clone, Default)]
struct Queue {
    /// Tasks for which a process is kept: they start before what was kept must make room.
    with_process: VecDeque<Entry>,
    others: VecDeque<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// In the start order.
    rank: u32,
    place: u32,
    /// How often the task was ready before. An entry from before is none.
    readied: u32,
    /// Whether the task itself is tied to the queue's device, not only the process that is kept for it.
    pinned: bool,
}

/// A task that is ready, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(in crate::scheduler) struct ReadyTask {
    pub(in crate::scheduler) place: u32,
    /// In the start order.
    pub(in crate::scheduler) rank: u32,
    /// The queue that it is first in.
    pub(in crate::scheduler) demand: Demand,
    /// What it fits.
    pub(in crate::scheduler) fit: Fit,
    /// Whether there is no other queue.
    pub(in crate::scheduler) is_only: bool,
}

impl Queue {
    /// Its next task, and whether a process is kept for it.
    fn first(&self) -> Option<(Entry, bool)> {
        let with_process = self.with_process.front().map(|entry| (*entry, true));
        with_process.or_else(|| self.others.front().map(|entry| (*entry, false)))
    }

    /// Forgets the first tasks that are not ready any more. Says whether there are others.
    fn forget(&mut self, is_ready: &impl Fn(u32, u32) -> bool) -> bool {
        for queue in [&mut self.with_process, &mut self.others] {
            while queue.front().is_some_and(|entry| !is_ready(entry.place, entry.readied)) {
                queue.pop_front();
            }
        }
        !(self.with_process.is_empty() && self.others.is_empty())
    }
}

impl ReadyQueues {
    /// Puts a task at the end of its queue.
    pub(super) fn push(&mut self, demand: Demand, pinned: bool, rank: u32, place: u32) {
        self.queue(demand).others.push_back(Entry { rank, place, readied: 0, pinned });
    }

    /// Puts a task that is tried again before all others.
    pub(super) fn push_front(&mut self, demand: Demand, pinned: bool, place: u32, readied: u32) {
        self.queue(demand).others.push_front(Entry { rank: 0, place, readied, pinned });
    }

    /// Puts a task for which a process is kept, perhaps tied to a card. It may be in its own queue as well.
    pub(super) fn push_with_process(
        &mut self,
        demand: Demand,
        pinned: bool,
        rank: u32,
        (place, readied): (u32, u32),
    ) {
        self.queue(demand).with_process.push_back(Entry { rank, place, readied, pinned });
    }

    /// Forgets tasks that are not ready any more; `is_ready` tells by the task's place and how often it was ready. Says whether any is left.
    pub(super) fn forget(&mut self, is_ready: impl Fn(u32, u32) -> bool) -> bool {
        self.queues.retain(|_, queue| queue.forget(&is_ready));
        !self.queues.is_empty()
    }

    /// The task that should start next, from all queues but those that were tried. `fit` tells what a task fits, and
    /// `level` how well the devices are supplied.
    pub(super) fn first(
        &self,
        tried: &[Demand],
        fit: impl Fn(u32) -> Option<Fit>,
        mut level: impl FnMut(Fit) -> u32,
    ) -> Option<ReadyTask> {
        let is_only = self.queues.len() == 1;
        // A task that is tied to no device waits for those that have loaded already, unless a device idles.
        let loaded = |queue: &Queue| queue.with_process.front().is_some_and(|first| !first.pinned);
        let any_loaded = self.queues.values().any(loaded);
        let untried = self.queues.iter().filter(|(demand, _)| !tried.contains(demand));
        let firsts = untried.filter_map(|(demand, queue)| {
            let (Entry { rank, place, pinned, .. }, has_process) = queue.first()?;
            let fit = demand.fit().or_else(|| fit(place))?;
            // Mostly there is one queue, and nothing need be counted.
            let level = if is_only { 0 } else { level(fit) };
            let waits = any_loaded && !has_process && !pinned && level > 0;
            let first = ReadyTask { place, rank, demand: *demand, fit, is_only };
            (!waits).then_some(((level, !has_process, rank), first))
        });
        firsts.min_by_key(|(key, _)| *key).map(|(_, first)| first)
    }

    fn queue(&mut self, demand: Demand) -> &mut Queue {
        let family = demand.family.map(|family| {
            let is_own = self.families.contains(&family) || self.families.len() < FAMILIES;
            if is_own { family } else { OTHERS }
        });
        self.families.extend(family);
        self.queues.entry(Demand { family, ..demand }).or_default()
    }

    /// How often each of so many tasks is queued while it is ready: as itself, and for a process that is kept for it. For
    /// the invariants.
    pub(super) fn counts(&self, tasks: usize, is_ready: impl Fn(u32, u32) -> bool) -> Vec<(u32, u32)> {
        let mut counts = vec![(0, 0); tasks];
        for queue in self.queues.values() {
            for (entries, for_process) in [(&queue.others, false), (&queue.with_process, true)] {
                for entry in entries.iter().filter(|entry| is_ready(entry.place, entry.readied)) {
                    if let Some((own, with_process)) = counts.get_mut(entry.place as usize) {
                        *(if for_process { with_process } else { own }) += 1;
                    }
                }
            }
        }
        counts
    }
}
