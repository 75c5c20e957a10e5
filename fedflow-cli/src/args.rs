//! The command line: what can be typed, and the help that teaches it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use fedflow_core::{Device, Dict};

use crate::view::ProgressMode;

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

Exit codes: 0 every task finished; 1 a task did not finish; 2 wrong usage, flow or configuration, nothing was \
started; 3 the run could not go on; 128 + n stopped by signal n."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
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
    /// Show the GPUs, their memory, and who holds them.
    Devices(DevicesArgs),
    /// Render the report of a run again.
    Report(ReportArgs),
    /// Show how a run is going on, from another terminal or after its end.
    Status(StatusArgs),
    /// Print what a task has printed.
    Logs(LogsArgs),
    /// Stop a run that is going on, or cancel one of its tasks.
    Stop(StopArgs),
    /// Try a worker program against the worker protocol, step by step, and say what it does wrong.
    CheckWorker(CheckWorkerArgs),
    /// Write a commented flow file and a fedflow.toml to start from.
    Init(InitArgs),
    /// Print the effective configuration and where each key comes from.
    Config(ConfigArgs),
    /// Federated averaging on the UCI optical digits, built in: 30 rounds of 10 clients.
    Demo(DemoArgs),
    /// Print a completion script for a shell.
    #[command(
        after_help = "For bash: fedflow completions bash > ~/.local/share/bash-completion/completions/fedflow"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Configuration from the command line.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SettingArgs {
    /// Read this configuration file instead of ./fedflow.toml.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Set a configuration key, such as scheduler.max-process=4; `fedflow config` lists them. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// How a run is made and shown.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunOptions {
    /// Where the run keeps its files; instead of the flow's workdir.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workdir: Option<PathBuf>,
    /// The devices: auto, cpu:N (N tasks at once), sim:NxSIZE (simulated cards, such as sim:2x24GB or
    /// sim:1x24GB+1x8GB), or cards such as cuda:0,cuda:2.
    #[arg(long, value_name = "DEVICES", default_value = "auto")]
    pub(crate) devices: String,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "HOW")]
    pub(crate) progress: ProgressMode,
    /// How long running tasks have to end after Ctrl-C before they are killed, such as 10s.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) grace: Option<std::time::Duration>,
}

/// `fedflow run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fedflow run flow.toml                         on all GPUs, or one task a core without any
  fedflow run flow.toml --devices cpu:4         four tasks at once, no GPU
  fedflow run flow.toml --devices sim:2x24GB    as if there were two cards of 24 GB
  fedflow run flow.toml --set scheduler.order=longest-first --workdir /scratch/try-2
  fedflow run flow.toml --progress json | jq    one JSON object a line

Ctrl-C once stops the run in order, twice at once; `fedflow resume` goes on with it.")]
pub(crate) struct RunArgs {
    /// The flow file.
    #[arg(value_name = "FLOW.toml", value_hint = ValueHint::FilePath)]
    pub(crate) flow: PathBuf,
    #[command(flatten)]
    pub(crate) options: RunOptions,
    /// Go on with the run in the workdir; groups that had not started may have changed.
    #[arg(long, conflicts_with = "fresh")]
    pub(crate) resume: bool,
    /// Remove what an earlier run left in the workdir, and begin anew.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// The seed of every random choice that Fedflow makes.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// With scheduler.order = longest-first: learn from this earlier run how long tasks take that declare nothing.
    /// The rounds of this run itself teach it, too, and so does a run that --fresh removes or that is resumed.
    #[arg(long, value_name = "RUN_DIR", value_hint = ValueHint::DirPath, conflicts_with = "resume")]
    pub(crate) durations: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

/// `fedflow resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The run directory.
    #[arg(value_name = "RUN_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) run_dir: PathBuf,
    /// Other devices than those that the run began with; see `fedflow run --help`.
    #[arg(long, value_name = "DEVICES")]
    pub(crate) devices: Option<String>,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "HOW")]
    pub(crate) progress: ProgressMode,
    /// How long running tasks have to end after Ctrl-C before they are killed, such as 10s.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) grace: Option<std::time::Duration>,
}

/// `fedflow check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The flow file.
    #[arg(value_name = "FLOW.toml", value_hint = ValueHint::FilePath)]
    pub(crate) flow: PathBuf,
    /// The devices to check pins and estimates against; see `fedflow run --help`.
    #[arg(long, value_name = "DEVICES", default_value = "auto")]
    pub(crate) devices: String,
    /// List every task, not only the first of each group.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

/// `fedflow plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fedflow plan flow.toml               on this machine's devices, from what the tasks declare
  fedflow plan flow.toml --from res    with the durations, devices and overheads of a run
  fedflow plan flow.toml --from res --devices sim:1x24GB --devices sim:2x24GB
  fedflow plan flow.toml --order added,longest-first
  fedflow plan flow.toml --from res --report plan.html

How long a task takes is looked for in this order: what the run recorded of this very task; what the task declares \
(expected-load, expected-train); what the run recorded of its like (group and id differ in numbers only: client-3 of \
another round, then the other clients); the mean of its group. Failures are not foreseen, but time limits that tasks \
would exceed are. Host memory and busy processors are not simulated: they may delay starts.")]
pub(crate) struct PlanArgs {
    /// The flow file.
    #[arg(value_name = "FLOW.toml", value_hint = ValueHint::FilePath)]
    pub(crate) flow: PathBuf,
    /// Take the durations from this earlier run, where it has them; and its devices and seed, unless others are given.
    #[arg(long, value_name = "RUN_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) from: Option<PathBuf>,
    /// The devices to simulate, such as cpu:4 or sim:2x24GB; see `fedflow run --help`. Repeat it to compare. Without
    /// it those of the earlier run, else those of this machine.
    #[arg(long, value_name = "DEVICES")]
    pub(crate) devices: Vec<String>,
    /// The order in which tasks start, instead of scheduler.order. Several, with commas between, are compared.
    #[arg(long, value_name = "ORDER", value_delimiter = ',', value_parser = ["added", "random", "longest-first"])]
    pub(crate) order: Vec<String>,
    /// Have each task hold its device from its start to its end, as runners do that know no load phase.
    #[arg(long)]
    pub(crate) no_overlap: bool,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub(crate) format: PlanFormat,
    /// Write the report that the run would have, with its chart, to this file.
    #[arg(long, value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,
    /// The seed of the order `random`.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `fedflow devices`.
#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    /// Print JSON; with --watch one object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Show them again and again, with the leases of all users and who waits, until Ctrl-C.
    #[arg(long)]
    pub(crate) watch: bool,
    /// How often to look, such as 2s; each second by default.
    #[arg(long, value_name = "DURATION", requires = "watch", value_parser = parse_interval)]
    pub(crate) interval: Option<std::time::Duration>,
    /// Look so many times, then end.
    #[arg(long, value_name = "N", requires = "watch")]
    pub(crate) count: Option<std::num::NonZero<u64>>,
}

/// A time between two looks, as `telemetry.interval` takes it.
fn parse_interval(text: &str) -> Result<std::time::Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let more = !interval.is_zero();
    more.then_some(interval).ok_or_else(|| "expected more than no time, such as 500ms".into())
}

/// `fedflow report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The run directory.
    #[arg(value_name = "RUN_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) run_dir: PathBuf,
    /// Print the report in this format instead of writing all of the run directory's reports again.
    #[arg(long, value_enum)]
    pub(crate) format: Option<ReportFormat>,
}

/// A format of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One self-contained page.
    Html,
    /// As results.json, with how each device was used.
    Json,
    /// One row a task.
    Csv,
    /// For an issue or a chat.
    Md,
    /// For a CI system.
    Junit,
}

/// `fedflow status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The run directory.
    #[arg(value_name = "RUN_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) run_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `fedflow logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fedflow logs res train-1/client-3             both logs, as far as they are written
  fedflow logs res train-1/client-3 -f          go on until the task has its outcome
  fedflow logs res train-1/client-3 --stderr --attempt 1 | less

A log that outgrew supervision.log-limit lacks its middle and says how much that was.")]
pub(crate) struct LogsArgs {
    /// The run directory.
    #[arg(value_name = "RUN_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) run_dir: PathBuf,
    /// The task.
    #[arg(value_name = "GROUP/TASK")]
    pub(crate) task: String,
    /// Go on with what the task prints, in this and further attempts, until it has its outcome.
    #[arg(short, long, conflicts_with = "attempt")]
    pub(crate) follow: bool,
    /// Only what it wrote to stdout, without a header.
    #[arg(long)]
    pub(crate) stdout: bool,
    /// Only what it wrote to stderr, without a header.
    #[arg(long)]
    pub(crate) stderr: bool,
    /// The logs of this attempt instead of the last one's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempt: Option<u32>,
}

/// `fedflow stop`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fedflow stop res                     like Ctrl-C once; waits until the run has ended
  fedflow stop res --now               like Ctrl-C twice
  fedflow stop res train-1/client-3    the task becomes cancelled, and the flow goes on

Only tasks of the group that runs can be stopped. Exit code 2: there was nothing to stop.")]
pub(crate) struct StopArgs {
    /// The run directory.
    #[arg(value_name = "RUN_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) run_dir: PathBuf,
    /// The task; without one, the run.
    #[arg(value_name = "GROUP/TASK")]
    pub(crate) task: Option<String>,
    /// Kill running tasks at once instead of giving them the run's grace.
    #[arg(long, conflicts_with = "task")]
    pub(crate) now: bool,
}

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
    /// How the worker talks: json, ipc (as every worker in Rust), or auto to find out.
    #[arg(long, value_enum, default_value_t = CheckedProtocol::Auto, value_name = "PROTOCOL")]
    pub(crate) protocol: CheckedProtocol,
    /// The kind of a task that it is to load and train; without one, only what needs no task is tried.
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
    pub(crate) timeout: std::time::Duration,
    /// The worker program and its arguments.
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, allow_hyphen_values = true,
        value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<String>,
}

/// How a worker that is checked talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckedProtocol {
    /// Find out: a Rust worker lists its task kinds when it is asked.
    Auto,
    /// One JSON object a line.
    Json,
    /// ipc-channel.
    Ipc,
}

/// `fedflow init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where to write.
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) directory: PathBuf,
}

/// `fedflow config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// A flow file whose [config] counts, too.
    #[arg(long, value_name = "FLOW.toml", value_hint = ValueHint::FilePath)]
    pub(crate) flow: Option<PathBuf>,
    /// Send one mail as smtp.* says, instead of printing, and say what goes wrong.
    #[arg(long)]
    pub(crate) test_mail: bool,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

/// `fedflow demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) options: RunOptions,
    /// How many rounds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// How many clients share the training data.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) clients: u32,
    /// The seed of the split, of the model and of every random choice that Fedflow makes.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

/// Parameters as they are typed.
fn parse_params(text: &str) -> Result<Dict, serde_json::Error> {
    serde_json::from_str(text)
}
