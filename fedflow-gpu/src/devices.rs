//! `Devices`: leases for a program of one's own, without Fedflow's engine.

mod device_request;
mod held_lease;
mod lease_queue;
mod opened_devices;
mod shared_pool;

pub use device_request::{DeviceRequest, LeaseError};
pub use held_lease::HeldLease;
pub use opened_devices::Devices;
