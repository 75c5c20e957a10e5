//! The small types that everything is made of: names, values, sizes, times, devices, failures, configuration, events.

pub(crate) mod config;
pub(crate) mod device;
pub(crate) mod failure;
pub(crate) mod grouped_digits;
pub(crate) mod identity;
pub(crate) mod left_running;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod printed_text;
pub(crate) mod run_event;
pub(crate) mod seconds;
pub(crate) mod session_setup;
pub(crate) mod status;
pub(crate) mod time;
pub(crate) mod value;

// Names and sizes are used everywhere, under short paths.
pub(crate) use identity::{fnv, name, name_index, process};
pub(crate) use memory::{memory_use, oom, quantity};
