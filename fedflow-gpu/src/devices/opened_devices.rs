//! `Devices`: the devices of one program, opened and ready to lease.

use std::sync::Arc;

use fedflow_core::{Config, DeviceInfo, DevicePool, Size};

use super::device_request::DeviceRequest;
use super::shared_pool::SharedPool;
use crate::device_choice::DeviceChoice;
use crate::lease_directory::LeaseScope;
use crate::machine::DeviceEnvironment;
use crate::pool::{Opened, Pool};
use crate::problems::{OpenError, Warning};

/// The devices that a program leases from. Cheap to clone; may be used from any thread.
///
/// Leases of real cards are seen by all processes of the machine that use Fedflow. CPU slots and simulated cards belong to
/// this process alone unless `FEDFLOW_LEASE_DIR` names a directory; [`Devices::lease_scope`] and [`Devices::warnings`]
/// say so.
#[derive(Debug, Clone)]
pub struct Devices {
    shared: Arc<SharedPool>,
    note: Option<Arc<str>>,
}

impl Devices {
    /// Opens all cards that this process may use, or as many CPU slots as it may use cores if there is no card, with the
    /// default limits and the process's environment. See [`Devices::note`] for the reason if there is no card.
    ///
    /// # Errors
    /// Leases cannot be booked, or the system gives no thread.
    pub fn of_this_machine() -> Result<Self, OpenError> {
        Self::open(&DeviceChoice::Auto, &Config::default(), &DeviceEnvironment::from_process())
    }

    /// Opens the devices that were chosen. Of the configuration, the limits on cards' memory, `gpu-priority` and
    /// `scheduler.max-per-device` count.
    ///
    /// # Errors
    /// Cards were chosen that do not exist or cannot be used, leases cannot be booked, or the system gives no thread.
    pub fn open(
        choice: &DeviceChoice,
        config: &Config,
        environment: &DeviceEnvironment,
    ) -> Result<Self, OpenError> {
        let Opened { pool, note } = Pool::open(choice, config, environment)?;
        Ok(Self { shared: Arc::new(SharedPool::new(pool)?), note: note.map(Into::into) })
    }

    /// Begins a request for one device with this much memory, shared with other leases as far as memory allows. A CPU slot
    /// has no memory of its own: there any amount fits, and a lease has the slot alone.
    pub fn request(&self, memory: Size) -> DeviceRequest {
        DeviceRequest::new(Arc::clone(&self.shared), memory)
    }

    /// The devices, without those that were lost.
    #[must_use]
    pub fn list(&self) -> Vec<DeviceInfo> {
        self.shared.pool().devices()
    }

    /// The largest amount of memory that a request may ask for; `None` if no device has memory.
    #[must_use]
    pub fn largest_request(&self) -> Option<Size> {
        self.shared.pool().largest_alone()
    }

    /// Which processes see the leases.
    #[must_use]
    pub fn lease_scope(&self) -> LeaseScope {
        self.shared.pool().lease_scope()
    }

    /// A line for people that says why CPU slots are used instead of cards, if so.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// What people should know of the devices. The list grows while leases are asked for, as cards fail.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let pool = self.shared.pool();
        let own = (pool.lease_scope() == LeaseScope::Process).then_some(Warning::OwnDevices);
        own.into_iter().chain(pool.warnings().iter().cloned()).collect()
    }
}
