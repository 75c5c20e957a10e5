//! Processes that are tied to a card, as they trained there before: how many wait for each card, and when a tie is cut
//! so that no card is idle.
//!
//! What a process holds of a card, its CUDA context above all, cannot be moved: trained on another card it would hold
//! both. So it trains where it has trained before, and where that would leave another card idle it is ended, and its
//! task starts anew. That costs a start and a load; it is done when the task has waited as long as that takes, while
//! a card that suits it was free. So it never costs more than twice what would have been best.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Scheduler;
use super::timers::Due;
use super::worker::{Phase, Severity, Worker};
use crate::device::Device;
use crate::lease::LeaseRequest;
use crate::ports::WorkerId;
use crate::time::Time;

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

    /// A tied worker was refused its card, while so many others could take its task. Says whether it starts anew.
    pub(super) fn look_elsewhere(
        &mut self,
        now: Time,
        id: WorkerId,
        request: &LeaseRequest,
        others: u32,
    ) -> bool {
        let Some(worker) = self.workers.get(&id).filter(|worker| worker.may_move()) else { return false };
        if others == 0 {
            self.lease_round.note_nothing_else(request);
        }
        // Those who are on their way and tied to no card will take the free ones.
        if others == 0 || self.on_their_way() >= others as usize {
            self.stay_tied(id);
            return false;
        }
        match worker.moves_at {
            Some(at) if at <= now => {
                if let Some(task) = self.task_mut(worker.task) {
                    task.moves = true;
                }
                self.end(now, id, None, Severity::Asked);
                true
            }
            Some(_) => false,
            None => {
                let at = now + worker.effort.time();
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.moves_at = Some(at);
                }
                self.timers.set(Due::Move(id), at);
                false
            }
        }
    }

    /// There is no reason any more for a worker to be started anew.
    pub(super) fn stay_tied(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id)
            && worker.moves_at.take().is_some()
        {
            self.timers.clear(Due::Move(id));
        }
    }

    /// How many tasks whose turn it is will have loaded before long, and can train on any card.
    fn on_their_way(&self) -> usize {
        let comes = |worker: &Worker| match worker.phase {
            Phase::Starting | Phase::Available | Phase::Loading { .. } => worker.stays_on.is_none(),
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
