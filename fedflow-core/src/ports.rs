//! The engine's ports: what it asks of the world, and what the world tells it. These files are the contract.

mod devices;
mod observer;
mod settings;
pub(crate) mod telemetry;
mod wait;
mod workers;

pub use devices::DevicePool;
pub use observer::Observer;
pub use settings::{RunSettings, StopLevel};
pub use wait::{Obstacle, Occupant, Wait, WaitCause};
pub use workers::{Assignment, HostSample, Input, Severity, WorkerEvent, Workers};
