//! What is measured of memory: that of the host, and what those that train use of their cards.

use std::time::Duration;

use crate::leasing::lease::LeaseId;
use crate::model::quantity::Size;
use crate::model::time::Time;
use crate::ports::HostSample;
use crate::scheduler::interface::outbox::Asked;
use crate::scheduler::parts::Parts;
use crate::scheduler::tasks::memory::Sampled;
use crate::scheduler::tasks::task::TaskState;

/// How long a process that was started for `train` has until its memory counts as measured. What a flow says of its
/// memory is reserved for longer.
const MEASURED_AFTER: Duration = Duration::from_secs(5);

/// The host was sampled: the memory of those that train shows, and what they use of their cards is asked.
pub(in crate::scheduler) fn host_sampled(parts: &mut Parts, now: Time, sample: HostSample) {
    parts.admission.observe(sample);
    if parts.memory.may_end_trial() {
        parts.lease_pass.request();
    }
    for id in parts.workers.ids() {
        let Some(worker) = parts.workers.get(id).filter(|worker| worker.is_training()) else { continue };
        let watched = parts.groups.task(worker.task).and_then(|task| parts.memory.watched(task));
        if now.since(worker.entered) >= MEASURED_AFTER {
            parts.is_measured(id);
        }
        if let Some(lease) = watched {
            parts.outbox.ask(Asked::Peak { lease, trains: true });
        }
    }
}

/// The holder of a lease, which trains, has used so much of its card until now.
pub(in crate::scheduler) fn sampled(parts: &mut Parts, now: Time, lease: LeaseId, peak: Size) {
    let task = parts.memory.holder(lease).and_then(|key| parts.groups.task_mut(key));
    let Some(Sampled { learned, rebook }) = task.map(|task| parts.memory.sampled(now, task, peak)) else {
        return;
    };
    if learned {
        parts.lease_pass.request();
    }
    if let Some(memory) = rebook {
        parts.outbox.ask(Asked::Rebook { lease, memory });
    }
}

/// It is known how much of its card the holder of a lease has used, which has just ended to train.
pub(in crate::scheduler) fn trained(parts: &mut Parts, lease: LeaseId, peak: Option<Size>) {
    let Some(key) = parts.memory.take_holder(lease) else { return };
    let Some(task) = parts.groups.task_mut(key) else { return };
    let attempt = task.attempts;
    parts.memory.trained(task, peak);
    // A process that is kept for others is not waited for.
    if task.state == TaskState::Over && !parts.workers.any_at(key) {
        parts.tell_memory(key, attempt);
    }
}
