//! The command line: what can be typed, and the help that teaches it.

mod check_worker_args;
mod devices_args;
mod executing_args;
mod flow_args;
mod inspecting_args;
mod results_args;
mod setting_args;

use clap::{Parser, Subcommand};

pub(crate) use check_worker_args::{CheckWorkerArgs, CheckedProtocol};
pub(crate) use devices_args::DevicesArgs;
pub(crate) use executing_args::{DemoArgs, ResumeArgs, RunArgs};
pub(crate) use flow_args::{ALL_ORDERS, CheckArgs, ConfigArgs, InitArgs, PlanArgs, PlanFormat};
pub(crate) use inspecting_args::{LogsArgs, ReportArgs, ReportFormat, StatusArgs, StopArgs};
pub(crate) use results_args::{ResultsArgs, ResultsFormat};
pub(crate) use setting_args::SettingArgs;

/// Runs many model-training tasks on one machine: each in its own process, the GPU leased only while it trains.
#[derive(Debug, Parser)]
#[command(
    name = "fedflow",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "\
Begin here:
  fedflow demo                 federated averaging on real data, with a report at the end
  fedflow init                 write a commented flow file to start from
  fedflow run flow.toml        run a flow

Exit codes: 0 every task finished or was skipped; 1 another task did not finish; 2 wrong usage, flow or configuration, nothing was \
started; 3 the run could not go on; 128 + n stopped by signal n."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a flow.
    Run(RunArgs),
    /// Go on with a run where it stopped; what has finished is not run again.
    Resume(ResumeArgs),
    /// Validate a flow file without running it, and show its groups and tasks.
    Check(CheckArgs),
    /// Simulate a flow in virtual time: how long it would take, and how long devices would idle.
    Plan(PlanArgs),
    /// Show the GPUs, their memory, and the leases on them.
    Devices(DevicesArgs),
    /// Render the report of a run again.
    Report(ReportArgs),
    /// Print the results of runs as a table with parameters: a row for each task, or means over seeds.
    Results(ResultsArgs),
    /// Show the state of a run, from another terminal or after its end.
    Status(StatusArgs),
    /// Print what a task has printed.
    Logs(LogsArgs),
    /// Stop a running run, or cancel one of its tasks.
    Stop(StopArgs),
    /// Try a worker program against the worker protocol, step by step, and say what it does wrong.
    CheckWorker(CheckWorkerArgs),
    /// Write a commented flow file and a fedflow.toml to start from.
    Init(InitArgs),
    /// Print the effective configuration and where each key comes from.
    Config(ConfigArgs),
    /// Federated averaging on the UCI optical digits, built in: 30 rounds of 10 clients.
    Demo(DemoArgs),
    /// Print the JSON Schema of a flow file, with which editors complete and check it.
    #[command(after_help = "\
For Taplo (VS Code: Even Better TOML): fedflow schema > flow.schema.json, and as the first line of a flow:
#:schema ./flow.schema.json")]
    Schema,
    /// Print a completion script for a shell.
    #[command(
        after_help = "For bash: fedflow completions bash > ~/.local/share/bash-completion/completions/fedflow"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}
