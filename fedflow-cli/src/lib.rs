//! The library behind the `fedflow` command: parses arguments, reads the flow file and the configuration, wires
//! the ports of the engine, shows progress, and maps errors to exit codes.
//!
//! A program of one's own does not need it: it wires the same ports itself, as
//! `fedflow-cli/examples/federated_averaging.rs` shows.

mod debug;
mod run;

pub use run::{
    Devices, DevicesError, FinishError, Guard, GuardError, MissingCall, Notice, OpenError, Opening, Run,
    RunBuilder, RunEnd, RunHandle, SupervisorEnd, SystemTooOld, Unobserved, check_system,
};

#[cfg(feature = "cli")]
mod args;
#[cfg(feature = "cli")]
mod commands;
#[cfg(feature = "cli")]
pub mod diagnostic;
#[cfg(feature = "cli")]
pub mod flow;
#[cfg(feature = "cli")]
mod mail;
#[cfg(feature = "cli")]
mod overview;
#[cfg(feature = "cli")]
pub mod settings;
#[cfg(feature = "cli")]
mod toml_reader;
#[cfg(feature = "cli")]
pub mod view;

#[cfg(feature = "cli")]
pub use commands::main;
