//! `HeldLease`: a lease that is released when it is dropped.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;

use fedflow_core::{Device, Lease, Size};

use super::shared_pool::SharedPool;

/// A lease. Dropping it releases its devices, so keep it until the process that uses them has ended.
#[derive(Debug)]
#[must_use = "a lease is released when it is dropped"]
pub struct HeldLease {
    lease: Lease,
    shared: Arc<SharedPool>,
}

impl HeldLease {
    pub(super) fn new(lease: Lease, shared: Arc<SharedPool>) -> Self {
        Self { lease, shared }
    }

    /// The (first) device, as `fedflow devices` names it.
    #[must_use]
    pub fn device(&self) -> Device {
        self.lease.device()
    }

    /// The leased memory of each device; `None` if it has none, as a CPU slot.
    #[must_use]
    pub fn memory(&self) -> Option<Size> {
        self.lease.shares.first().and_then(|share| share.memory)
    }

    /// The whole lease: its shares, and how a process that is started for it names its device.
    #[must_use]
    pub fn details(&self) -> &Lease {
        &self.lease
    }

    /// The lease environment: the variables with which a process sees these devices and no others.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lease.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Starts a command with the lease environment, and names its process as the lease holder: if this program dies
    /// first, the devices stay leased until that process has ended.
    ///
    /// # Errors
    /// The command cannot be started.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let program =
            Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let child = command.envs(self.environment()).spawn()?;
        self.name_holder(child.id(), &program);
        Ok(child)
    }

    /// Names the process that uses the lease, if it was not started by [`Self::spawn`]. `fedflow devices` shows `task`.
    pub fn name_holder(&self, pid: u32, task: &str) {
        if let Some(holders) = &self.shared.holders {
            holders.name(self.lease.id, pid, task);
        }
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.shared.release(self.lease.id);
    }
}
