//! The library behind the `fedflow` command: parses arguments, reads the flow file and the configuration, wires
//! the ports of the engine, shows progress, and maps errors to exit codes.
//!
//! A program of one's own does not need it: it wires the same ports itself, as
//! `fedflow-cli/examples/federated_averaging.rs` shows.

mod args;
mod environment;
mod diagnostic;
mod table;
mod flow;
mod settings;
mod init;
mod view;
mod command_error;
mod stdout;
mod table_text;
mod signals;
mod session;
mod history;
mod workers;
mod commands;

pub use commands::main;
