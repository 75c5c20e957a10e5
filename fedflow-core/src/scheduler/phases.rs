//! A worker's way through its phases, and the counters, queues and deadlines that follow it.

use super::ready::LaneName;
use super::timers::Due;
use super::worker::{Phase, Severity, Worker};
use super::{Command, Scheduler};
use crate::leasing::lease::Lease;
use crate::model::identity::WorkerId;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;

impl Scheduler {
    /// A worker is up and has its task.
    pub(super) fn ready_to_load(&mut self, now: Time, id: WorkerId) {
        self.enter(now, id, Phase::Available);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.lead_seconds = now.since(worker.started).as_secs_f64();
        if worker.served == 0 {
            worker.effort.start_seconds = worker.lead_seconds;
        }
        if worker.admitted { &mut self.available } else { &mut self.spare }.push_back(id);
    }

    /// A worker has loaded: it waits for a device.
    pub(super) fn loaded(&mut self, now: Time, id: WorkerId, load_seconds: f64) {
        self.enter(now, id, Phase::Waiting);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.load_seconds = Some(load_seconds);
        if !worker.took_over {
            worker.effort.load_seconds = load_seconds;
        }
        let (task, attempt) = (worker.task, worker.attempt);
        self.depth.loaded(worker.lead_seconds + load_seconds);
        // A command that loads nothing has no process yet: what it will need cannot have been measured.
        if self.task(task).is_none_or(|task| task.plan.loads) {
            self.unreserve(id);
        }
        if let Some(group) = self.groups.get_mut(&task.group) {
            group.waiting.push_back(id);
        }
        self.lease_round.request();
        self.tell(task, |group, task| RunEvent::TaskLoaded { group, task, attempt, load_seconds });
    }

    /// The turn on the devices is over: the next one may have them while the result is still being stored.
    pub(super) fn end_train(&mut self, id: WorkerId, lease: &Lease, train_seconds: f64) {
        self.commands.push_back(Command::EndTrain(lease.id));
        self.lease_round.request();
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.resident = Some(lease.id);
        worker.trained = Some((lease.device(), train_seconds));
        let (task, attempt) = (worker.task, worker.attempt);
        self.tell(task, |group, task| RunEvent::TaskReleased { group, task, attempt, train_seconds });
    }

    /// Moves a worker to another phase and keeps the counters and its deadline true.
    pub(super) fn enter(&mut self, now: Time, id: WorkerId, phase: Phase) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let is_training = |phase: &Phase| matches!(phase, Phase::Training { .. });
        let is_busy = |phase: &Phase| matches!(phase, Phase::Loading { .. } | Phase::Training { .. });
        self.busy = self.busy + u32::from(is_busy(&phase)) - u32::from(is_busy(&worker.phase));
        self.training =
            self.training + u32::from(is_training(&phase)) - u32::from(is_training(&worker.phase));
        self.depth.training(self.training);
        let stays_ahead =
            matches!(phase, Phase::Starting | Phase::Available | Phase::Loading { .. } | Phase::Waiting);
        for (phase, starts) in [(&worker.phase, false), (&phase, true)] {
            if let Phase::Training { lease, .. } = phase {
                let training = &mut self.cards.at(lease.device()).training;
                *training = if starts { *training + 1 } else { training.saturating_sub(1) };
            }
        }
        worker.phase = phase;
        if worker.ahead != stays_ahead {
            worker.ahead = stays_ahead;
            let (task, card) = (worker.task, worker.stays_on);
            if let Some(card) = card {
                let ahead = &mut self.cards.at(card).ahead;
                *ahead = if stays_ahead { *ahead + 1 } else { ahead.saturating_sub(1) };
            }
            if let Some(group) = self.groups.get_mut(&task.group) {
                let pin = group.tasks.get(task.place as usize).and_then(|task| task.plan.pin.as_ref());
                let lane = LaneName::of(pin, card);
                if stays_ahead {
                    group.ahead += 1;
                    group.ready.went_ahead(lane);
                } else {
                    group.ahead -= 1;
                    group.ready.came_back(&lane);
                }
            }
        }
        self.book(id);
        self.set_deadline(now, id);
    }

    /// Counts a worker among those of its group who may load and are ahead of the devices, or not any more.
    fn book(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let booked = worker.ahead && worker.admitted;
        if let Some(group) = self.groups.get_mut(&worker.task.group)
            && booked != worker.booked
        {
            worker.booked = booked;
            group.admitted = if booked { group.admitted + 1 } else { group.admitted - 1 };
        }
    }

    pub(super) fn set_deadline(&mut self, now: Time, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let Some(task) = self.task(worker.task) else { return };
        let limits = &task.plan.limits;
        let phase_limit = match &worker.phase {
            Phase::Starting => limits.start_timeout,
            Phase::Loading { .. } => limits.load_timeout,
            Phase::Training { .. } => limits.train_timeout,
            Phase::Available | Phase::Waiting => None,
            Phase::Exiting { severity } | Phase::Ending { severity, .. } => match severity {
                Severity::Asked => limits.exit_timeout,
                Severity::Terminated => Some(self.config.supervision.grace),
                Severity::Killed => None,
            },
        };
        // One that is only up ahead of need has not begun.
        let at_work =
            worker.phase.stage().is_some() && (worker.admitted || !matches!(worker.phase, Phase::Available));
        let whole = limits.timeout.filter(|_| at_work);
        let deadlines = [phase_limit.map(|limit| now + limit), whole.map(|limit| worker.started + limit)];
        match deadlines.into_iter().flatten().min() {
            Some(deadline) => self.timers.set(Due::Worker(id), deadline),
            None => self.timers.clear(Due::Worker(id)),
        }
    }

    /// Gives back the host memory that is reserved for a worker.
    pub(super) fn unreserve(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            self.host.unreserve(std::mem::take(&mut worker.reserved));
        }
    }

    /// Says that there is room on the host for what a worker will load, or that it needs none any more.
    pub(super) fn admit(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id)
            && !worker.admitted
        {
            worker.admitted = true;
            self.unadmitted -= 1;
        }
        self.book(id);
    }

    /// Takes a worker that has nothing more to do for its task out of all counts.
    pub(super) fn take_out(&mut self, id: WorkerId) -> Option<Worker> {
        self.unreserve(id);
        self.admit(id);
        self.timers.clear(Due::Worker(id));
        let worker = self.workers.remove(&id)?;
        if let Some(group) = self.groups.get_mut(&worker.task.group) {
            group.workers -= 1;
        }
        Some(worker)
    }
}
