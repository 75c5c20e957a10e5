//! Tracing: what a run traces beside what its host does, and on the command line where all of it is written.

#[cfg(feature = "cli")]
pub(crate) mod log_filter;
#[cfg(feature = "cli")]
pub(crate) mod log_lines;
pub(crate) mod task_names;
pub(crate) mod traced_pool;
