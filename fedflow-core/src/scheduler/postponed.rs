//! Tasks that could load ahead of their turn, but whose data is in a process that a task before them still has: they
//! wait until that is kept, instead of loading the same again.

use super::group::GroupState;
use super::plan::Stay;
use super::worker::Worker;
use super::{Scheduler, TaskProgress};
use crate::model::identity::TaskKey;

/// A task that was postponed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Postponed {
    place: u32,
    /// In the order of start.
    rank: u32,
}

impl Scheduler {
    /// Postpones a task if a process will be kept for it. Says whether it was.
    pub(super) fn postpone(&mut self, key: TaskKey, rank: u32) -> bool {
        let Some(stay) = self.task(key).and_then(|task| task.plan.stay.clone()) else { return false };
        if key.group <= self.turn || stay.keep.is_none() || self.kept.has_key_of(&stay) {
            return false;
        }
        let coming = self.coming(key.group, &stay);
        let Some(group) = self.groups.get_mut(&key.group) else { return false };
        if group.postponed_for(&stay) >= coming {
            return false;
        }
        if let Some(task) = group.tasks.get_mut(key.place as usize) {
            task.progress = TaskProgress::Postponed;
        }
        group.postponed.entry(stay.shelf()).or_default().push_back(Postponed { place: key.place, rank });
        true
    }

    /// A process with the data of such tasks was kept, or will not be: those for whom none is left to come may start.
    pub(super) fn look_at_postponed(&mut self, stay: &Stay) {
        let groups: Vec<u32> = self.groups.range(self.turn + 1..).map(|(index, _)| *index).collect();
        for index in groups {
            let coming = self.coming(index, stay);
            self.resume_postponed(index, stay, coming);
        }
    }

    /// The process of a task will not be kept.
    pub(super) fn look_whom_it_served(&mut self, key: TaskKey) {
        if let Some(stay) = self.task(key).and_then(|task| task.plan.stay.clone()) {
            self.look_at_postponed(&stay);
        }
    }

    /// It is a group's turn: nobody is before its tasks any more.
    pub(super) fn resume_all_postponed(&mut self, index: u32) {
        let Some(group) = self.groups.get_mut(&index) else { return };
        let places = group.postponed.values().flatten().map(|postponed| postponed.place);
        let stays: Vec<_> =
            places.filter_map(|place| group.tasks.get(place as usize)?.plan.stay.clone()).collect();
        for stay in stays {
            self.resume_postponed(index, &stay, 0);
        }
    }

    /// Has all but so many of a group's tasks that were postponed for a key be ready again.
    fn resume_postponed(&mut self, index: u32, stay: &Stay, left: usize) {
        let card = self.kept.card_of_key(stay);
        let Some(group) = self.groups.get_mut(&index) else { return };
        while group.postponed_for(stay) > left {
            let Some(queue) = group.postponed.get_mut(&stay.shelf()) else { return };
            let Some(Postponed { place, rank }) = queue.pop_front() else { return };
            let Some(task) = group.tasks.get_mut(place as usize) else { return };
            if task.progress != TaskProgress::Postponed {
                continue;
            }
            task.progress = TaskProgress::Ready;
            let pin = task.plan.pin.as_ref();
            match card {
                Some(card) => group.ready.push_takeover(pin, card, rank, place),
                None => group.ready.push_front(pin, place),
            }
        }
    }

    /// How many processes are at work before a group's turn that will be kept with the data that such a task needs.
    fn coming(&self, group: u32, stay: &Stay) -> usize {
        let comes = |worker: &&Worker| {
            worker.task.group < group
                && worker.phase.stage().is_some()
                && self
                    .task(worker.task)
                    .and_then(|task| task.plan.stay.as_deref())
                    .is_some_and(|other| other.keeps_the_same_as(stay) && other.serves_after(worker.served))
        };
        self.workers.values().filter(comes).count()
    }
}

impl GroupState {
    fn postponed_for(&self, stay: &Stay) -> usize {
        // Mostly there are none, and their name need not be made.
        if self.postponed.is_empty() {
            0
        } else {
            self.postponed.get(&stay.shelf()).map_or(0, |queue| queue.len())
        }
    }
}
