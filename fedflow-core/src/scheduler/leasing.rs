//! Devices for those who have loaded: who asks, in which order, and what follows the answer.

use std::collections::VecDeque;

use super::command::LeaseAnswer;
use super::worker::{Phase, Severity, Worker};
use super::{Command, Scheduler};
use crate::leasing::lease::{LeaseId, LeaseRequest, Unleasable};
use crate::model::device::{Device, Pin};
use crate::model::failure::{Failure, FailureKind, Stage};
use crate::model::identity::WorkerId;
use crate::model::memory_use::EstimateSource;
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;
use crate::model::time::Time;

/// One pass over those who wait for a device, the longest waiter first.
#[derive(Debug, Clone, Default)]
pub(super) struct LeaseRound {
    requested: bool,
    candidates: VecDeque<WorkerId>,
    /// What was refused in this pass; the like of it need not be tried again.
    refused: Vec<Shape>,
    /// What no device could meet in this pass, even where nobody is tied.
    nowhere: Vec<Shape>,
}

type Shape = (u32, Size, bool, bool, Option<Pin>);

fn shape(request: &LeaseRequest) -> Shape {
    (request.devices, request.memory, request.estimated, request.exclusive, request.pin.clone())
}

fn untied_shape(request: &LeaseRequest) -> Shape {
    (request.devices, request.memory, request.estimated, request.exclusive, None)
}

impl LeaseRound {
    /// Something has changed: leases may succeed that did not before.
    pub(super) fn request(&mut self) {
        self.requested = true;
    }

    /// Whether the like of it is known to be met by no other device, wherever it is tied.
    pub(super) fn found_nothing_else(&self, request: &LeaseRequest) -> bool {
        self.nowhere.contains(&untied_shape(request))
    }

    pub(super) fn note_nothing_else(&mut self, request: &LeaseRequest) {
        if !self.found_nothing_else(request) {
            self.nowhere.push(untied_shape(request));
        }
    }

    fn was_refused(&self, request: &LeaseRequest) -> bool {
        // Who gives something back for it may get what others do not.
        request.replaces.is_none() && self.refused.contains(&shape(request))
    }
}

impl Scheduler {
    /// Takes the answer to [`Command::TryLease`].
    pub fn lease_answered(&mut self, now: Time, id: WorkerId, request: &LeaseRequest, answer: LeaseAnswer) {
        let lease = match answer {
            LeaseAnswer::Granted(lease) => lease,
            LeaseAnswer::NotNow { in_the_way, elsewhere } => {
                return self.not_leased_now(now, id, request, in_the_way, elsewhere);
            }
            LeaseAnswer::Never(_) if self.distrust_estimate(id) => return,
            LeaseAnswer::Never(reason) => return self.never_leased(now, id, &reason),
        };
        let Some(worker) = self.workers.get(&id) else {
            self.commands.push_back(Command::Release(lease.id));
            return;
        };
        let (task, attempt) = (worker.task, worker.attempt);
        self.stay_tied(id);
        self.note_lease(task, &lease);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        // The new lease stands in the place of what the process held of its card.
        self.commands.extend(worker.resident.take().map(Command::Release));
        if let Some(group) = self.groups.get_mut(&task.group) {
            group.waiting.retain(|waiting| *waiting != id);
        }
        self.enter(now, id, Phase::Training { lease: lease.clone(), since: now });
        self.tell(task, |group, task| RunEvent::TaskTraining {
            group,
            task,
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
        self.commands.push_back(Command::Train { worker: id, task, lease });
    }

    pub(super) fn next_lease_try(&mut self, now: Time) -> Option<Command> {
        let turn = self.groups.get(&self.turn)?;
        if std::mem::take(&mut self.lease_round.requested) {
            self.lease_round.candidates = turn.waiting.iter().copied().collect();
            self.lease_round.refused.clear();
            self.lease_round.nowhere.clear();
        }
        while let Some(id) = self.lease_round.candidates.pop_front() {
            let Some(worker) = self.workers.get(&id).filter(|w| matches!(w.phase, Phase::Waiting)) else {
                continue;
            };
            let task = worker.task;
            if self.waits_for_trial(now, task) {
                continue;
            }
            let Some(worker) = self.workers.get(&id) else { continue };
            // Devices are kept back for the longest waiter, so that a large task is not passed by for ever.
            let hold = self.groups.get(&self.turn)?.waiting.front() == Some(&id);
            let Some(request) = self.lease_request(worker, hold) else { continue };
            if !self.lease_round.was_refused(&request) {
                return Some(Command::TryLease { worker: id, request });
            }
        }
        None
    }

    fn lease_request(&self, worker: &Worker, hold: bool) -> Option<LeaseRequest> {
        let plan = &self.task(worker.task)?.plan;
        let estimate = self.cuda_memory_for(worker.task);
        Some(LeaseRequest {
            memory: estimate.size,
            estimated: estimate.source != EstimateSource::Default,
            pin: worker.stays_on.map(Pin::Device).or_else(|| plan.pin.clone()),
            hold,
            replaces: worker.resident,
            roomy: self.task(worker.task)?.spent.train_oom > 0,
            ..plan.lease_request(worker.task, &self.config)
        })
    }

    fn not_leased_now(
        &mut self,
        now: Time,
        id: WorkerId,
        request: &LeaseRequest,
        in_the_way: Option<LeaseId>,
        elsewhere: Vec<Device>,
    ) {
        if let Some(lease) = in_the_way {
            // Who only holds memory of a card makes room; then it is tried again.
            self.let_lease_go(now, lease);
        } else if let Some(worker) = self.workers.get(&id)
            && worker.stays_on.is_some()
            && self.training == 0
        {
            if worker.trained.is_none() {
                // A kept process holds less of its card than its next task needs, and others have the rest: a new
                // process may go to any card. One that nobody estimated needs no more than it holds, and waits.
                if request.estimated {
                    return self.end(now, id, None, Severity::Asked);
                }
                return self.lease_round.refused.push(shape(request));
            }
            // Who waits with its data for a larger share of its card holds some of it: when nobody trains any more
            // who could make room, it is itself in the way. A new process can have the share.
            let message = "its card has no room for a larger share beside what it holds";
            self.end(now, id, Some(Failure::new(Stage::Train, FailureKind::Oom, message)), Severity::Asked);
            return;
        } else if self.look_elsewhere(now, id, request, &elsewhere) {
            return;
        }
        self.lease_round.refused.push(shape(request));
    }

    /// No device can ever give what a loaded task asks for: its card is too small for what it turned out to
    /// need, or was lost since it started.
    fn never_leased(&mut self, now: Time, id: WorkerId, reason: &Unleasable) {
        let Some(worker) = self.workers.get(&id) else { return };
        if worker.stays_on.is_some() && worker.trained.is_none() {
            // What a kept process has is on a card that is no more: a new one loads again.
            return self.end(now, id, None, Severity::Asked);
        }
        let failure = if worker.stays_on.is_some() {
            // What it has loaded cannot be moved to a larger card: a new process can go there.
            Failure::new(Stage::Train, FailureKind::Oom, reason.to_string())
        } else {
            Failure::new(Stage::Wait, FailureKind::Error, reason.to_string())
        };
        self.end(now, id, Some(failure), Severity::Asked);
    }
}
