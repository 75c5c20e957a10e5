//! The work of a run as its author describes it: tasks, their programs, and groups of tasks.
//!
//! One task appears as three types. [`Task`](crate::Task) is the trait that its author implements, if the task is
//! written in Rust. [`TaskSpec`](crate::TaskSpec) is its description, which is added to a group.
//! [`TaskEntry`](crate::TaskEntry) is what the group keeps of it: the description, the status and the outcome.

pub(crate) mod command_line;
pub(crate) mod entry;
pub(crate) mod fingerprint;
pub(crate) mod group;
pub(crate) mod spec;
pub(crate) mod task;
pub(crate) mod told_params;
