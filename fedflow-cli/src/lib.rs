//! The library behind the `fedflow` command: parses arguments, reads the flow file and the configuration, wires
//! the ports of the engine, shows progress, and maps errors to exit codes.
//!
//! A program of one's own does not need it: it wires the same ports itself, as
//! `fedflow-cli/examples/federated_averaging.rs` shows.

mod args;
mod command_error;
mod commands;
mod debug;
pub mod diagnostic;
mod environment;
pub mod flow;
mod guard;
mod history;
mod init;
mod mail;
mod memory;
mod overview;
mod plain_table;
mod run_access;
mod session;
pub mod settings;
mod signals;
mod stderr;
mod stdout;
mod telemetry;
mod toml_reader;
pub mod view;
mod workers;

pub use commands::main;
