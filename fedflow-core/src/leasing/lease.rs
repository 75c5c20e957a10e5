//! `Lease` and `LeaseRequest`: what a task asks of the devices, and what it is given.

use crate::model::device::{Device, DeviceInfo, Pin};
use crate::model::identity::TaskKey;
use crate::model::quantity::Size;
use crate::work::task::LeaseInfo;

/// A lease's number, unique in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// A task's request for devices.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseRequest {
    /// The task that asks.
    pub holder: TaskKey,
    /// How many devices. The request is met with all of them at once, or not at all.
    pub devices: u32,
    /// The memory to book on each card.
    pub memory: Size,
    /// Whether the memory is an estimate, given or learned, and not the default. Tasks without an estimate share a card
    /// only up to `scheduler.max-per-device`.
    pub estimated: bool,
    /// Whether no other task may train on the cards at the same time.
    pub exclusive: bool,
    /// The device that it is pinned to; `None`: any device.
    pub pin: Option<Pin>,
    /// Whether devices are kept free for the request if it cannot be met now.
    pub hold: bool,
    /// A lease whose training has ended and which this one replaces: the memory that it has booked is used for this one.
    pub replaces: Option<LeaseId>,
    /// Whether the task has run out of memory before. It then goes to the card with the most free memory, not to the one
    /// that fits best. If it is also exclusive, it goes to a card of the largest size.
    pub roomy: bool,
}

impl LeaseRequest {
    /// A request for a share of any one device, with this estimate of the memory on a card.
    #[must_use]
    pub fn new(holder: TaskKey, memory: Size) -> Self {
        Self {
            holder,
            devices: 1,
            memory,
            estimated: true,
            exclusive: false,
            pin: None,
            hold: false,
            replaces: None,
            roomy: false,
        }
    }
}

/// A granted request.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// Its number.
    pub id: LeaseId,
    /// What is leased, one share for each device.
    pub shares: Vec<Share>,
    /// The environment variables of a process that is started for this lease alone.
    pub environment: Vec<(String, String)>,
    /// The name of the device in such a process. As it sees one card only, that is `cuda:0`.
    pub device_seen: Device,
}

/// A part of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The device.
    pub info: DeviceInfo,
    /// The leased memory; `None` on a CPU slot.
    pub memory: Option<Size>,
    /// The number of the CPU slot, or of this share among those of its card, from 0.
    pub slot: u32,
}

impl Lease {
    /// The device, or the first of several, under its name in the run.
    #[must_use]
    pub fn device(&self) -> Device {
        self.shares.first().map_or(Device::Cpu, |share| share.info.device)
    }

    /// The lease as its holder sees it. A process that was `started_for_it` sees its devices only, and names them
    /// accordingly. One that had loaded before uses the names of the run.
    #[must_use]
    pub fn info(&self, started_for_it: bool) -> LeaseInfo {
        LeaseInfo {
            device: if started_for_it { self.device_seen } else { self.device() },
            cards: self
                .shares
                .iter()
                .filter(|share| share.info.device != Device::Cpu)
                .map(|share| share.info.clone())
                .collect(),
            memory: self.shares.first().and_then(|share| share.memory),
        }
    }
}

/// Why a request can never be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unleasable {
    /// The pinned device does not exist.
    #[error("there is no device {pin}; this run has {available}")]
    NoSuchDevice {
        /// The pin.
        pin: Pin,
        /// The devices there are.
        available: String,
    },
    /// No device has so much memory.
    #[error(
        "{needed} on a card is more than any card may lease; the largest share is {largest}{}",
        would_do(*remain_limit)
    )]
    TooLarge {
        /// What was asked.
        needed: Size,
        /// The most that a lease may have which is alone on a card.
        largest: Size,
        /// The value of `remain-limit.cuda-memory` with which it would be met; `None` if no card has so much.
        remain_limit: Option<Size>,
    },
    /// There are not so many devices.
    #[error("{needed} devices at once are more than there are ({available})")]
    TooMany {
        /// What was asked.
        needed: u32,
        /// How many could be leased.
        available: u32,
    },
    /// Every device was lost.
    #[error("no device is left")]
    NoneLeft,
    /// Other processes share the devices, and for a long time nothing could be booked where they look.
    #[error("no device can be leased: {cause}")]
    NotBookable {
        /// Why nothing can be booked.
        cause: String,
    },
}

fn would_do(remain_limit: Option<Size>) -> String {
    remain_limit.map_or_else(String::new, |size| {
        format!(", as remain-limit.cuda-memory leaves no more; with \"{size:?}\" it would fit")
    })
}
