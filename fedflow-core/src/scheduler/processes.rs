//! Processes: those that are at a task, those that are kept for one, and those that are being ended.

pub(super) mod affinity;
pub(super) mod kept_processes;
pub(super) mod ladder;
pub(super) mod process;
pub(super) mod workers;
