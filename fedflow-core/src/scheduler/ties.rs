//! Processes that are tied to a card, as they trained there before: how many wait for each card, and when a tie is cut
//! so that no card is idle.
//!
//! What a process holds of a card, its CUDA context above all, cannot be moved: trained on another card it would hold
//! both. So it trains where it has trained before, and where that would leave another card idle it is ended, and its
//! task starts anew. That costs a start and a load; it is done when its card is expected to be busy for longer, else
//! when the task has waited as long as that takes while a card that suits it was free. So, whatever is expected, it
//! costs at most twice what would have been best.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Scheduler;
use super::timers::Due;
use super::worker::{Moving, Phase, Severity, Worker};
use crate::leasing::lease::LeaseRequest;
use crate::model::device::Device;
use crate::model::identity::WorkerId;
use crate::model::time::Time;

/// What goes on at each card that processes are tied to.
#[derive(Debug, Clone, Default)]
pub(super) struct CardUses(BTreeMap<Device, CardUse>);

/// What goes on at one card. Those with the least come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct CardUse {
    /// How many tasks start, load or wait in processes that are tied to it.
    pub(super) ahead: u32,
    /// How many tasks train on it.
    pub(super) training: u32,
}

impl CardUses {
    pub(super) fn of(&self, device: Option<Device>) -> CardUse {
        device.and_then(|device| self.0.get(&device)).copied().unwrap_or_default()
    }

    pub(super) fn at(&mut self, device: Device) -> &mut CardUse {
        self.0.entry(device).or_default()
    }
}

/// What it takes to have a task in a new process as far as it is in the one that has it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Effort {
    pub(super) start_seconds: f64,
    pub(super) load_seconds: f64,
}

impl Effort {
    fn time(self) -> Duration {
        Duration::try_from_secs_f64(self.start_seconds + self.load_seconds).unwrap_or_default()
    }
}

impl Scheduler {
    /// What a worker that was refused its card would ask of all others, if it can be started anew.
    #[must_use]
    pub fn untied(&self, id: WorkerId, request: &LeaseRequest) -> Option<(Device, LeaseRequest)> {
        let worker = self.workers.get(&id)?;
        let device = worker.stays_on.filter(|_| worker.may_move())?;
        if self.task(worker.task)?.plan.pin.is_some() || self.lease_round.found_nothing_else(request) {
            return None;
        }
        Some((device, LeaseRequest { pin: None, replaces: None, hold: false, ..request.clone() }))
    }

    /// A tied worker was refused its card, while others could take its task. Says whether it starts anew.
    pub(super) fn look_elsewhere(
        &mut self,
        now: Time,
        id: WorkerId,
        request: &LeaseRequest,
        others: &[Device],
    ) -> bool {
        let Some(worker) = self.workers.get(&id).filter(|worker| worker.may_move()) else { return false };
        if self.task(worker.task).is_some_and(|task| task.plan.pin.is_some()) {
            // Nobody has asked for it: that there is nothing else would say nothing of others like it.
            return false;
        }
        if others.is_empty() {
            self.lease_round.note_nothing_else(request);
        }
        // Others who are on their way will take the free ones, those whom they are tied to or any.
        if others.len() <= self.on_their_way(others) {
            self.stay_tied(id);
            return false;
        }
        match worker.moving {
            Moving::Due => {
                if let Some(task) = self.task_mut(worker.task) {
                    task.moves = true;
                }
                self.end(now, id, None, Severity::Asked);
                true
            }
            Moving::Soon => false,
            Moving::No => {
                let effort = worker.effort.time();
                // At once means when all others have asked for the free ones.
                let at = if self.is_busy_for(now, worker, effort) { now } else { now + effort };
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.moving = Moving::Soon;
                }
                self.timers.set(Due::Move(id), at);
                false
            }
        }
    }

    /// A worker has waited for its card as long as it should while another one is free.
    pub(super) fn move_due(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.moving = Moving::Due;
            self.lease_round.request();
        }
    }

    /// There is no reason any more for a worker to be started anew.
    pub(super) fn stay_tied(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id)
            && std::mem::take(&mut worker.moving) == Moving::Soon
        {
            self.timers.clear(Due::Move(id));
        }
    }

    /// Whether those who train on a worker's card are expected to do so for longer than this.
    fn is_busy_for(&self, now: Time, worker: &Worker, time: Duration) -> bool {
        let left = |other: &Worker| match &other.phase {
            Phase::Training { lease, since } if Some(lease.device()) == worker.stays_on => {
                let declared = self.task(other.task).and_then(|task| task.plan.expected);
                let expected = declared.map(|times| times.train).or_else(|| self.depth.train_time());
                Some(expected.unwrap_or_default().saturating_sub(now.since(*since)))
            }
            _ => None,
        };
        self.workers.values().filter_map(left).min().is_some_and(|left| left > time)
    }

    /// How many tasks whose turn it is will have loaded before long, and can train on some of these devices.
    fn on_their_way(&self, devices: &[Device]) -> usize {
        let comes = |worker: &Worker| match worker.phase {
            Phase::Starting | Phase::Available | Phase::Loading { .. } => {
                worker.stays_on.is_none_or(|device| devices.contains(&device))
            }
            Phase::Ending { failure: None, .. } => true,
            _ => false,
        };
        self.workers.values().filter(|worker| worker.task.group == self.turn && comes(worker)).count()
    }
}

impl Worker {
    /// Whether nothing but its process is tied: it waits, and has not trained for its task.
    fn may_move(&self) -> bool {
        matches!(self.phase, Phase::Waiting) && self.stays_on.is_some() && self.trained.is_none()
    }
}
