//! `Run`: the one place where the engine's ports are wired, for the command line and for programs alike.
//!
//! It knows no argument parser, terminal or mail. What else is to be told of a run is an observer that the caller
//! passes in, and what a person should know is a [`Notice`] for the caller to show.

mod builder;
mod control_requests;
mod device_telemetry;
mod devices;
mod guard;
mod host_options;
mod kept_estimates;
mod observers;
mod open_error;
mod open_run;
mod opening;
mod process_setup;
mod recorded_run;
mod run_handle;
mod signal_watch;
mod system_check;
mod wiring;

pub use builder::RunBuilder;
pub use devices::{Devices, DevicesError};
pub use guard::{Guard, GuardError, SupervisorEnd};
pub use observers::Unobserved;
pub use open_error::OpenError;
pub use open_run::{FinishError, Run, RunEnd};
pub use opening::Opening;
pub use run_handle::RunHandle;
pub use system_check::{MissingCall, SystemTooOld, check_system};

#[cfg(feature = "cli")]
pub(crate) use builder::DEFAULT_SEED;
#[cfg(feature = "cli")]
pub(crate) use process_setup::prepare_process;
#[cfg(feature = "cli")]
pub(crate) use recorded_run::{read_durations, read_run};
#[cfg(feature = "cli")]
pub(crate) use signal_watch::is_ignored;
