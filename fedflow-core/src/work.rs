//! The work of a run as its author describes it: tasks, their programs, and groups of tasks.

pub(crate) mod command_line;
pub(crate) mod entry;
pub(crate) mod fingerprint;
pub(crate) mod group;
pub(crate) mod spec;
pub(crate) mod task;
