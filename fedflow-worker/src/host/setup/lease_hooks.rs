//! `LeaseHooks`: what the owner of the leases is told and asked by the host.

use std::fmt;
use std::sync::Arc;

use fedflow_core::{Assignment, Lease, LeaseId, Size};

type NameHolder = dyn Fn(LeaseId, u32, &str) + Send + Sync;
type CheckMemory = dyn Fn(&Lease, Size) -> Result<(), String> + Send + Sync;

/// Functions of the owner of the leases. They are called from the engine's thread, so they must not block.
///
/// Where other programs lease from the same ledger, it must know which process holds a lease: a process may outlive this
/// program, and its card must not be leased to another meanwhile.
#[derive(Clone)]
pub struct LeaseHooks {
    name_holder: Option<Arc<NameHolder>>,
    check_memory: Option<Arc<CheckMemory>>,
}

impl LeaseHooks {
    /// For leases that no other program knows of: no function is called.
    #[must_use]
    pub fn none() -> Self {
        Self { name_holder: None, check_memory: None }
    }

    /// Calls a function with the lease, its holder's process id and the task, as `group/task`. It is called before the
    /// holder is told to train, or for a command as soon as its process is there.
    #[must_use]
    pub fn new(name_holder: impl Fn(LeaseId, u32, &str) + Send + Sync + 'static) -> Self {
        Self { name_holder: Some(Arc::new(name_holder)), check_memory: None }
    }

    /// Calls a function before a task trains on simulated cards, with the memory that the task says it uses of each. An
    /// error is why the task is out of memory: it is not told to train.
    ///
    /// A task says it as `FEDFLOW_SIM_USE`, a size such as `10GB`: a command in its environment, a worker's task in its
    /// parameters, those of `train` first, or in the worker's environment.
    #[must_use]
    pub fn with_memory_check(
        mut self,
        check: impl Fn(&Lease, Size) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.check_memory = Some(Arc::new(check));
        self
    }

    pub(crate) fn name_holder(&self, lease: LeaseId, process: u32, assignment: &Assignment) {
        if let Some(name_holder) = &self.name_holder {
            name_holder(lease, process, &format!("{}/{}", assignment.group, assignment.task_id));
        }
    }

    /// Whether memory is checked at all.
    pub(crate) fn check_memory(&self) -> Option<&CheckMemory> {
        self.check_memory.as_deref()
    }
}

impl fmt::Debug for LeaseHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseHooks")
    }
}
