//! What may go on now: leases for those who have loaded, loading for those who are up, starts for those who are
//! ready, in this order.

use super::depth::Declared;
use super::estimate::Account;
use super::kept::KeptWorker;
use super::plan::Stay;
use super::ready::LaneName;
use super::ties::Effort;
use super::worker::{Moving, Phase, Worker};
use super::{Command, Scheduler, TaskProgress};
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::memory_use::EstimateSource;
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;

/// How many processes are started ahead of need: up and past their handshake when the host gets room for them, or when
/// one more task may be ahead of the devices.
const SPARE: u32 = 2;

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
        let start_seconds = worker.was_spare.then_some(worker.lead_seconds);
        self.enter(now, id, Phase::Loading { since: now });
        self.tell(task, |group, task| RunEvent::TaskLoading { group, task, attempt, start_seconds });
        self.commands.push_back(Command::Load(id));
        true
    }

    /// Makes room for one worker that is up ahead of need: on the host, and among those who may be ahead of the devices.
    fn admit_next(&mut self, now: Time) -> bool {
        let workers = &self.workers;
        self.spare.retain(|id| workers.get(id).is_some_and(|w| matches!(w.phase, Phase::Available)));
        let order = |id: &WorkerId| {
            let worker = self.workers.get(id)?;
            let group = self.groups.get(&worker.task.group)?;
            let pin = self.task(worker.task)?.plan.pin.as_ref();
            Some((worker.task.group, group.ready.ahead(&LaneName::of(pin, worker.stays_on))))
        };
        let Some(id) = self.spare.iter().copied().min_by_key(order) else { return false };
        let Some(task) = self.workers.get(&id).map(|worker| worker.task) else { return false };
        let memory = self.memory_for(task).size;
        if !self.may_load(task) || !self.has_room(now, memory, task.group) {
            return false;
        }
        self.spare.retain(|spare| *spare != id);
        if let Some(worker) = self.workers.get_mut(&id) {
            // It was up before its time.
            worker.started = now;
            worker.was_spare = true;
        }
        self.admit(id);
        self.set_deadline(now, id);
        self.reserve(id, memory);
        self.available.push_back(id);
        true
    }

    /// Whether one more task of a group may be ahead of the devices, and load.
    fn may_load(&self, task: TaskKey) -> bool {
        let ahead: u32 = self.groups.range(..=task.group).map(|(_, group)| group.admitted).sum();
        ahead < self.wanted_ahead(task)
    }

    /// How many workers of a group, and of those before it, are only up, or will be.
    fn spares(&self, group: u32) -> u32 {
        self.groups.range(..=group).map(|(_, group)| group.ahead - group.admitted).sum()
    }

    fn wanted_ahead(&self, task: TaskKey) -> u32 {
        self.depth.wanted(self.config.scheduler.max_waiting, self.declared(task))
    }

    /// What is declared of a task's times, and for how many of its like the devices have room.
    fn declared(&self, key: TaskKey) -> Option<Declared> {
        let plan = &self.task(key)?.plan;
        let times = plan.expected?;
        let estimate = self.cuda_memory_for(key);
        let shares = self.largest_share.filter(|_| {
            !plan.needs.exclusive && estimate.source != EstimateSource::Default && estimate.size > Size::ZERO
        });
        let on_each = shares.map_or(1, |share| share.bytes() / estimate.size.bytes());
        let lanes = u64::from(self.devices).saturating_mul(on_each) / u64::from(plan.needs.devices.max(1));
        Some(Declared { times, lanes: u32::try_from(lanes).unwrap_or(u32::MAX).max(1) })
    }

    /// Starts one task, if the limits allow it.
    fn start_next(&mut self, now: Time) -> bool {
        let first = self.groups.iter_mut().find_map(|(&group, state)| {
            let (place, rank) = state.peek()?;
            Some((TaskKey { group, place }, rank))
        });
        let Some((task, rank)) = first else { return false };
        if self.postpone(task, rank) {
            return true;
        }
        let Some(state) = self.task(task) else { return false };
        let (loads, stay) = (state.plan.loads, state.plan.stay.clone());
        let (memory, may_load) = (self.memory_for(task).size, self.may_load(task));
        let room_for_spare = self.spares(task.group) < SPARE;
        if let Some(stay) = stay.as_deref().filter(|_| may_load) {
            let loaded = self.kept.has_key_of(stay);
            if (loaded || room_for_spare) && self.hand_over(now, task, memory) {
                return true;
            }
            if self.waits_for_reuse(task) {
                return false;
            }
        }
        // Beyond those who may load, a process is started ahead of need where that saves anything.
        let is_spare = !may_load;
        let served = |stay: &Stay| stay.reuse.is_some() || self.kept.has_key_of(stay);
        let saves = loads && !stay.as_deref().is_some_and(served);
        if is_spare && !(saves && room_for_spare) {
            return false;
        }
        if self.processes() >= self.config.scheduler.max_process as usize {
            // Somebody may have to go first; the start follows when it is gone.
            if !is_spare && !self.let_one_go(now) && self.needs_way(task.group) {
                self.give_way(now);
            }
            return false;
        }
        if !room_for_spare {
            return false;
        }
        let (worker, attempt) = self.begin_attempt(now, self.worker(now, task));
        if may_load {
            self.admit_if_room(now, worker, memory, task.group);
        }
        self.commands.push_back(Command::Start { worker, task, attempt });
        true
    }

    /// Whether a task should not have a new process, as there are enough that wait to serve another one: each card has
    /// as many tasks ahead as it needs, or will have.
    fn waits_for_reuse(&self, task: TaskKey) -> bool {
        let Some(state) = self.task(task).filter(|state| !state.moves) else { return false };
        let ahead: u32 = self.groups.range(..=task.group).map(|(_, group)| group.ahead).sum();
        let enough = self.most_tied(task).saturating_mul(self.devices).min(self.wanted_ahead(task));
        ahead >= enough && self.kept.any_to_reuse(&state.plan)
    }

    /// How many tasks that must load first may be ahead of one card in processes that are tied to it.
    fn most_tied(&self, task: TaskKey) -> u32 {
        let most = self.depth.wanted_for_each(self.devices, self.declared(task));
        most.min(self.wanted_ahead(task).div_ceil(self.devices))
    }

    /// Gives a task to a process that was kept for the like of it, if there is one.
    fn hand_over(&mut self, now: Time, task: TaskKey, memory: Size) -> bool {
        let tasks = self.groups.get(&task.group).map(|group| &group.tasks);
        let Some(state) = tasks.and_then(|tasks| tasks.get(task.place as usize)) else { return false };
        let most = self.most_tied(task);
        let Some((from, kept, loaded)) = self.kept.take_for(state, &self.cards, most) else { return false };
        let KeptWorker { served, resident, stays_on, effort, .. } = kept;
        let worker =
            Worker { served, resident, stays_on, effort, took_over: loaded, ..self.worker(now, task) };
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
            was_spare: false,
            ahead: false,
            booked: false,
            served: 0,
            resident: None,
            holds_since: None,
            stays_on: None,
            moving: Moving::No,
            effort: Effort::default(),
            took_over: false,
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
            task.moves = false;
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
        if self.spares(group) == 1 && self.has_room(now, memory, group) {
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
