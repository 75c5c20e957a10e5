//! Every worker from its start until its end is reported.

pub(crate) mod end_description;
pub(crate) mod notice;
pub(crate) mod oom_attribution;
pub(crate) mod result_file;
pub(crate) mod supervised;
pub(crate) mod sweep;
pub(crate) mod worker_table;
