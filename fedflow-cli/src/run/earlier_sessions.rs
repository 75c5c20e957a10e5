//! What earlier sessions of a run have left for the next one: their records, and what they were started with.

mod locked_run;
mod recorded_run;
mod setup_changes;

pub(crate) use locked_run::LockedRun;
pub(super) use locked_run::lock_run;
pub(super) use recorded_run::RecordedRun;
pub(crate) use recorded_run::read_durations;
#[cfg(feature = "cli")]
pub(crate) use recorded_run::read_run;
pub(super) use setup_changes::{configuration_changes, environment_changes};
