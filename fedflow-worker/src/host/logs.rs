//! The log files of tasks, and the limit of their size.

pub(crate) mod capped_log;
pub(crate) mod log_keeper;
pub(crate) mod task_logs;
