//! What may go on now: leases for those who have loaded, loading for those who are up, starts for those who are
//! ready, in this order.

use std::collections::VecDeque;

use super::command::LeaseAnswer;
use super::estimate::Account;
use super::worker::{Phase, Severity, Worker};
use super::{Command, Scheduler, TaskProgress};
use crate::device::Pin;
use crate::estimates::EstimateSource;
use crate::event::RunEvent;
use crate::failure::{Failure, FailureKind, Stage};
use crate::lease::{LeaseRequest, Unleasable};
use crate::ports::WorkerId;
use crate::quantity::Size;
use crate::time::Time;

/// One pass over those who wait for a device, the longest waiter first.
#[derive(Debug, Clone, Default)]
pub(super) struct LeaseRound {
    requested: bool,
    candidates: VecDeque<WorkerId>,
    /// What was refused in this pass; the like of it need not be tried again.
    refused: Vec<Shape>,
    /// Whether somebody was passed by because another one tries out what it needs.
    pub(super) waits_for_trial: bool,
}

type Shape = (u32, Size, bool, bool, Option<Pin>);

fn shape(request: &LeaseRequest) -> Shape {
    (request.devices, request.memory, request.estimated, request.exclusive, request.pin.clone())
}

impl LeaseRound {
    /// Something has changed: leases may succeed that did not before.
    pub(super) fn request(&mut self) {
        self.requested = true;
    }
}

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
            if !self.load_next(now) && !self.start_next(now) {
                return None;
            }
        }
    }

    /// Takes the answer to [`Command::TryLease`].
    pub fn lease_answered(&mut self, now: Time, id: WorkerId, request: &LeaseRequest, answer: LeaseAnswer) {
        let lease = match answer {
            LeaseAnswer::Granted(lease) => lease,
            LeaseAnswer::NotNow => return self.not_leased_now(now, id, request),
            LeaseAnswer::Never(_) if self.distrust_estimate(id) => return,
            LeaseAnswer::Never(reason) => return self.never_leased(now, id, &reason),
        };
        let Some(worker) = self.workers.get(&id) else {
            self.commands.push_back(Command::Release(lease.id));
            return;
        };
        let (place, attempt) = (worker.place, worker.attempt);
        self.note_lease(place, &lease);
        self.waiting.retain(|waiting| *waiting != id);
        self.enter(now, id, Phase::Training { lease: lease.clone(), since: now });
        self.tell(|group, tasks| RunEvent::TaskTraining {
            group,
            task: tasks[place as usize].plan.task_id.clone(),
            attempt,
            device: lease.device(),
            slot: lease.shares.first().map_or(0, |share| share.slot),
            devices: if lease.shares.len() > 1 {
                lease.shares.iter().map(|share| share.info.device).collect()
            } else {
                Vec::new()
            },
            memory: lease.shares.first().and_then(|share| share.memory),
        });
        self.commands.push_back(Command::Train { worker: id, place, lease });
    }

    /// Who waits with its data for a larger share of its card holds some of it: when nobody trains any more who
    /// could make room, it is itself in the way. A new process can have the share.
    fn not_leased_now(&mut self, now: Time, id: WorkerId, request: &LeaseRequest) {
        let stays = self.workers.get(&id).is_some_and(|worker| worker.stays_on.is_some());
        let nobody_trains =
            !self.workers.values().any(|worker| matches!(worker.phase, Phase::Training { .. }));
        if stays && nobody_trains {
            let message = "its card has no room for a larger share beside what it holds";
            self.end(now, id, Some(Failure::new(Stage::Train, FailureKind::Oom, message)), Severity::Asked);
        } else {
            self.lease_round.refused.push(shape(request));
        }
    }

    /// No device can ever give what a loaded task asks for: its card is too small for what it turned out to
    /// need, or was lost since it started.
    fn never_leased(&mut self, now: Time, id: WorkerId, reason: &Unleasable) {
        let Some(worker) = self.workers.get(&id) else { return };
        let failure = if worker.stays_on.is_some() {
            // What it has loaded cannot be moved to a larger card: a new process can go there.
            Failure::new(Stage::Train, FailureKind::Oom, reason.to_string())
        } else {
            Failure::new(Stage::Wait, FailureKind::Error, reason.to_string())
        };
        self.end(now, id, Some(failure), Severity::Asked);
    }

    fn next_lease_try(&mut self, now: Time) -> Option<Command> {
        if std::mem::take(&mut self.lease_round.requested) {
            self.lease_round.candidates = self.waiting.iter().copied().collect();
            self.lease_round.refused.clear();
        }
        while let Some(id) = self.lease_round.candidates.pop_front() {
            let Some(worker) = self.workers.get(&id).filter(|w| matches!(w.phase, Phase::Waiting)) else {
                continue;
            };
            let place = worker.place;
            if self.waits_for_trial(now, place) {
                continue;
            }
            let Some(worker) = self.workers.get(&id) else { continue };
            // Devices are kept back for the longest waiter, so that a large task is not passed by for ever.
            let hold = self.waiting.front() == Some(&id);
            let request = self.lease_request(worker, hold);
            if !self.lease_round.refused.contains(&shape(&request)) {
                return Some(Command::TryLease { worker: id, request });
            }
        }
        None
    }

    fn lease_request(&self, worker: &Worker, hold: bool) -> LeaseRequest {
        let plan = &self.tasks[worker.place as usize].plan;
        let estimate = self.cuda_memory_for(worker.place);
        LeaseRequest {
            memory: estimate.size,
            estimated: estimate.source != EstimateSource::Default,
            pin: worker.stays_on.map(Pin::Device).or_else(|| plan.pin.clone()),
            hold,
            ..plan.lease_request(self.key(worker.place), &self.config)
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
        let (place, attempt) = (worker.place as usize, worker.attempt);
        self.enter(now, id, Phase::Loading { since: now });
        self.tell(|group, tasks| RunEvent::TaskLoading {
            group,
            task: tasks[place].plan.task_id.clone(),
            attempt,
        });
        self.commands.push_back(Command::Load(id));
        true
    }

    /// Starts one task, if the limits allow it. No limit keeps the only task from starting.
    fn start_next(&mut self, now: Time) -> bool {
        let limits = &self.config.scheduler;
        if self.ahead >= limits.max_waiting || self.workers.len() >= limits.max_process as usize {
            return false;
        }
        let tasks = &self.tasks;
        let Some(place) = self.ready.peek(|place| tasks[place as usize].progress != TaskProgress::Ready)
        else {
            return false;
        };
        let estimate = self.memory_for(place);
        let memory = estimate.size;
        let has_room = self.host.has_room(memory) && self.host.processors_free();
        if !has_room && !self.workers.is_empty() {
            return false;
        }
        self.ready.pop();
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let task = &mut self.tasks[place as usize];
        task.attempts += 1;
        task.progress = TaskProgress::Running(id);
        let attempt = task.attempts;
        task.account = Account::new(estimate);
        self.host.reserve(memory);
        self.workers.insert(
            id,
            Worker {
                place,
                attempt,
                started: now,
                phase: Phase::Starting,
                load_seconds: None,
                trained: None,
                reserved: memory,
                ahead: false,
                resident: None,
                holds_since: None,
                stays_on: None,
            },
        );
        self.enter(now, id, Phase::Starting);
        self.commands.push_back(Command::Start { worker: id, place, attempt });
        true
    }
}
