//! `LeaseWitness`: who is told which process uses a lease, and for which task.

use std::fmt;
use std::sync::Arc;

use fedflow_core::{Assignment, LeaseId};

type Tell = dyn Fn(LeaseId, u32, &str) + Send + Sync;

/// A function that is told the process of each lease, before that process is told to train, or for a command as soon as
/// it is there. So a ledger of leases can name the process that might outlive this one.
///
/// It is called from the thread that knows every worker, so it must not block.
#[derive(Clone)]
pub struct LeaseWitness(Arc<Tell>);

impl LeaseWitness {
    /// Tells a function the lease, the process and the task, as `group/task`.
    pub fn new(tell: impl Fn(LeaseId, u32, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, lease: LeaseId, process: u32, assignment: &Assignment) {
        (self.0)(lease, process, &format!("{}/{}", assignment.group, assignment.task_id));
    }
}

impl fmt::Debug for LeaseWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseWitness")
    }
}
