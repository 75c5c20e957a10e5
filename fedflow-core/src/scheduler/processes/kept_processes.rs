//! Processes that stay when their task has its result: for the next task of their worker program, or for the next one
//! with their key, which finds what was loaded. They hold no device, and are let go when another task needs their room.

use std::collections::{BTreeMap, VecDeque};

use super::affinity::CardUse;
use super::process::Process;
use crate::leasing::lease::LeaseId;
use crate::model::device::{Device, Pin};
use crate::model::identity::WorkerId;
use crate::scheduler::tasks::keep_policy::{KeepKey, KeepPolicy};
use crate::scheduler::tasks::task::ScheduledTask;

/// A process without a task.
#[derive(Debug, Clone)]
pub(in crate::scheduler) struct KeptProcess {
    pub(in crate::scheduler) key: KeepKey,
    /// What it keeps, and how many tasks it has served, the last one included.
    pub(in crate::scheduler) process: Process,
    /// The device that its last task was pinned to.
    pub(in crate::scheduler) pin: Option<Pin>,
}

impl KeptProcess {
    /// Whether a task may train where the process must.
    fn suits(&self, task: &ScheduledTask) -> bool {
        let Some(device) = self.process.card else { return true };
        let may_train_there =
            task.pin().is_none_or(|pin| self.pin.as_ref() == Some(pin) || *pin == Pin::Device(device));
        task.needs().devices == 1 && may_train_there
    }
}

/// A kept process that a task may take.
#[derive(Debug, Clone, Copy)]
pub(in crate::scheduler) struct Found {
    from: WorkerId,
    has_data: bool,
}

/// A kept process that a task takes.
#[derive(Debug)]
pub(in crate::scheduler) struct Taken {
    pub(in crate::scheduler) from: WorkerId,
    pub(in crate::scheduler) process: Process,
    /// Whether it has loaded what the task needs.
    pub(in crate::scheduler) has_data: bool,
}

/// All processes that are kept, and those that are being let go.
#[derive(Debug, Clone, Default)]
pub(in crate::scheduler) struct KeptProcesses {
    // A worker's number grows with each task that it serves, so the order of numbers is nearly that of use; the order
    // in which they became idle is exact.
    by_age: BTreeMap<u64, WorkerId>,
    by_key: BTreeMap<KeepKey, VecDeque<WorkerId>>,
    processes: BTreeMap<WorkerId, (u64, KeptProcess)>,
    last_age: u64,
    /// Those that were let go and are not gone, and what stays booked for them until then.
    leaving: BTreeMap<WorkerId, Option<LeaseId>>,
}

impl KeptProcesses {
    /// How many processes there are, those that are leaving included.
    pub(in crate::scheduler) fn len(&self) -> usize {
        self.processes.len() + self.leaving.len()
    }

    pub(in crate::scheduler) fn any_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Those that are kept.
    pub(in crate::scheduler) fn ids(&self) -> Vec<WorkerId> {
        self.processes.keys().copied().collect()
    }

    /// Those that are being let go.
    pub(in crate::scheduler) fn leaving_ids(&self) -> Vec<WorkerId> {
        self.leaving.keys().copied().collect()
    }

    /// The one that has been idle longest.
    pub(in crate::scheduler) fn oldest(&self) -> Option<WorkerId> {
        self.by_age.values().next().copied()
    }

    /// What they hold of cards, the one that has been idle longest first.
    pub(in crate::scheduler) fn leases(&self) -> impl Iterator<Item = LeaseId> {
        let by_age = self.by_age.values().filter_map(|id| self.processes.get(id));
        by_age.filter_map(|(_, kept)| kept.process.resident)
    }

    /// The process that holds a lease.
    pub(in crate::scheduler) fn holder(&self, lease: LeaseId) -> Option<WorkerId> {
        let holds = |kept: &KeptProcess| kept.process.resident == Some(lease);
        self.processes.iter().find(|(_, (_, kept))| holds(kept)).map(|(id, _)| *id)
    }

    /// Whether a process is kept under the policy's key, with its data.
    pub(in crate::scheduler) fn has_data_for(&self, policy: &KeepPolicy) -> bool {
        policy.keeps_data() && self.by_key.contains_key(&policy.keep_key())
    }

    /// The card to which the process is tied, if it is, that is kept with a policy's data; `None` if there is no such
    /// process.
    pub(in crate::scheduler) fn card_with_data_for(&self, policy: &KeepPolicy) -> Option<Option<Device>> {
        let ids = self.by_key.get(&policy.keep_key()).filter(|_| policy.keeps_data())?;
        let (_, kept) = self.processes.get(ids.back()?)?;
        Some(kept.process.card)
    }

    /// Whether a process is kept that could serve the task on its card once it has loaded for it.
    pub(in crate::scheduler) fn any_to_reuse(&self, task: &ScheduledTask) -> bool {
        let Some(policy) = task.keep.as_deref().filter(|policy| policy.allows_reuse()) else { return false };
        self.best(&policy.reuse_key(), task, |_| Some(CardUse::default())).is_some()
    }

    /// The process that a task should take, if there is one. `card_use` tells how the card is used to which it is tied,
    /// or nothing if no task may load for that. One that would have to load is taken only if fewer than `most` tasks are
    /// ahead of its card.
    pub(in crate::scheduler) fn find_for(
        &self,
        task: &ScheduledTask,
        card_use: impl Fn(Option<Device>) -> Option<CardUse>,
        most: u32,
    ) -> Option<Found> {
        let policy = task.keep.as_deref()?;
        let suiting = |kept: &KeptProcess| {
            let card = card_use(kept.process.card)?;
            (!task.moves || card.training == 0).then_some(card)
        };
        if policy.keeps_data()
            && let Some(from) = self.best(&policy.keep_key(), task, suiting)
        {
            return Some(Found { from, has_data: true });
        }
        if !policy.allows_reuse() {
            return None;
        }
        let without_data = |kept: &KeptProcess| suiting(kept).filter(|card| card.ahead < most);
        let from = self.best(&policy.reuse_key(), task, without_data)?;
        Some(Found { from, has_data: false })
    }

    /// A task takes a process.
    pub(in crate::scheduler) fn take(&mut self, Found { from, has_data }: Found) -> Option<Taken> {
        Some(Taken { from, process: self.remove(from)?.process, has_data })
    }

    /// The process under a key whose card is used least; among those the one that was used last, as what it has in
    /// caches is freshest.
    fn best(
        &self,
        key: &KeepKey,
        task: &ScheduledTask,
        card_use: impl Fn(&KeptProcess) -> Option<CardUse>,
    ) -> Option<WorkerId> {
        let mut best: Option<(CardUse, WorkerId)> = None;
        for id in self.by_key.get(key)?.iter().rev() {
            let Some((_, kept)) = self.processes.get(id).filter(|(_, kept)| kept.suits(task)) else {
                continue;
            };
            match card_use(kept) {
                Some(card) if card == CardUse::default() => return Some(*id),
                Some(card) if best.is_none_or(|(least, _)| card < least) => best = Some((card, *id)),
                _ => {}
            }
        }
        best.map(|(_, id)| id)
    }

    pub(in crate::scheduler) fn insert(&mut self, id: WorkerId, kept: KeptProcess) {
        self.last_age += 1;
        self.by_age.insert(self.last_age, id);
        self.by_key.entry(kept.key.clone()).or_default().push_back(id);
        self.processes.insert(id, (self.last_age, kept));
    }

    /// A process is let go: it counts until it is gone. False if it was not kept.
    pub(in crate::scheduler) fn let_go(&mut self, id: WorkerId) -> bool {
        let Some(kept) = self.remove(id) else { return false };
        self.leaving.insert(id, kept.process.resident);
        true
    }

    /// A process is gone; `None` if it was none of these, otherwise what was still booked for it.
    pub(in crate::scheduler) fn gone(&mut self, id: WorkerId) -> Option<Option<LeaseId>> {
        self.remove(id).map(|kept| kept.process.resident).or_else(|| self.leaving.remove(&id))
    }

    fn remove(&mut self, id: WorkerId) -> Option<KeptProcess> {
        let (age, kept) = self.processes.remove(&id)?;
        self.by_age.remove(&age);
        if let Some(ids) = self.by_key.get_mut(&kept.key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(&kept.key);
            }
        }
        Some(kept)
    }

    /// # Errors
    /// Says what the two indexes do not agree on.
    pub(in crate::scheduler) fn check(&self) -> Result<(), String> {
        let aged = |(id, (age, _)): (&WorkerId, &(u64, KeptProcess))| self.by_age.get(age) == Some(id);
        if self.by_age.len() != self.processes.len() || !self.processes.iter().all(aged) {
            return Err("the kept processes by age are not the kept processes".into());
        }
        let keyed = |(id, (_, kept)): (&WorkerId, &(u64, KeptProcess))| {
            self.by_key.get(&kept.key).is_some_and(|ids| ids.contains(id))
        };
        let by_key: usize = self.by_key.values().map(VecDeque::len).sum();
        if by_key != self.processes.len() || !self.processes.iter().all(keyed) {
            return Err("the kept processes by key are not the kept processes".into());
        }
        Ok(())
    }
}
