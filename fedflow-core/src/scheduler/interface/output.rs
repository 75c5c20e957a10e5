//! What the scheduler wants done.

use crate::leasing::lease::{Lease, LeaseId, LeaseRequest};
use crate::model::device::Device;
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;
use crate::ports::{Severity, Wait};

/// One thing to do. Outputs are carried out in the order in which they are polled.
#[derive(Debug, Clone, PartialEq)]
pub enum SchedulerOutput {
    /// Start a worker for an attempt at a task.
    Start {
        /// The worker's number, new.
        worker: WorkerId,
        /// The task.
        task: TaskKey,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// Tell a worker to load.
    Load(WorkerId),
    /// Tell a worker to train on what it was leased.
    Train {
        /// The worker.
        worker: WorkerId,
        /// The task, for its parameters.
        task: TaskKey,
        /// The lease.
        lease: Lease,
    },
    /// Keep the process of a worker whose task has its result.
    Keep(WorkerId),
    /// Give the process of a kept worker an attempt at another task.
    HandOver {
        /// The worker that was kept.
        from: WorkerId,
        /// Its new number.
        to: WorkerId,
        /// The task.
        task: TaskKey,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// End a worker. Those that are only asked to exit come last, as they are in no hurry; the next task on their
    /// device is.
    End {
        /// The worker.
        worker: WorkerId,
        /// How hard.
        severity: Severity,
    },
    /// Answer a question about the devices before anything else is polled.
    Ask(Question),
    /// `train` has ended: the devices are free for the next task.
    EndTrain(LeaseId),
    /// The process is gone, or its lease was replaced: what is still booked is free.
    Release(LeaseId),
    /// The task does not wait for a device any more.
    Withdraw(TaskKey),
    /// Record this event, and announce it.
    Tell(RunEvent),
    /// Show what the run waits for while devices of it are idle; `None` when it goes on. It is not recorded.
    Waits(Option<Wait>),
    /// The active group is done: every task has its outcome and no worker is at any of them, or the run is being
    /// stopped and no process is left. If a later group has loaded ahead, processes whose tasks have their outcome may
    /// still be exiting.
    GroupDone {
        /// The group.
        index: u32,
        /// How many of its tasks have no outcome, as the run was stopped.
        open: usize,
    },
    /// No process is left, and the run is to be finished.
    Idle,
}

/// A question about the devices. Its answer is a fact; what follows from it the scheduler decides.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// Lease what is asked, if it is free now.
    Lease(LeaseRequest),
    /// Would this request be met if these leases were gone?
    Fits {
        /// The request.
        request: LeaseRequest,
        /// Leases whose processes are idle.
        without: Vec<LeaseId>,
    },
    /// Does a task of another run train on this device, or is it to have it first?
    OthersTrain(Device),
    /// Book this for the holder of a lease, which trains, if it can be booked.
    Rebook {
        /// The lease.
        lease: LeaseId,
        /// The memory on each card.
        memory: Size,
    },
    /// How much has the holder of a lease used of a card at most?
    Peak(LeaseId),
    /// Is one of these devices lost?
    Lost(Vec<Device>),
    /// What other runs and programs have of the devices that would suit this request?
    Obstacles(LeaseRequest),
}
