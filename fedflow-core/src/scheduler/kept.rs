//! Processes that stay when their task has its result: for the next task of their worker, or for the next one with
//! their key, which finds what was loaded. They hold no device; they are let go when somebody needs their room.

use std::collections::{BTreeMap, VecDeque};

use super::group::TaskState;
use super::plan::{Stay, TaskPlan};
use super::ties::{CardUse, CardUses, Effort};
use super::timers::Due;
use super::worker::{Severity, Worker};
use super::{Command, Scheduler};
use crate::leasing::lease::{Lease, LeaseId};
use crate::model::device::{Device, Pin};
use crate::model::identity::WorkerId;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;

/// A process without a task.
#[derive(Debug, Clone)]
pub(super) struct KeptWorker {
    shelf: Shelf,
    /// How many tasks it has served.
    pub(super) served: u32,
    /// What stays booked of the card that it trained on, as its context stays there.
    pub(super) resident: Option<LeaseId>,
    /// That card: its context cannot be moved.
    pub(super) stays_on: Option<Device>,
    /// What it would take to have such a process again.
    pub(super) effort: Effort,
    /// To which device its task was tied.
    pin: Option<Pin>,
}

impl KeptWorker {
    /// Whether a task may train where the process must.
    fn suits(&self, plan: &TaskPlan) -> bool {
        let Some(device) = self.stays_on else { return true };
        let pin = plan.pin.as_ref();
        let may_train_there =
            pin.is_none_or(|pin| self.pin.as_ref() == Some(pin) || *pin == Pin::Device(device));
        plan.needs.devices == 1 && may_train_there
    }
}

/// The worker program; and the task kind and the key, if it was kept with what it has loaded.
pub(super) type Shelf = (Box<str>, Option<(Box<str>, Box<str>)>);

impl Stay {
    /// Where a process is kept after such a task.
    pub(super) fn shelf(&self) -> Shelf {
        let key = self.keep.as_ref().map(|key| (self.kind.clone(), key.clone()));
        (self.worker.clone(), key)
    }

    /// Whether what such a task leaves is found by tasks of another one.
    pub(super) fn keeps_the_same_as(&self, other: &Self) -> bool {
        (&self.worker, &self.kind, &self.keep) == (&other.worker, &other.kind, &other.keep)
    }

    /// Whether a process stays after such a task that has served so many before.
    pub(super) fn serves_after(&self, served: u32) -> bool {
        served + 1 < self.reuse.and_then(|reuse| reuse.limit).unwrap_or(u32::MAX)
    }

    /// Where the processes are that any task of its worker may have.
    fn shelf_of_reuse(&self) -> Shelf {
        (self.worker.clone(), None)
    }
}

/// All processes that are kept, the one that has been idle longest first.
#[derive(Debug, Clone, Default)]
pub(super) struct KeptWorkers {
    // A worker's number grows with each task that it serves, so the order of numbers is nearly that of use; the
    // order in which they became idle is exact.
    by_age: BTreeMap<u64, WorkerId>,
    workers: BTreeMap<WorkerId, (u64, KeptWorker)>,
    shelves: BTreeMap<Shelf, VecDeque<WorkerId>>,
    next_age: u64,
}

impl KeptWorkers {
    pub(super) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether a process is kept under the task's key.
    pub(super) fn has_key_of(&self, stay: &Stay) -> bool {
        stay.keep.is_some() && self.shelves.contains_key(&stay.shelf())
    }

    /// To which card the process is tied, if one is, that is kept under the task's key; none if there is no process.
    pub(super) fn card_of_key(&self, stay: &Stay) -> Option<Option<Device>> {
        let shelf = self.shelves.get(&stay.shelf()).filter(|_| stay.keep.is_some())?;
        let (_, kept) = self.workers.get(shelf.back()?)?;
        Some(kept.stays_on)
    }

    /// The process that a task takes, if there is one, and whether it has what the task needs loaded. One that would
    /// have to load is taken only if fewer than `most` tasks are ahead of the card to which it is tied.
    pub(super) fn take_for(
        &mut self,
        task: &TaskState,
        cards: &CardUses,
        most: u32,
    ) -> Option<(WorkerId, KeptWorker, bool)> {
        let stay = task.plan.stay.as_deref()?;
        let suiting = |kept: &KeptWorker| {
            let card = cards.of(kept.stays_on);
            (!task.moves || card.training == 0).then_some(card)
        };
        if stay.keep.is_some()
            && let Some(id) = self.best(&stay.shelf(), &task.plan, suiting)
        {
            return Some((id, self.remove(id)?, true));
        }
        let unloaded = |kept: &KeptWorker| suiting(kept).filter(|card| card.ahead < most);
        stay.reuse?;
        let id = self.best(&stay.shelf_of_reuse(), &task.plan, unloaded)?;
        Some((id, self.remove(id)?, false))
    }

    /// Whether processes are kept that would have to load, and could serve the task on their cards.
    pub(super) fn any_to_reuse(&self, plan: &TaskPlan) -> bool {
        let Some(stay) = plan.stay.as_deref().filter(|stay| stay.reuse.is_some()) else { return false };
        self.best(&stay.shelf_of_reuse(), plan, |_| Some(CardUse::default())).is_some()
    }

    /// The process on a shelf on whose card the least goes on; among those the one that was used last, as what it has
    /// in caches is freshest.
    fn best(
        &self,
        shelf: &Shelf,
        plan: &TaskPlan,
        card: impl Fn(&KeptWorker) -> Option<CardUse>,
    ) -> Option<WorkerId> {
        let mut best: Option<(CardUse, WorkerId)> = None;
        for id in self.shelves.get(shelf)?.iter().rev() {
            let Some((_, kept)) = self.workers.get(id).filter(|(_, kept)| kept.suits(plan)) else { continue };
            match card(kept) {
                Some(card) if card == CardUse::default() => return Some(*id),
                Some(card) if best.is_none_or(|(least, _)| card < least) => best = Some((card, *id)),
                _ => {}
            }
        }
        best.map(|(_, id)| id)
    }

    pub(super) fn insert(&mut self, id: WorkerId, kept: KeptWorker) {
        self.next_age += 1;
        self.by_age.insert(self.next_age, id);
        self.shelves.entry(kept.shelf.clone()).or_default().push_back(id);
        self.workers.insert(id, (self.next_age, kept));
    }

    pub(super) fn remove(&mut self, id: WorkerId) -> Option<KeptWorker> {
        let (age, kept) = self.workers.remove(&id)?;
        self.by_age.remove(&age);
        if let Some(shelf) = self.shelves.get_mut(&kept.shelf) {
            shelf.retain(|other| *other != id);
            if shelf.is_empty() {
                self.shelves.remove(&kept.shelf);
            }
        }
        Some(kept)
    }

    /// The one that has been idle longest.
    fn oldest(&self) -> Option<WorkerId> {
        self.by_age.values().next().copied()
    }

    fn find(&self, test: impl Fn(&KeptWorker) -> bool) -> Option<WorkerId> {
        self.workers.iter().find(|(_, (_, kept))| test(kept)).map(|(id, _)| *id)
    }

    fn ids(&self) -> Vec<WorkerId> {
        self.workers.keys().copied().collect()
    }

    /// What they hold of cards, the one that has been idle longest first.
    fn leases(&self) -> impl Iterator<Item = LeaseId> {
        let by_age = self.by_age.values().filter_map(|id| self.workers.get(id));
        by_age.filter_map(|(_, kept)| kept.resident)
    }
}

/// A process that was kept and is being ended.
#[derive(Debug, Clone)]
pub(super) struct LeavingWorker {
    severity: Severity,
    resident: Option<LeaseId>,
}

impl Scheduler {
    /// The leases whose cards are not trained on, but held by the contexts of processes that were kept and can be
    /// asked to go: the one that has been idle longest first, those that have a new task by now last.
    #[must_use]
    pub fn idle_leases(&self, asker: WorkerId) -> Vec<LeaseId> {
        let waiting = self.workers.iter().rev().filter(|(id, _)| **id != asker);
        self.kept.leases().chain(waiting.filter_map(|(_, worker)| worker.idle_lease())).collect()
    }

    /// Whether a worker's process stays after its task.
    pub(super) fn stays(&self, worker: &Worker, lease: &Lease) -> bool {
        let Some(stay) = self.task(worker.task).and_then(|task| task.plan.stay.as_deref()) else {
            return false;
        };
        self.stop.is_none() && stay.serves_after(worker.served) && lease.shares.len() == 1
    }

    /// Keeps the process of a worker whose task has its result.
    pub(super) fn keep(&mut self, id: WorkerId, lease: &Lease) {
        let Some(worker) = self.take_out(id) else { return };
        let Some(stay) = self.task(worker.task).and_then(|task| task.plan.stay.clone()) else { return };
        let attempt = worker.attempt;
        self.tell(worker.task, |group, task| RunEvent::TaskExited { group, task, attempt });
        let pin = self.task(worker.task).and_then(|task| task.plan.pin.clone());
        let mut kept = KeptWorker {
            pin,
            shelf: stay.shelf(),
            served: worker.served + 1,
            resident: worker.resident,
            stays_on: None,
            effort: worker.effort,
        };
        if lease.shares.iter().any(|share| share.memory.is_some()) {
            kept.stays_on = Some(lease.device());
        } else {
            // Nothing of a CPU slot is held by a process that does not train.
            self.commands.extend(kept.resident.take().map(Command::Release));
        }
        self.commands.push_back(Command::Keep(id));
        self.kept.insert(id, kept);
        self.look_at_postponed(&stay);
    }

    /// Lets the process go that has been idle longest. Says whether room is on its way.
    pub(super) fn let_one_go(&mut self, now: Time) -> bool {
        if !self.leaving.is_empty() {
            return true;
        }
        let Some(id) = self.kept.oldest() else { return false };
        self.let_go(now, id, Severity::Asked);
        true
    }

    /// Lets the process go that holds a lease for which nobody trains. If it has a task by now, that starts anew
    /// in another process.
    pub(super) fn let_lease_go(&mut self, now: Time, lease: LeaseId) {
        if let Some(id) = self.kept.find(|kept| kept.resident == Some(lease)) {
            self.let_go(now, id, Severity::Asked);
            return;
        }
        let holder = self.workers.iter().find(|(_, worker)| worker.idle_lease() == Some(lease));
        if let Some(id) = holder.map(|(id, _)| *id) {
            self.end(now, id, None, Severity::Asked);
        }
    }

    /// The run is over: tells every kept process to exit.
    pub fn dismiss(&mut self, now: Time) {
        self.let_all_go(now, Severity::Asked);
    }

    /// Lets every kept process go.
    pub(super) fn let_all_go(&mut self, now: Time, severity: Severity) {
        for id in self.kept.ids() {
            self.let_go(now, id, severity);
        }
        let late: Vec<WorkerId> =
            self.leaving.iter().filter(|(_, l)| l.severity < severity).map(|(id, _)| *id).collect();
        for id in late {
            self.press(now, id, severity);
        }
    }

    /// A kept process, or one that is being let go, is gone. Says whether it was one of them.
    pub(super) fn kept_gone(&mut self, id: WorkerId) -> bool {
        let resident = match (self.kept.remove(id), self.leaving.remove(&id)) {
            (Some(kept), _) => kept.resident,
            (None, Some(leaving)) => leaving.resident,
            (None, None) => return false,
        };
        self.timers.clear(Due::Worker(id));
        self.room_told = false;
        if let Some(lease) = resident {
            self.commands.push_back(Command::Release(lease));
            self.lease_round.request();
        }
        true
    }

    /// A process that is being let go takes too long. Says whether it was one.
    pub(super) fn leaving_timed_out(&mut self, now: Time, id: WorkerId) -> bool {
        let Some(leaving) = self.leaving.get(&id) else { return false };
        let next = match leaving.severity {
            Severity::Asked => Severity::Terminated,
            Severity::Terminated | Severity::Killed => Severity::Killed,
        };
        self.press(now, id, next);
        true
    }

    fn let_go(&mut self, now: Time, id: WorkerId, severity: Severity) {
        let Some(kept) = self.kept.remove(id) else { return };
        self.leaving.insert(id, LeavingWorker { severity, resident: kept.resident });
        self.press(now, id, severity);
    }

    fn press(&mut self, now: Time, id: WorkerId, severity: Severity) {
        let Some(leaving) = self.leaving.get_mut(&id) else { return };
        leaving.severity = severity;
        let supervision = &self.config.supervision;
        let (command, limit) = match severity {
            Severity::Asked => (Command::Exit(id), supervision.limits.exit_timeout),
            Severity::Terminated => (Command::Terminate(id), Some(supervision.grace)),
            Severity::Killed => (Command::Kill(id), None),
        };
        self.commands.push_back(command);
        match limit {
            Some(limit) => self.timers.set(Due::Worker(id), now + limit),
            None => self.timers.clear(Due::Worker(id)),
        }
    }
}
