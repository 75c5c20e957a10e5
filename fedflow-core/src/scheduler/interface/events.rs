//! The run events of an attempt, made from what the scheduler knows of it.

use std::time::Duration;

use crate::leasing::lease::Lease;
use crate::model::device::{Device, Pin};
use crate::model::name::Name;
use crate::model::outcome::failure::Failure;
use crate::model::run_event::RunEvent;
use crate::scheduler::tasks::memory::UseReport;

/// Which attempt an event is about.
#[derive(Debug, Clone)]
pub(in crate::scheduler) struct Subject {
    pub(in crate::scheduler) group: Name,
    pub(in crate::scheduler) task: Name,
    pub(in crate::scheduler) attempt: u32,
}

/// What is told of an attempt that is over.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::scheduler) struct Times {
    /// How long `load` took, if it ended.
    pub(in crate::scheduler) load_time: Option<Duration>,
    /// The device that it trained on and for how long, if it did.
    pub(in crate::scheduler) trained: Option<(Device, Duration)>,
}

pub(in crate::scheduler) fn training(subject: Subject, lease: &Lease, pin: Option<&Pin>) -> RunEvent {
    let Subject { group, task, attempt } = subject;
    let share = lease.shares.first();
    let devices = || lease.shares.iter().map(|share| share.info.device).collect();
    RunEvent::TaskTraining {
        group,
        task,
        attempt,
        device: lease.device(),
        slot: share.map_or(0, |share| share.slot),
        devices: if lease.shares.len() > 1 { devices() } else { Vec::new() },
        memory: share.and_then(|share| share.memory),
        pin: pin.cloned().map(Box::new),
    }
}

pub(in crate::scheduler) fn retried(
    subject: Subject,
    device: Option<Device>,
    error: Failure,
    data_kept: bool,
    delay: Duration,
) -> RunEvent {
    let Subject { group, task, attempt } = subject;
    RunEvent::TaskRetried { group, task, attempt, device, error, data_kept, delay }
}

pub(in crate::scheduler) fn failed(subject: Subject, times: Times, error: Failure) -> RunEvent {
    let Subject { group, task, attempt } = subject;
    let Times { load_time, trained } = times;
    let (device, train_time) = trained.unzip();
    RunEvent::TaskFailed { group, task, attempt, device, load_time, train_time, error }
}

pub(in crate::scheduler) fn memory(subject: Subject, report: UseReport) -> RunEvent {
    let Subject { group, task, attempt } = subject;
    let UseReport { family, memory, cuda_memory } = report;
    RunEvent::TaskMemory { group, task, attempt, family, memory, cuda_memory }
}
