//! Every worker from its start until its end is reported.

pub(crate) mod at_work;
pub(crate) mod deadline;
pub(crate) mod ending;
pub(crate) mod notice;
pub(crate) mod supervised;
pub(crate) mod worker_commands;
pub(crate) mod worker_kind;
pub(crate) mod worker_process;
pub(crate) mod worker_start;
pub(crate) mod worker_table;
