//! `Pool`: the devices of one run and the leases on them. It implements the engine's port for devices.

#[cfg(test)]
mod card_monitor_tests;
mod device_kind;
mod lease_environment;
mod lease_holders;
mod leasing;
mod obstacles;
mod opening;
mod release_watch;
mod run_pool;
mod warning_log;

pub use lease_holders::LeaseHolders;
pub use opening::slots_beside;
pub use release_watch::ReleaseWatch;
pub use run_pool::{Opened, Pool};
