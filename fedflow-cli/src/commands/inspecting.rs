//! The commands that look at a run, or ask something of it, from another terminal or after its end.

mod logs;
mod overview;
mod report;
mod results;
mod run_access;
mod status;
mod stop;

pub(super) use logs::cmd_logs;
pub(super) use report::cmd_report;
pub(super) use results::cmd_results;
pub(super) use status::cmd_status;
pub(super) use stop::cmd_stop;
