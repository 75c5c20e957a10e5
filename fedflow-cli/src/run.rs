//! `Run`: the one place where the engine's ports are wired, for the command line and for programs alike.
//!
//! It knows no argument parser, terminal or mail. Whatever else is to be told of a run is an observer that the caller
//! passes in, and what a person should know is a [`Notice`] for the caller to show.

mod builder;
mod devices;
mod earlier_sessions;
mod new_run_directory;
mod notice;
mod open_error;
mod open_run;
mod opening;
mod run_handle;
mod short_path;
mod supervisor;
mod wiring;

pub use builder::RunBuilder;
pub use devices::{Devices, DevicesError};
pub use notice::Notice;
pub use open_error::OpenError;
pub use open_run::{FinishError, Run, RunEnd};
pub use opening::Opening;
pub use run_handle::RunHandle;
pub use supervisor::{Guard, GuardError, SupervisorEnd};
pub use wiring::Unobserved;

#[cfg(feature = "cli")]
pub(crate) use builder::{DEFAULT_DEVICES, DEFAULT_SEED};
#[cfg(feature = "cli")]
pub(crate) use earlier_sessions::{LockedRun, read_durations, read_run};
#[cfg(feature = "cli")]
pub(crate) use notice::Notices;
#[cfg(feature = "cli")]
pub(crate) use short_path::short_path;
#[cfg(feature = "cli")]
pub(crate) use supervisor::{
    home_directory, is_ignored, log_variable, prepare_process, python_path, search_path,
    variables_with_prefix,
};
