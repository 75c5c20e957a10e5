//! What the scheduler wants done.

use crate::leasing::lease::{Lease, LeaseId, LeaseRequest, Unleasable};
use crate::model::device::Device;
use crate::model::identity::{TaskKey, WorkerId};
use crate::model::quantity::Size;
use crate::model::run_event::RunEvent;

/// One thing to do. Commands are carried out in the order in which they are polled.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Start a worker for an attempt at the task at this place of the group.
    Start {
        /// The worker's number, new.
        worker: WorkerId,
        /// The task.
        task: TaskKey,
        /// Which attempt, from 1.
        attempt: u32,
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
    /// Tell a worker to load.
    Load(WorkerId),
    /// Try to lease. Must be answered by [`Scheduler::lease_answered`](super::Scheduler::lease_answered) before
    /// the next command is polled.
    TryLease {
        /// Who waits.
        worker: WorkerId,
        /// What is asked.
        request: LeaseRequest,
    },
    /// Tell a worker to train on what it was leased.
    Train {
        /// The worker.
        worker: WorkerId,
        /// The task, for its parameters.
        task: TaskKey,
        /// The lease.
        lease: Lease,
    },
    /// What the holder of a lease needs was learned while it trains: book that. If it was, it is answered by
    /// [`Scheduler::rebooked`](super::Scheduler::rebooked).
    Rebook {
        /// The lease.
        lease: LeaseId,
        /// What it needs on each card.
        memory: Size,
    },
    /// `train` has ended: give the devices' turn back.
    EndTrain(LeaseId),
    /// The process is gone: give back what is still booked.
    Release(LeaseId),
    /// The task does not wait for a device any more.
    Withdraw(TaskKey),
    /// Tell a worker to exit.
    Exit(WorkerId),
    /// Ask a worker's processes to end.
    Terminate(WorkerId),
    /// End a worker's processes.
    Kill(WorkerId),
    /// Record this, and tell it.
    Tell(RunEvent),
}

/// The answer to [`Command::TryLease`].
#[derive(Debug, Clone, PartialEq)]
pub enum LeaseAnswer {
    /// Leased.
    Granted(Lease),
    /// Not free now.
    NotNow {
        /// One of the [idle leases](super::Scheduler::idle_leases) but for which it would be.
        in_the_way: Option<LeaseId>,
        /// The other devices that could meet what is asked but for [where the process is
        /// tied](super::Scheduler::untied).
        elsewhere: Vec<Device>,
    },
    /// It can never be met.
    Never(Unleasable),
}
