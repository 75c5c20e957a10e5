//! `DeviceRequest`: a request by memory, which blocks until it is granted or its limit has passed.

use std::sync::Arc;
use std::time::Duration;

use fedflow_core::{DevicePool, Lease, LeaseRequest, Pin, Size, TaskKey, Unleasable};

use super::held_lease::HeldLease;
use super::shared_pool::SharedPool;
use crate::machine::monotonic_now;

/// A request for devices, made by [`Devices::request`](super::Devices::request).
#[derive(Debug, Clone)]
#[must_use = "a request asks for nothing until `lease` or `try_lease` is called"]
pub struct DeviceRequest {
    shared: Arc<SharedPool>,
    memory: Size,
    devices: u32,
    exclusive: bool,
    pin: Option<Pin>,
}

/// Why a request was not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// It can never be granted.
    #[error(transparent)]
    Unleasable(#[from] Unleasable),
    /// It was not granted within its limit.
    #[error("no device had {memory} free within {limit:?}")]
    TimedOut {
        /// The memory that was asked for.
        memory: Size,
        /// The limit.
        limit: Duration,
    },
}

impl DeviceRequest {
    pub(super) fn new(shared: Arc<SharedPool>, memory: Size) -> Self {
        Self { shared, memory, devices: 1, exclusive: false, pin: None }
    }

    /// Asks for several devices, all or none, each with the memory.
    pub fn devices(self, count: u32) -> Self {
        Self { devices: count, ..self }
    }

    /// Asks for whole cards, on which there is no other lease.
    pub fn exclusive(self) -> Self {
        Self { exclusive: true, ..self }
    }

    /// Asks for this device alone: `cuda:1`, or a card's UUID.
    pub fn pinned_to(self, pin: Pin) -> Self {
        Self { pin: Some(pin), ..self }
    }

    /// Blocks until the request is granted, for `limit` at most. It is woken when another thread or process releases
    /// something; of the threads of this process, devices are held back for the one that has waited longest.
    ///
    /// # Errors
    /// The request can never be granted, or was not granted in time.
    pub fn lease(self, limit: Duration) -> Result<HeldLease, LeaseError> {
        let deadline = monotonic_now() + limit;
        let waiting = Waiting::join(&self.shared);
        loop {
            let seen = self.shared.queue.releases();
            let hold = self.shared.queue.is_first(waiting.number);
            if let Some(lease) = self.ask(waiting.number, hold)? {
                return Ok(HeldLease::new(lease, Arc::clone(&self.shared)));
            }
            if !self.shared.queue.wait_for_release(seen, deadline) {
                return Err(LeaseError::TimedOut { memory: self.memory, limit });
            }
        }
    }

    /// Leases what is asked for if it is free now.
    ///
    /// # Errors
    /// The request can never be granted.
    pub fn try_lease(self) -> Result<Option<HeldLease>, LeaseError> {
        let number = self.shared.queue.next_number();
        let asked = self.ask(number, false);
        self.shared.pool().withdraw(holder(number));
        Ok(asked?.map(|lease| HeldLease::new(lease, Arc::clone(&self.shared))))
    }

    fn ask(&self, number: u32, hold: bool) -> Result<Option<Lease>, Unleasable> {
        let request = LeaseRequest {
            devices: self.devices,
            exclusive: self.exclusive,
            pin: self.pin.clone(),
            hold,
            ..LeaseRequest::new(holder(number), self.memory)
        };
        let mut pool = self.shared.pool();
        // Each time, because a card may have been lost meanwhile.
        pool.check(&request)?;
        Ok(pool.try_lease(&request))
    }
}

/// A place in the queue, left when the value is dropped.
struct Waiting<'a> {
    shared: &'a SharedPool,
    number: u32,
}

impl<'a> Waiting<'a> {
    fn join(shared: &'a SharedPool) -> Self {
        Self { shared, number: shared.queue.join() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.pool().withdraw(holder(self.number));
        self.shared.queue.leave(self.number);
    }
}

/// The key by which the pool knows a request. There are no groups here.
fn holder(number: u32) -> TaskKey {
    TaskKey { group: 0, place: number }
}
