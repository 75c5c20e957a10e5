//! Arguments of `check-worker`.

use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};
use fedflow_core::{Device, Dict};

/// `fedflow check-worker`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fedflow check-worker ./worker.py
  fedflow check-worker --kind regression --params '{\"epochs\": 3}' ./worker.py
  fedflow check-worker --kind train --params \"$(cat params.json)\" target/release/my-worker

Options stand before the program: what follows it are its arguments. As in a run, a program with a separator is \
relative to the current directory, and the worker's own current directory is that of its task.

Exit codes: 0 it does all that was tried; 1 it does not; 2 wrong usage.")]
pub(crate) struct CheckWorkerArgs {
    /// The worker's protocol: json, ipc (every worker in Rust), or auto to find out.
    #[arg(long, value_enum, default_value_t = CheckedProtocol::Auto, value_name = "PROTOCOL")]
    pub(crate) protocol: CheckedProtocol,
    /// The kind of a task for it to load and train; without one, only steps that need no task are tried.
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// The task's parameters, a JSON object.
    #[arg(long, value_name = "JSON", requires = "kind", value_parser = parse_params)]
    pub(crate) params: Option<Dict>,
    /// The task's parameters for train, a JSON object.
    #[arg(long, value_name = "JSON", requires = "kind", value_parser = parse_params)]
    pub(crate) train_params: Option<Dict>,
    /// The device that it is told to train on, such as cuda:0. Nothing is leased.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: Device,
    /// How long each answer may take.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// The worker program and its arguments.
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, allow_hyphen_values = true,
        value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<String>,
}

/// The protocol of a worker that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckedProtocol {
    /// Find out: a Rust worker lists its task kinds when it is asked.
    Auto,
    /// One JSON object a line.
    Json,
    /// Messages over ipc-channel, as every Rust worker sends them.
    Ipc,
}

/// Parameters as they are typed.
fn parse_params(text: &str) -> Result<Dict, serde_json::Error> {
    serde_json::from_str(text)
}
