//! `TalkingPool`: a device pool that says who is given a device, and why somebody waits.

use std::collections::BTreeMap;

use fedflow_core::{
    Device, DeviceInfo, DevicePool, Lease, LeaseId, LeaseRequest, Pin, Size, TaskKey, Unleasable,
};

use super::DebugTalk;

/// Leases as the pool does, and talks of it if it is asked to.
pub(crate) struct TalkingPool<P> {
    pool: P,
    talk: Option<DebugTalk>,
    /// What is leased, for people; empty if nobody is told.
    held: BTreeMap<LeaseId, Held>,
    /// Why each of those who wait was last said to wait.
    waiting: BTreeMap<TaskKey, String>,
}

struct Held {
    task: String,
    shares: String,
    /// It trains; else only its memory is still booked.
    trains: bool,
}

impl<P> TalkingPool<P> {
    pub(crate) fn new(pool: P, talk: Option<DebugTalk>) -> Self {
        Self { pool, talk, held: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    fn say_granted(&mut self, talk: &DebugTalk, request: &LeaseRequest, lease: &Lease) {
        let task = talk.task(request.holder);
        let shares: Vec<String> = lease
            .shares
            .iter()
            .map(|share| match share.memory {
                Some(memory) => format!("{memory} of {}", share.info.device),
                None => share.info.device.to_string(),
            })
            .collect();
        let shares = shares.join(", ");
        talk.say(&format!("{task} is given {shares}: it asked for {}", asked(request)));
        self.waiting.remove(&request.holder);
        self.held.insert(lease.id, Held { task, shares, trains: true });
    }

    /// Once for each reason: a request is repeated whenever anything changes.
    fn say_refused(&mut self, talk: &DebugTalk, request: &LeaseRequest) {
        let held: Vec<String> = self.held.values().map(Held::text).collect();
        let held = if held.is_empty() { "nothing by this run".into() } else { held.join("; ") };
        let reason = format!("it asks for {}; leased are: {held}", asked(request));
        if self.waiting.get(&request.holder) != Some(&reason) {
            talk.say(&format!("{} waits for a device: {reason}", talk.task(request.holder)));
            self.waiting.insert(request.holder, reason);
        }
    }
}

impl Held {
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

impl<P: DevicePool> DevicePool for TalkingPool<P> {
    fn devices(&self) -> Vec<DeviceInfo> {
        self.pool.devices()
    }

    fn check(&self, request: &LeaseRequest) -> Result<(), Unleasable> {
        self.pool.check(request)
    }

    fn largest_share(&self) -> Option<Size> {
        self.pool.largest_share()
    }

    fn try_lease(&mut self, request: &LeaseRequest) -> Option<Lease> {
        let lease = self.pool.try_lease(request);
        if let Some(talk) = self.talk.clone() {
            match &lease {
                Some(lease) => self.say_granted(&talk, request, lease),
                None => self.say_refused(&talk, request),
            }
        }
        lease
    }

    fn fits_without(&self, request: &LeaseRequest, leases: &[LeaseId]) -> bool {
        self.pool.fits_without(request, leases)
    }

    fn end_train(&mut self, lease: LeaseId) {
        if let Some(held) = self.held.get_mut(&lease) {
            held.trains = false;
        }
        self.pool.end_train(lease);
    }

    fn release(&mut self, lease: LeaseId) {
        if let (Some(talk), Some(held)) = (&self.talk, self.held.remove(&lease)) {
            talk.say(&format!("{} has given back {}", held.task, held.shares));
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
}
