//! Leases: what a task asks of the devices, and what it is given.

use crate::model::device::{Device, DeviceInfo, Pin};
use crate::model::identity::TaskKey;
use crate::model::quantity::Size;
use crate::work::task::LeaseInfo;

/// A lease's number, unique in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// What a task asks of the devices.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseRequest {
    /// Who asks.
    pub holder: TaskKey,
    /// How many devices; all or none.
    pub devices: u32,
    /// Memory on each card.
    pub memory: Size,
    /// Whether somebody estimated the memory. Tasks that nobody estimated share a card only up to
    /// `scheduler.max-per-device`.
    pub estimated: bool,
    /// Whether the cards are taken whole.
    pub exclusive: bool,
    /// The device it is tied to.
    pub pin: Option<Pin>,
    /// Whether, if refused, devices are kept back for it.
    pub hold: bool,
    /// A lease whose turn has ended and in whose place it stands: what that has booked is there for this one.
    pub replaces: Option<LeaseId>,
    /// It has run out of memory before: it goes where most is free, not where it fits best; and if it takes a card
    /// whole, to a card of the largest size.
    pub roomy: bool,
}

/// A granted request.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// Its number.
    pub id: LeaseId,
    /// What is leased, one share for each device.
    pub shares: Vec<Share>,
    /// What a process that is started for this lease alone must find in its environment.
    pub environment: Vec<(String, String)>,
    /// How such a process names its device: it sees one card, so `cuda:0`.
    pub device_seen: Device,
}

/// A part of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The device.
    pub info: DeviceInfo,
    /// The leased memory; none on a CPU slot.
    pub memory: Option<Size>,
    /// The place among equal devices, or among those who share the card, from 0.
    pub slot: u32,
}

impl Lease {
    /// The (first) device, as the run names it.
    #[must_use]
    pub fn device(&self) -> Device {
        self.shares.first().map_or(Device::Cpu, |share| share.info.device)
    }

    /// What its holder is told. A process that was `started_for_it` names its device as it sees it, one that
    /// loaded before as the run names it.
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
    #[error("{needed} on a card is more than any card may lease; the largest share is {largest}")]
    TooLarge {
        /// What was asked.
        needed: Size,
        /// The most that one card may lease.
        largest: Size,
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
}
