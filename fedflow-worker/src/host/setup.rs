//! How a host is set up: its options, the caller's hooks, and what every part of it knows.

pub(crate) mod context;
pub(crate) mod lease_hooks;
pub(crate) mod options;
