//! The commands that execute a flow, and what they share: guard, view, and the groups of a flow file.

mod demo;
mod failed_tasks;
mod flow_groups;
mod guarded;
mod recorded_context;
mod recorded_groups;
mod resume;
mod run;
mod run_again;
mod shown_run;

pub(super) use demo::cmd_demo;
pub(super) use guarded::run_guarded;
pub(super) use resume::cmd_resume;
pub(super) use run::{cmd_run, run_dir_of};
