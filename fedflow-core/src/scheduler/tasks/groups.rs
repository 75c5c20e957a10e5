//! The groups that are not done: the active one, whose tasks may train, and those that load ahead.
//!
//! A group is closed when it is added: all its tasks are known. An *open group*, to which tasks are added while it is
//! active, would differ in two places: [`Groups::add`] would be told that more may come and a second function would
//! append to `tasks` and `ready` (a rank is a place in the start order, so appended tasks come last unless they have a
//! priority); and a group with `open == 0` would be done only once it was closed. Nothing else asks how many tasks a
//! group has.

mod postponed;
mod ready_queues;

use std::collections::BTreeMap;
use std::sync::Arc;

use postponed::{Postponed, PostponedTask};
use ready_queues::ReadyQueues;
pub(in crate::scheduler) use ready_queues::ReadyTask;

use super::demand::{Demand, Fitting};
use super::keep_policy::KeepPolicy;
use super::task::{NotRun, ScheduledTask, TaskState};
use crate::model::device::Device;
use crate::model::identity::TaskKey;
use crate::model::name::Name;
use crate::scheduler::devices::supply::Supply;
use crate::scheduler::processes::workers::Workers;

/// The groups by index, and which of them is active.
#[derive(Debug, Clone, Default)]
pub(in crate::scheduler) struct Groups {
    active: u32,
    all: BTreeMap<u32, Group>,
}

#[derive(Debug, Clone)]
struct Group {
    name: Name,
    tasks: Vec<ScheduledTask>,
    /// How many tasks have no outcome yet.
    open: usize,
    ready: ReadyQueues,
    postponed: Postponed,
    /// Whether it was removed, and only waits for its processes to exit.
    is_removed: bool,
}

impl Groups {
    /// Adds a group. The tasks that are ready are queued in the start order; `card` says for which of them a process is
    /// kept, and on which card. Returns the tasks that are not run, each with its reason: none of them has its outcome yet.
    pub(in crate::scheduler) fn add(
        &mut self,
        index: u32,
        name: Name,
        tasks: Vec<ScheduledTask>,
        start_order: &[u32],
        fitting: Fitting<'_>,
        card: impl Fn(&KeepPolicy) -> Option<Option<Device>>,
    ) -> Vec<(TaskKey, NotRun)> {
        let mut group = Group {
            name,
            open: tasks.iter().filter(|task| task.state != TaskState::Over).count(),
            tasks,
            ready: ReadyQueues::default(),
            postponed: Postponed::default(),
            is_removed: false,
        };
        let mut not_run = Vec::new();
        for (place, task) in (0..).zip(&group.tasks) {
            if let TaskState::NotRun(reason) = &task.state {
                not_run.push((TaskKey { group: index, place }, NotRun::clone(reason)));
            }
        }
        for (rank, place) in (0..).zip(start_order.iter().copied()) {
            let ready = |task: &&ScheduledTask| task.state == TaskState::Ready;
            let Some(task) = group.tasks.get(place as usize).filter(ready) else { continue };
            let pinned = task.pin().is_some();
            group.ready.push(fitting.demand(task, None), pinned, rank, place);
            if let Some(card) = task.keep.as_deref().and_then(&card) {
                group.ready.push_with_process(
                    fitting.demand(task, card),
                    pinned,
                    rank,
                    (place, task.readied),
                );
            }
        }
        self.all.insert(index, group);
        not_run
    }

    pub(in crate::scheduler) fn activate(&mut self, index: u32) {
        self.active = index;
    }

    /// The index of the active group.
    pub(in crate::scheduler) fn active(&self) -> u32 {
        self.active
    }

    /// The indexes of the groups after the active one.
    pub(in crate::scheduler) fn after_active(&self) -> Vec<u32> {
        self.all.range(self.active + 1..).map(|(index, _)| *index).collect()
    }

    /// A group is forgotten as soon as it has no process.
    pub(in crate::scheduler) fn remove(&mut self, index: u32) {
        if let Some(group) = self.all.get_mut(&index) {
            group.is_removed = true;
        }
    }

    /// Forgets a group that was removed and has no process any more.
    pub(in crate::scheduler) fn forget_if_removed(&mut self, index: u32) {
        if self.all.get(&index).is_some_and(|group| group.is_removed) {
            self.all.remove(&index);
        }
    }

    /// How many tasks of a group have no outcome yet.
    pub(in crate::scheduler) fn open(&self, index: u32) -> usize {
        self.all.get(&index).map_or(0, |group| group.open)
    }

    pub(in crate::scheduler) fn task(&self, key: TaskKey) -> Option<&ScheduledTask> {
        self.all.get(&key.group)?.tasks.get(key.place as usize)
    }

    pub(in crate::scheduler) fn task_mut(&mut self, key: TaskKey) -> Option<&mut ScheduledTask> {
        self.all.get_mut(&key.group)?.tasks.get_mut(key.place as usize)
    }

    /// The names of a task's group and of the task.
    pub(in crate::scheduler) fn names(&self, key: TaskKey) -> Option<(Name, Name)> {
        Some((self.all.get(&key.group)?.name.clone(), self.task(key)?.task_id.clone()))
    }

    /// The next task to start, of the first group that has one; not from the queues that were tried.
    pub(in crate::scheduler) fn first_ready(
        &mut self,
        tried: &[Demand],
        fitting: Fitting<'_>,
        workers: &Workers,
    ) -> Option<(TaskKey, ReadyTask)> {
        self.all.iter_mut().find_map(|(&group, Group { tasks, ready, .. })| {
            ready.forget(|place, readied| is_ready(tasks, place, readied)).then_some(())?;
            let fit = |place: u32| tasks.get(place as usize).map(|task| fitting.fit(task, None));
            let mut supply = None;
            let level = |fit| {
                let new = || Supply::of(fitting.devices, workers.iter().map(|(_, worker)| worker), group);
                supply.get_or_insert_with(new).level(fit)
            };
            let first = ready.first(tried, fit, level);
            Some(first.map(|first| (TaskKey { group, place: first.place }, first)))
        })?
    }

    /// A task that is tried again is ready, before all others.
    pub(in crate::scheduler) fn make_ready(&mut self, key: TaskKey, fitting: Fitting<'_>) {
        let Some(group) = self.all.get_mut(&key.group) else { return };
        let Some(task) = group.tasks.get_mut(key.place as usize) else { return };
        task.state = TaskState::Ready;
        task.readied += 1;
        group.ready.push_front(fitting.demand(task, None), task.pin().is_some(), key.place, task.readied);
    }

    /// A task has its outcome.
    pub(in crate::scheduler) fn end_task(&mut self, key: TaskKey) {
        let Some(group) = self.all.get_mut(&key.group) else { return };
        if let Some(task) = group.tasks.get_mut(key.place as usize)
            && task.state != TaskState::Over
        {
            task.state = TaskState::Over;
            group.open -= 1;
        }
    }

    /// Postpones a ready task, unless as many as `coming` wait for the same data. Says whether it did.
    pub(in crate::scheduler) fn postpone(&mut self, key: TaskKey, rank: u32, coming: usize) -> bool {
        let Some(group) = self.all.get_mut(&key.group) else { return false };
        let Some(task) = group.tasks.get_mut(key.place as usize) else { return false };
        let Some(policy) = &task.keep else { return false };
        if group.postponed.count(policy) >= coming {
            return false;
        }
        group.postponed.push(policy, PostponedTask { place: key.place, rank });
        task.state = TaskState::Postponed;
        true
    }

    /// What the postponed tasks of a group wait for.
    pub(in crate::scheduler) fn postponed_policies(&self, index: u32) -> Vec<Arc<KeepPolicy>> {
        self.all.get(&index).map(|group| group.postponed.policies()).unwrap_or_default()
    }

    /// Makes all but so many of a group's tasks ready that were postponed for the same data. `card` is where it is kept,
    /// if it is.
    pub(in crate::scheduler) fn resume_postponed(
        &mut self,
        index: u32,
        policy: &KeepPolicy,
        left: usize,
        fitting: Fitting<'_>,
        card: Option<Option<Device>>,
    ) {
        let Some(group) = self.all.get_mut(&index) else { return };
        while group.postponed.count(policy) > left {
            let Some(PostponedTask { place, rank }) = group.postponed.pop(policy) else { return };
            let Some(task) = group.tasks.get_mut(place as usize) else { return };
            if task.state != TaskState::Postponed {
                continue;
            }
            task.state = TaskState::Ready;
            task.readied += 1;
            let (pinned, readied) = (task.pin().is_some(), task.readied);
            let demand = fitting.demand(task, card.flatten());
            match card {
                Some(_) => group.ready.push_with_process(demand, pinned, rank, (place, readied)),
                None => group.ready.push_front(demand, pinned, place, readied),
            }
        }
    }

    /// All tasks, for the invariants.
    pub(in crate::scheduler) fn tasks(&self) -> impl Iterator<Item = (TaskKey, &ScheduledTask)> {
        self.all.iter().flat_map(|(&group, state)| {
            (0..).zip(&state.tasks).map(move |(place, task)| (TaskKey { group, place }, task))
        })
    }

    /// # Errors
    /// Says which count of open tasks is wrong, or which task is not queued as its state says.
    pub(in crate::scheduler) fn check(&self) -> Result<(), String> {
        for (index, group) in &self.all {
            let open = group.tasks.iter().filter(|task| task.state != TaskState::Over).count();
            if open != group.open {
                return Err(format!("{open} tasks of group {index} are open, booked are {}", group.open));
            }
            let all = group.tasks.len();
            let queued = group.ready.counts(all, |place, readied| is_ready(&group.tasks, place, readied));
            let postponed = group.postponed.counts(all, |place| {
                group.tasks.get(place as usize).is_some_and(|task| task.state == TaskState::Postponed)
            });
            let queues = queued.into_iter().zip(postponed);
            for ((place, task), ((own, with_process), waits)) in (0_u32..).zip(&group.tasks).zip(queues) {
                let is_right = match task.state {
                    // A process may be kept for it besides.
                    TaskState::Ready => own <= 1 && with_process <= 1 && own + with_process > 0 && waits == 0,
                    TaskState::Postponed => own + with_process == 0 && waits == 1,
                    _ => own + with_process + waits == 0,
                };
                if !is_right {
                    let queues =
                        format!("{own} times, {with_process} times for a process, postponed {waits} times");
                    return Err(format!(
                        "task {place} of group {index} is {:?}, and queued {queues}",
                        task.state
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether a task is ready, and has been as often before.
fn is_ready(tasks: &[ScheduledTask], place: u32, readied: u32) -> bool {
    tasks.get(place as usize).is_some_and(|task| task.state == TaskState::Ready && task.readied == readied)
}
