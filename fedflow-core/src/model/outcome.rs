//! What becomes of a task: its status, why it failed, and what its processes left running.

pub(crate) mod failure;
pub(crate) mod left_running;
pub(crate) mod status;
