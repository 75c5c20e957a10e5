//! What may go on now: leases for those who have loaded, loading for those who are up, starts for those who are
//! ready, in this order.

use super::estimate::Account;
use super::kept::KeptWorker;
use super::plan::Stay;
use super::worker::{Phase, Worker};
use super::{Command, Scheduler, TaskProgress};
use crate::event::RunEvent;
use crate::ports::{TaskKey, WorkerId};
use crate::quantity::Size;
use crate::time::Time;

/// How many processes are started ahead of need: up and past their handshake when the host gets room for them.
const SPARE: usize = 2;

impl Scheduler {
    /// The next thing to do, if there is one now.
    #[must_use]
    pub fn poll_command(&mut self, now: Time) -> Option<Command> {
        loop {
            if let Some(command) = self.commands.pop_front() {
                return Some(command);
            }
            if self.stop.is_some() {
                return None;
            }
            if let Some(command) = self.next_lease_try(now) {
                return Some(command);
            }
            let went_on = self.load_next(now) || self.admit_next(now) || self.start_next(now);
            // Who stands in the way of the next start may have been asked to go.
            if !went_on && self.commands.is_empty() {
                return None;
            }
        }
    }

    /// Has one worker load that is up. Processors that are too busy delay it, unless nothing else is at work.
    fn load_next(&mut self, now: Time) -> bool {
        if self.busy > 0 && !self.host.processors_free() {
            return false;
        }
        let Some(id) = self.available.pop_front() else { return false };
        let Some(worker) = self.workers.get(&id).filter(|w| matches!(w.phase, Phase::Available)) else {
            return true;
        };
        let (task, attempt) = (worker.task, worker.attempt);
        self.enter(now, id, Phase::Loading { since: now });
        self.tell(task, |group, task| RunEvent::TaskLoading { group, task, attempt });
        self.commands.push_back(Command::Load(id));
        true
    }

    /// Makes room on the host for one worker that is up ahead of need.
    fn admit_next(&mut self, now: Time) -> bool {
        let Some(&id) = self.spare.front() else { return false };
        let Some(worker) = self.workers.get(&id).filter(|w| matches!(w.phase, Phase::Available)) else {
            self.spare.pop_front();
            return true;
        };
        let task = worker.task;
        let memory = self.memory_for(task).size;
        if !self.has_room(now, memory, task.group) {
            return false;
        }
        self.spare.pop_front();
        self.admit(id);
        self.reserve(id, memory);
        self.available.push_back(id);
        true
    }

    /// Starts one task, if the limits allow it.
    fn start_next(&mut self, now: Time) -> bool {
        let mut ahead = 0;
        let depth = self.depth.wanted(self.config.scheduler.max_waiting);
        let mut next = None;
        for (&index, group) in &mut self.groups {
            ahead += group.ahead;
            if let Some(place) = group.peek() {
                next = Some(TaskKey { group: index, place });
                break;
            }
        }
        let Some(task) = next.filter(|_| ahead < depth) else { return false };
        let Some(state) = self.task(task) else { return false };
        let (memory, stay) = (self.memory_for(task).size, state.plan.stay.clone());
        if let Some(stay) = stay {
            let loaded = self.kept.has_key_of(&stay);
            if (loaded || self.unadmitted < SPARE) && self.hand_over(now, task, &stay, memory) {
                return true;
            }
        }
        if self.processes() >= self.config.scheduler.max_process as usize {
            // Somebody may have to go first; the start follows when it is gone.
            if !self.let_one_go(now) && self.needs_way(task.group) {
                self.give_way(now);
            }
            return false;
        }
        if self.unadmitted >= SPARE {
            return false;
        }
        let (worker, attempt) = self.begin_attempt(now, self.worker(now, task));
        self.admit_if_room(now, worker, memory, task.group);
        self.commands.push_back(Command::Start { worker, task, attempt });
        true
    }

    /// Gives a task to a process that was kept for the like of it, if there is one.
    fn hand_over(&mut self, now: Time, task: TaskKey, stay: &Stay, memory: Size) -> bool {
        let tasks = self.groups.get(&task.group).map(|group| &group.tasks);
        let Some(state) = tasks.and_then(|tasks| tasks.get(task.place as usize)) else { return false };
        let Some((from, kept, loaded)) = self.kept.take_for(stay, &state.plan) else { return false };
        let KeptWorker { served, resident, stays_on, .. } = kept;
        let worker = Worker { served, resident, stays_on, ..self.worker(now, task) };
        let (to, attempt) = self.begin_attempt(now, worker);
        if loaded {
            // What it has loaded is in what was measured of the host.
            self.admit(to);
        } else {
            self.admit_if_room(now, to, memory, task.group);
        }
        self.commands.push_back(Command::HandOver { from, to, task, attempt });
        true
    }

    /// Whether the host has room for a task of a group. No limit keeps the only task from loading. If there is no
    /// room, who is kept or ahead of its turn makes some.
    fn has_room(&mut self, now: Time, memory: Size, group: u32) -> bool {
        let memory_free = self.host.has_room(memory);
        if memory_free && self.host.processors_free() {
            return true;
        }
        let nobody_at_work = self.workers.len() == self.unadmitted;
        if !memory_free {
            // What the last one gave back is seen in the next sample: until then nobody else must go.
            if !self.room_told {
                return nobody_at_work;
            }
            if self.let_one_go(now) || (self.needs_way(group) && self.give_way(now)) {
                return false;
            }
        }
        // Those who have loaded ahead of their turn are not at work.
        nobody_at_work || self.needs_way(group)
    }

    /// Whether it is a group's turn and none of its workers is at work, so that only others can be in its way.
    fn needs_way(&self, group: u32) -> bool {
        let at_work = |worker: &Worker| worker.task.group == group && worker.admitted;
        group == self.turn && !self.workers.values().any(at_work)
    }

    fn processes(&self) -> usize {
        self.workers.len() + self.kept.len() + self.leaving.len()
    }

    fn worker(&self, now: Time, task: TaskKey) -> Worker {
        Worker {
            task,
            attempt: self.task(task).map_or(1, |task| task.attempts + 1),
            started: now,
            phase: Phase::Starting,
            lead_seconds: 0.0,
            load_seconds: None,
            trained: None,
            reserved: Size::ZERO,
            admitted: false,
            ahead: false,
            served: 0,
            resident: None,
            holds_since: None,
            stays_on: None,
            device_lost: None,
        }
    }

    /// Begins an attempt at a task with a worker that has no number yet.
    fn begin_attempt(&mut self, now: Time, worker: Worker) -> (WorkerId, u32) {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let attempt = worker.attempt;
        let account = Account::new(self.memory_for(worker.task));
        if let Some(task) = self.task_mut(worker.task) {
            task.account = Some(Box::new(account));
            task.attempts = attempt;
            task.progress = TaskProgress::Running(id);
        }
        if let Some(group) = self.groups.get_mut(&worker.task.group) {
            group.workers += 1;
        }
        self.unadmitted += 1;
        self.workers.insert(id, worker);
        self.enter(now, id, Phase::Starting);
        (id, attempt)
    }

    fn admit_if_room(&mut self, now: Time, id: WorkerId, memory: Size, group: u32) {
        // Those who are up already come first.
        if self.unadmitted == 1 && self.has_room(now, memory, group) {
            self.admit(id);
            self.reserve(id, memory);
        }
    }

    fn reserve(&mut self, id: WorkerId, memory: Size) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.reserved = memory;
            self.host.reserve(memory);
        }
    }
}
