//! What makes a process a supervisor: its guard, its signals, its settings, and what it asks of the system.

mod guard;
mod process_environment;
mod process_setup;
mod signal_watch;

pub use guard::{Guard, GuardError, SupervisorEnd};

pub(super) use guard::GuardWatch;
pub(super) use process_environment::{estimates_directory, session_variables};
pub(super) use signal_watch::SignalWatch;

#[cfg(feature = "cli")]
pub(crate) use process_environment::{
    home_directory, log_variable, python_path, search_path, variables_with_prefix,
};
#[cfg(feature = "cli")]
pub(crate) use process_setup::prepare_process;
#[cfg(feature = "cli")]
pub(crate) use signal_watch::is_ignored;
