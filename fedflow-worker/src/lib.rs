//! Isolated subprocess tasks, and the run directory in which a flow's progress survives.

pub mod store;
