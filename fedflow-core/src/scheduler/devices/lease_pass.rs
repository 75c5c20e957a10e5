//! Devices for workers that have loaded: in which order they ask, and what is found out when one is refused.

use std::collections::VecDeque;

use crate::leasing::lease::{LeaseId, LeaseRequest};
use crate::model::device::{Device, Pin};
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::quantity::Size;

/// One pass over the workers that wait for a device, the longest waiter first.
#[derive(Debug, Clone, Default)]
pub(in crate::scheduler) struct LeasePass {
    is_due: bool,
    candidates: VecDeque<WorkerId>,
    /// What was refused in this pass; the like of it need not be tried again.
    refused: Vec<Shape>,
    /// What no device could meet in this pass, wherever its process is tied.
    nowhere: Vec<Shape>,
    /// The task for which devices are kept back, if it has not been leased them, or the last one.
    held_for: Option<TaskKey>,
}

type Shape = (u32, Size, bool, bool, Option<Pin>);

fn shape(request: &LeaseRequest) -> Shape {
    (request.devices, request.memory, request.estimated, request.exclusive, request.pin.clone())
}

fn untied_shape(request: &LeaseRequest) -> Shape {
    (request.devices, request.memory, request.estimated, request.exclusive, None)
}

impl LeasePass {
    /// Something has changed: leases may succeed that did not before.
    pub(in crate::scheduler) fn request(&mut self) {
        self.is_due = true;
    }

    /// Begins a new pass if one is due.
    pub(in crate::scheduler) fn begin_if_due(&mut self, waiting: impl FnOnce() -> Vec<WorkerId>) {
        if std::mem::take(&mut self.is_due) {
            self.candidates = waiting().into();
            self.refused.clear();
            self.nowhere.clear();
        }
    }

    /// The next worker of the pass.
    pub(in crate::scheduler) fn next(&mut self) -> Option<WorkerId> {
        self.candidates.pop_front()
    }

    /// Whether the like of a request was refused in this pass.
    pub(in crate::scheduler) fn was_refused(&self, request: &LeaseRequest) -> bool {
        // One that gives something back for it may get what others do not.
        request.replaces.is_none() && self.refused.contains(&shape(request))
    }

    /// The devices are kept back that a task asks for, unless it is leased them.
    pub(in crate::scheduler) fn note_hold(&mut self, holder: TaskKey) {
        self.held_for = Some(holder);
    }

    /// Nothing is kept back for a task any more.
    pub(in crate::scheduler) fn end_hold(&mut self, holder: TaskKey) {
        self.held_for = self.held_for.filter(|held| *held != holder);
    }

    /// The task for which devices may be kept back.
    pub(in crate::scheduler) fn held_for(&self) -> Option<TaskKey> {
        self.held_for
    }

    pub(in crate::scheduler) fn note_refused(&mut self, request: &LeaseRequest) {
        self.refused.push(shape(request));
    }

    /// Whether it is known that no other device can meet the like of a request.
    pub(in crate::scheduler) fn is_met_nowhere(&self, request: &LeaseRequest) -> bool {
        self.nowhere.contains(&untied_shape(request))
    }

    pub(in crate::scheduler) fn note_met_nowhere(&mut self, request: &LeaseRequest) {
        if !self.is_met_nowhere(request) {
            self.nowhere.push(untied_shape(request));
        }
    }
}

/// A refused request, and what is asked about it one after the other: would it be met if all idle processes were gone?
/// Which of them alone would do? And if none: which other devices could meet it, but for the card to which the worker
/// is tied?
#[derive(Debug, Clone)]
pub(in crate::scheduler) struct Refusal {
    pub(in crate::scheduler) worker: WorkerId,
    pub(in crate::scheduler) request: LeaseRequest,
    /// What idle processes hold of cards, in the order in which they should go.
    idle: Vec<LeaseId>,
    /// The devices of which it is asked whether they could meet the request, with no more than idle processes on them.
    others: Vec<Device>,
    free: Vec<Device>,
    step: Step,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    WithoutAll,
    Without(usize),
    Elsewhere(usize),
}

/// What was found out about a refused request.
#[derive(Debug, Clone)]
pub(in crate::scheduler) enum Finding {
    /// There is more to ask.
    AskOn(Refusal),
    /// If this lease of an idle process were gone, it would be met.
    InTheWay(LeaseId),
    /// No idle process is in the way; these other devices could meet it.
    Elsewhere { free: Vec<Device> },
}

impl Refusal {
    /// What is known of a refusal before anything is asked. `others`: all other devices, if the worker could be started
    /// anew on one of them.
    pub(in crate::scheduler) fn begin(
        worker: WorkerId,
        request: LeaseRequest,
        idle: Vec<LeaseId>,
        others: Vec<Device>,
    ) -> Finding {
        let step = if idle.is_empty() { Step::Elsewhere(0) } else { Step::WithoutAll };
        Self { worker, request, idle, others, free: Vec::new(), step }.go_on()
    }

    /// The question that comes next: would this request be met without these leases?
    pub(in crate::scheduler) fn question(&self) -> (LeaseRequest, Vec<LeaseId>) {
        match self.step {
            Step::WithoutAll => (self.request.clone(), self.idle.clone()),
            Step::Without(number) => {
                (self.request.clone(), self.idle.get(number).copied().into_iter().collect())
            }
            Step::Elsewhere(number) => {
                let pin = self.others.get(number).copied().map(Pin::Device);
                let untied = LeaseRequest { pin, replaces: None, hold: false, ..self.request.clone() };
                (untied, self.idle.clone())
            }
        }
    }

    /// Takes the answer.
    pub(in crate::scheduler) fn answered(mut self, fits: bool) -> Finding {
        match self.step {
            Step::WithoutAll if fits => self.step = Step::Without(0),
            Step::WithoutAll => self.step = Step::Elsewhere(0),
            Step::Without(number) if fits => return Finding::InTheWay(self.idle[number]),
            Step::Without(number) if number + 1 < self.idle.len() => self.step = Step::Without(number + 1),
            // None alone would do: they go one after the other.
            Step::Without(_) => return Finding::InTheWay(self.idle[0]),
            Step::Elsewhere(number) => {
                if fits {
                    self.free.extend(self.others.get(number));
                }
                self.step = Step::Elsewhere(number + 1);
            }
        }
        self.go_on()
    }

    fn go_on(self) -> Finding {
        match self.step {
            Step::Elsewhere(number) if number >= self.others.len() => Finding::Elsewhere { free: self.free },
            _ => Finding::AskOn(self),
        }
    }
}
