//! The library behind the `fedflow` command: parses arguments, reads the flow file and the configuration, wires
//! the ports of the engine, shows progress, and maps errors to exit codes.
//!
//! A program of one's own does not need it: it wires the same ports itself, as
//! `fedflow-cli/examples/federated_averaging.rs` shows.

mod debug;
mod notice;
mod process_environment;
mod run;
mod short_path;

pub use notice::Notice;
pub use run::{
    Devices, DevicesError, FinishError, Guard, GuardError, MissingCall, OpenError, Opening, Run, RunBuilder,
    RunEnd, RunHandle, SupervisorEnd, SystemTooOld, Unobserved, check_system,
};

#[cfg(feature = "cli")]
mod args;
#[cfg(feature = "cli")]
mod command_error;
#[cfg(feature = "cli")]
mod commands;
#[cfg(feature = "cli")]
pub mod diagnostic;
#[cfg(feature = "cli")]
pub mod flow;
#[cfg(feature = "cli")]
mod init;
#[cfg(feature = "cli")]
mod mail;
#[cfg(feature = "cli")]
mod overview;
#[cfg(feature = "cli")]
mod plain_table;
#[cfg(feature = "cli")]
mod run_access;
#[cfg(feature = "cli")]
pub mod settings;
#[cfg(feature = "cli")]
mod stderr;
#[cfg(feature = "cli")]
mod stdout;
#[cfg(feature = "cli")]
mod toml_reader;
#[cfg(feature = "cli")]
pub mod view;

#[cfg(feature = "cli")]
pub use commands::main;
