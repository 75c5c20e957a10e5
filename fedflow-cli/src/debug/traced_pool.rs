//! `TracedPool`: a device pool that traces which task is given a device, and why another one waits.

use std::collections::BTreeMap;

use fedflow_core::{
    CardLimits, Device, DeviceInfo, DevicePool, Lease, LeaseId, LeaseRequest, Obstacle, Pin, Size, TaskKey,
    Unleasable,
};

use tracing::{Level, debug, enabled};

use crate::debug::task_names::TaskNames;

/// Leases as the pool does, and traces it if that is written anywhere.
pub(crate) struct TracedPool<P> {
    pool: P,
    names: TaskNames,
    /// What is leased, in words; empty if nothing is traced.
    held: BTreeMap<LeaseId, HeldShares>,
    /// Why each task that waits was last said to wait.
    waiting: BTreeMap<TaskKey, String>,
}

struct HeldShares {
    task: String,
    shares: String,
    /// Whether it trains; otherwise only its memory is still booked.
    trains: bool,
}

impl<P> TracedPool<P> {
    pub(crate) fn new(pool: P, names: TaskNames) -> Self {
        Self { pool, names, held: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    fn trace_granted(&mut self, request: &LeaseRequest, lease: &Lease) {
        let task = self.names.of(request.holder);
        let shares: Vec<String> = lease
            .shares
            .iter()
            .map(|share| match share.memory {
                Some(memory) => format!("{memory} of {}", share.info.device),
                None => share.info.device.to_string(),
            })
            .collect();
        let shares = shares.join(", ");
        debug!("{task} is given {shares}: it asked for {}", asked(request));
        self.waiting.remove(&request.holder);
        self.held.insert(lease.id, HeldShares { task, shares, trains: true });
    }

    /// Once for each reason: a request is repeated whenever anything changes.
    fn trace_refused(&mut self, request: &LeaseRequest) {
        let held: Vec<String> = self.held.values().map(HeldShares::text).collect();
        let held = if held.is_empty() { "nothing by this run".into() } else { held.join("; ") };
        let reason = format!("it asks for {}; leased are: {held}", asked(request));
        if self.waiting.get(&request.holder) != Some(&reason) {
            debug!("{} waits for a device: {reason}", self.names.of(request.holder));
            self.waiting.insert(request.holder, reason);
        }
    }
}

impl HeldShares {
    fn text(&self) -> String {
        let still = if self.trains { "" } else { ", which has trained and whose process is still there" };
        format!("{} by {}{still}", self.shares, self.task)
    }
}

/// A request in words.
fn asked(request: &LeaseRequest) -> String {
    let device = match &request.pin {
        Some(Pin::Device(device)) => device.to_string(),
        Some(Pin::Uuid(uuid)) => uuid.clone(),
        None if request.devices == 1 => "one device".into(),
        None => format!("{} devices", request.devices),
    };
    let memory = if request.exclusive {
        " whole".into()
    } else {
        let by = if request.estimated { "estimated" } else { "by default" };
        format!(" with {} if it is a card ({by})", request.memory)
    };
    format!("{device}{memory}")
}

impl<P: DevicePool> DevicePool for TracedPool<P> {
    fn devices(&self) -> Vec<DeviceInfo> {
        self.pool.devices()
    }

    fn slots_beside(&self) -> u32 {
        self.pool.slots_beside()
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        self.pool.check(request)
    }

    fn largest_share(&self) -> Option<Size> {
        self.pool.largest_share()
    }

    fn limits(&self, device: Device) -> Option<CardLimits> {
        self.pool.limits(device)
    }

    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        let lease = self.pool.try_lease(request);
        if enabled!(Level::DEBUG) {
            match &lease {
                Some(lease) => self.trace_granted(request, lease),
                None => self.trace_refused(request),
            }
        }
        lease
    }

    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        self.pool.fits_without(request, leases)
    }

    fn others_train_on(&self, device: Device) -> bool {
        self.pool.others_train_on(device)
    }

    fn end_train(&mut self, lease: LeaseId) {
        if let Some(held) = self.held.get_mut(&lease) {
            held.trains = false;
        }
        self.pool.end_train(lease);
    }

    fn release(&mut self, lease: LeaseId) {
        if let Some(held) = self.held.remove(&lease) {
            debug!("{} has given back {}", held.task, held.shares);
        }
        self.pool.release(lease);
    }

    fn withdraw(&mut self, holder: TaskKey) {
        self.waiting.remove(&holder);
        self.pool.withdraw(holder);
    }

    fn peak(&self, lease: LeaseId) -> Option<Size> {
        self.pool.peak(lease)
    }

    fn rebook(&mut self, lease: LeaseId, memory: Size) -> bool {
        self.pool.rebook(lease, memory)
    }

    fn is_lost(&mut self, device: Device) -> bool {
        self.pool.is_lost(device)
    }

    fn obstacles(&self, request: &LeaseRequest) -> Vec<Obstacle> {
        self.pool.obstacles(request)
    }
}
