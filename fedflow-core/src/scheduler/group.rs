//! The groups that are being scheduled: the one whose turn it is, and one that loads ahead of its turn.

use std::collections::{BTreeMap, VecDeque};

use super::estimate::Account;
use super::kept::Shelf;
use super::postponed::Postponed;
use super::ready::ReadyQueues;
use super::retry::Spent;
use super::{PlannedOutcome, Scheduler, TaskPlan, start_order};
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::name::Name;
use crate::model::time::Time;

/// A group whose tasks are being scheduled.
#[derive(Debug, Clone)]
pub(super) struct GroupState {
    pub(super) name: Name,
    pub(super) tasks: Vec<TaskState>,
    /// How many tasks have no outcome yet.
    pub(super) open: usize,
    /// How many workers are at its tasks.
    pub(super) workers: usize,
    /// How many of them are starting, loading or waiting.
    pub(super) ahead: u32,
    /// How many of those may load: the others are only up, or will be.
    pub(super) admitted: u32,
    pub(super) ready: ReadyQueues,
    pub(super) postponed: BTreeMap<Shelf, VecDeque<Postponed>>,
    /// Whether it is done, and only waits for its processes to exit.
    pub(super) left: bool,
    /// Workers that have loaded, the one that has waited longest first.
    pub(super) waiting: VecDeque<WorkerId>,
}

/// What the scheduler keeps of a task.
#[derive(Debug, Clone)]
pub(super) struct TaskState {
    pub(super) plan: TaskPlan,
    pub(super) progress: TaskProgress,
    pub(super) attempts: u32,
    pub(super) spent: Spent,
    /// Of its attempt, until that is over.
    pub(super) account: Option<Box<Account>>,
    /// What was learned of its memory does not fit the devices that it may have.
    pub(super) distrusted: bool,
    /// Its last process was ended as another card was free: it is not given to one that waits for a busy card.
    pub(super) moves: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskProgress {
    /// In a ready queue.
    Ready,
    /// It waits for the process that a task before it still has.
    Postponed,
    /// A worker is at it.
    Running(WorkerId),
    /// It waits until its next attempt may start.
    Delayed,
    /// It has its outcome.
    Over,
}

impl GroupState {
    /// The next task to start, and its rank in the order of start.
    pub(super) fn peek(&mut self) -> Option<(u32, u32)> {
        let tasks = &self.tasks;
        let gone = |place: u32| tasks.get(place as usize).is_none_or(|t| t.progress != TaskProgress::Ready);
        self.ready.peek(gone)
    }
}

impl Scheduler {
    /// Adds a group. Its tasks may start and load at once, after those of the groups before it; none of them is
    /// leased a device before [`Scheduler::begin_turn`].
    pub fn add_group(&mut self, index: u32, name: Name, plans: Vec<TaskPlan>) {
        let order = start_order(&plans, self.config.scheduler.order, self.seed ^ u64::from(index));
        let mut group = GroupState {
            name,
            tasks: Vec::with_capacity(plans.len()),
            open: plans.len(),
            workers: 0,
            ahead: 0,
            admitted: 0,
            ready: ReadyQueues::default(),
            postponed: BTreeMap::new(),
            left: false,
            waiting: VecDeque::new(),
        };
        let mut broken = Vec::new();
        for (place, mut plan) in (0_u32..).zip(plans) {
            let (outcome, attempts) = (plan.outcome.take(), plan.attempts_before);
            let mut task = TaskState {
                plan,
                progress: TaskProgress::Ready,
                attempts,
                spent: Spent::default(),
                account: None,
                distrusted: false,
                moves: false,
            };
            match outcome {
                None => {}
                Some(PlannedOutcome::Recorded) => {
                    task.progress = TaskProgress::Over;
                    group.open -= 1;
                }
                Some(PlannedOutcome::Broken(failure)) => {
                    task.attempts += 1;
                    // Not to be started; it fails below, as soon as the group is known.
                    task.progress = TaskProgress::Delayed;
                    broken.push((place, failure));
                }
            }
            group.tasks.push(task);
        }
        for (rank, place) in (0_u32..).zip(order) {
            let Some(task) = group.tasks.get(place as usize) else { continue };
            if task.progress == TaskProgress::Ready {
                group.ready.push(task.plan.pin.as_ref(), rank, place);
                if let Some(card) = task.plan.stay.as_deref().and_then(|stay| self.kept.card_of_key(stay)) {
                    group.ready.push_takeover(task.plan.pin.as_ref(), card, rank, place);
                }
            }
        }
        self.groups.insert(index, group);
        for (place, failure) in broken {
            self.fail_for_good(TaskKey { group: index, place }, *failure, None);
        }
    }

    /// From now on the tasks of this group may train.
    pub fn begin_turn(&mut self, index: u32) {
        self.turn = index;
        self.resume_all_postponed(index);
        self.lease_round.request();
    }

    /// Forgets a group that is done, at the latest when the last of its processes is gone.
    pub fn remove_group(&mut self, index: u32) {
        if let Some(group) = self.groups.get_mut(&index) {
            group.left = true;
        }
        self.forget_if_left(index);
    }

    /// A process that was at a group's tasks is gone.
    pub(super) fn forget_if_left(&mut self, index: u32) {
        if self.groups.get(&index).is_some_and(|group| group.left && group.workers == 0) {
            self.groups.remove(&index);
        }
    }

    /// Whether there is nothing left to do for a group: every task has its outcome and no worker is at any of
    /// them, or the run is being stopped and every process is gone.
    ///
    /// For a group that has loaded ahead of its turn, it need not be waited until the processes have exited whose tasks
    /// have their outcome.
    #[must_use]
    pub fn is_done(&self, index: u32) -> bool {
        let someone_waits = || self.groups.range(index + 1..).next().is_some();
        let over = |group: &GroupState| group.open == 0 && (group.workers == 0 || someone_waits());
        let over = || self.groups.get(&index).is_none_or(over);
        self.commands.is_empty() && if self.stop.is_some() { self.is_idle() } else { over() }
    }

    /// Whether no process is left, kept ones included.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.commands.is_empty() && self.workers.is_empty() && self.kept.is_empty() && self.leaving.is_empty()
    }

    /// How many tasks of a group have no outcome yet.
    #[must_use]
    pub fn open_tasks(&self, index: u32) -> usize {
        self.groups.get(&index).map_or(0, |group| group.open)
    }

    pub(super) fn task(&self, key: TaskKey) -> Option<&TaskState> {
        self.groups.get(&key.group)?.tasks.get(key.place as usize)
    }

    pub(super) fn task_mut(&mut self, key: TaskKey) -> Option<&mut TaskState> {
        self.groups.get_mut(&key.group)?.tasks.get_mut(key.place as usize)
    }

    /// The names of a task's group and of the task.
    pub(super) fn names(&self, key: TaskKey) -> Option<(Name, Name)> {
        let group = self.groups.get(&key.group)?;
        Some((group.name.clone(), group.tasks.get(key.place as usize)?.plan.task_id.clone()))
    }

    /// Puts a task that is tried again before all others.
    pub(super) fn make_ready(&mut self, key: TaskKey) {
        let Some(group) = self.groups.get_mut(&key.group) else { return };
        let Some(task) = group.tasks.get_mut(key.place as usize) else { return };
        task.progress = TaskProgress::Ready;
        group.ready.push_front(task.plan.pin.as_ref(), key.place);
    }

    pub(super) fn over(&mut self, key: TaskKey) {
        let Some(group) = self.groups.get_mut(&key.group) else { return };
        if let Some(task) = group.tasks.get_mut(key.place as usize) {
            task.progress = TaskProgress::Over;
            group.open -= 1;
        }
    }

    /// A delay before an attempt is over.
    pub(super) fn retry_due(&mut self, key: TaskKey) {
        if self.task(key).is_some_and(|task| task.progress == TaskProgress::Delayed) {
            self.make_ready(key);
        }
    }

    /// Ends one worker that has loaded ahead, as the group whose turn it is needs its room; its task starts anew
    /// later. Says whether there was one.
    pub(super) fn give_way(&mut self, now: Time) -> bool {
        let turn = self.turn;
        let is_going = |worker: &super::Worker| {
            worker.task.group > turn && matches!(worker.phase, super::Phase::Ending { .. })
        };
        if self.workers.values().any(is_going) {
            return true;
        }
        let ahead = |worker: &super::Worker| worker.task.group > turn && worker.ahead;
        let youngest = self.workers.iter().rev().find(|(_, worker)| ahead(worker)).map(|(id, _)| *id);
        let Some(id) = youngest else { return false };
        self.end(now, id, None, super::Severity::Asked);
        true
    }
}
