//! Outputs and questions that are not polled yet, in their order.

use std::collections::VecDeque;

use super::output::{Question, SchedulerOutput};
use crate::leasing::lease::{LeaseId, LeaseRequest};
use crate::model::device::Device;
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::quantity::Size;
use crate::ports::{Severity, WorkerEvent};
use crate::scheduler::devices::lease_pass::Refusal;

/// Outputs in their order; those that ask a worker to exit come last.
#[derive(Debug, Clone, Default)]
pub(in crate::scheduler) struct Outbox {
    queue: VecDeque<Item>,
    exits: VecDeque<WorkerId>,
    /// Whether anything was put in since this was asked last.
    has_grown: bool,
}

#[derive(Debug, Clone)]
enum Item {
    Output(SchedulerOutput),
    Question(Asked),
}

/// A question with what is needed to go on once it is answered.
#[derive(Debug, Clone)]
pub(in crate::scheduler) enum Asked {
    /// May this worker have a lease?
    Lease { worker: WorkerId, request: LeaseRequest },
    /// A lease was refused: what would have to go?
    Room(Refusal),
    /// None of this run trains, and a worker was refused the card to which it is tied, while these others could take its
    /// task: does another run train there?
    OthersTrain { worker: WorkerId, request: LeaseRequest, card: Device, free: Vec<Device> },
    /// Can more be booked for a task that trains?
    Rebook { lease: LeaseId, memory: Size },
    /// How much did a task use that trains, or has just ended to?
    Peak { lease: LeaseId, trains: bool },
    /// Did a worker fail because a device was lost?
    Lost { worker: WorkerId, devices: Vec<Device>, event: WorkerEvent },
    /// What is in the way of this task's request, which was refused for some time?
    Obstacles { task: TaskKey, request: LeaseRequest },
}

impl Asked {
    fn question(&self) -> Question {
        match self {
            Self::Lease { request, .. } => Question::Lease(request.clone()),
            Self::Room(refusal) => {
                let (request, without) = refusal.question();
                Question::Fits { request, without }
            }
            Self::OthersTrain { card, .. } => Question::OthersTrain(*card),
            Self::Rebook { lease, memory } => Question::Rebook { lease: *lease, memory: *memory },
            Self::Peak { lease, .. } => Question::Peak(*lease),
            Self::Lost { devices, .. } => Question::Lost(devices.clone()),
            Self::Obstacles { request, .. } => Question::Obstacles(request.clone()),
        }
    }
}

impl Outbox {
    pub(in crate::scheduler) fn push(&mut self, output: SchedulerOutput) {
        self.has_grown = true;
        self.queue.push_back(Item::Output(output));
    }

    pub(in crate::scheduler) fn ask(&mut self, asked: Asked) {
        self.has_grown = true;
        self.queue.push_back(Item::Question(asked));
    }

    pub(in crate::scheduler) fn end(&mut self, worker: WorkerId, severity: Severity) {
        if severity == Severity::Asked {
            self.has_grown = true;
            self.exits.push_back(worker);
        } else {
            // It is ended harder before it was asked.
            self.exits.retain(|asked| *asked != worker);
            self.push(SchedulerOutput::End { worker, severity });
        }
    }

    /// The next output that is no exit. If it is a question, `asked` is what is needed to go on with the answer.
    pub(in crate::scheduler) fn next(&mut self, asked: &mut Option<Asked>) -> Option<SchedulerOutput> {
        match self.queue.pop_front()? {
            Item::Output(output) => Some(output),
            Item::Question(question) => Some(SchedulerOutput::Ask(asked.insert(question).question())),
        }
    }

    pub(in crate::scheduler) fn next_exit(&mut self) -> Option<SchedulerOutput> {
        let worker = self.exits.pop_front()?;
        Some(SchedulerOutput::End { worker, severity: Severity::Asked })
    }

    /// Whether anything was put in since this was asked last.
    pub(in crate::scheduler) fn take_growth(&mut self) -> bool {
        std::mem::take(&mut self.has_grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_ended_harder_is_not_asked_afterwards() {
        let mut outbox = Outbox::default();
        outbox.end(WorkerId(1), Severity::Asked);
        outbox.end(WorkerId(2), Severity::Asked);
        outbox.end(WorkerId(1), Severity::Terminated);
        let mut outputs = Vec::new();
        while let Some(output) = outbox.next(&mut None).or_else(|| outbox.next_exit()) {
            outputs.push(output);
        }
        let ended = |worker, severity| SchedulerOutput::End { worker: WorkerId(worker), severity };
        assert_eq!(outputs, [ended(1, Severity::Terminated), ended(2, Severity::Asked)]);
    }
}
