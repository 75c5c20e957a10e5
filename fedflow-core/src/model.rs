//! The small types that everything is made of: names, values, sizes, times, devices, failures, configuration, events.

pub(crate) mod chosen_order;
pub(crate) mod config;
pub(crate) mod device;
pub(crate) mod identity;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod outcome;
pub(crate) mod run_event;
pub(crate) mod session_setup;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod value;

// Names and sizes are used everywhere, under short paths.
pub(crate) use identity::{fnv, name, name_index, process};
pub(crate) use memory::{memory_use, oom, quantity};
