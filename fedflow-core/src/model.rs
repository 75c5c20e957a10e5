//! The small types that everything is made of: names, values, sizes, times, devices, failures, configuration, events.

pub(crate) mod config;
pub(crate) mod device;
pub(crate) mod failure;
pub(crate) mod fnv;
pub(crate) mod identity;
pub(crate) mod limits;
pub(crate) mod memory_use;
pub(crate) mod name;
pub(crate) mod name_index;
pub(crate) mod oom;
pub(crate) mod process;
pub(crate) mod quantity;
pub(crate) mod run_event;
pub(crate) mod status;
pub(crate) mod time;
pub(crate) mod value;
