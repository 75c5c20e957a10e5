//! Arguments of the commands that execute a flow: `run`, `resume`, `demo`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::setting_args::{SettingArgs, VarArgs, parse_seed};
use crate::view::ProgressMode;

/// Where a run works, on what, and how it is shown.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunOptions {
    /// Where the run keeps its files; instead of the flow's workdir.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workdir: Option<PathBuf>,
    /// The devices: auto, cpu:N (N tasks at once), sim:NxSIZE (simulated cards, such as sim:2x24GB or
    /// sim:1x24GB+1x8GB), or cards such as cuda:0,cuda:2. With cards, cpu:N says how many tasks with device = "cpu" run
    /// beside them: cuda,cpu:4. Without it auto; a run that goes on keeps those of its last session.
    #[arg(long, value_name = "DEVICES")]
    pub(crate) devices: Option<String>,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "HOW")]
    pub(crate) progress: ProgressMode,
    /// How long running tasks have to end after Ctrl-C before they are killed, such as 10s.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) grace: Option<Duration>,
}

/// `fedflow run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fedflow run flow.toml                         on all GPUs, or one task a core without any
  fedflow run flow.toml --devices cpu:4         four tasks at once, no GPU
  fedflow run flow.toml --devices sim:2x24GB    as if there were two cards of 24 GB
  fedflow run flow.toml --set scheduler.order=longest-first --workdir /scratch/try-2
  fedflow run flow.toml --var lr=0.1            with another value of a variable in [vars]
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
    /// The seed of every random choice that Fedflow makes. Without it 0; a run that goes on keeps that of its last session.
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    pub(crate) seed: Option<u64>,
    /// With scheduler.order = longest-first, packed or auto: take from this earlier run how long tasks without a declared time take.
    /// Fedflow also learns it from the rounds of this run, and from the run that --fresh removes or that is resumed.
    #[arg(long, value_name = "RUN_DIR", value_hint = ValueHint::DirPath, conflicts_with = "resume")]
    pub(crate) durations: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) vars: VarArgs,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

/// `fedflow resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The run directory.
    #[arg(value_name = "RUN_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) run_dir: PathBuf,
    /// Run again what failed or was cancelled, and then what used its result or directory.
    #[arg(long)]
    pub(crate) failed: bool,
    /// Of what failed, only these tasks.
    #[arg(value_name = "GROUP/TASK", requires = "failed")]
    pub(crate) tasks: Vec<String>,
    /// Only show which tasks --failed would run again, and why.
    #[arg(long, requires = "failed")]
    pub(crate) list: bool,
    /// The devices, if not those of the last session; see `fedflow run --help`.
    #[arg(long, value_name = "DEVICES")]
    pub(crate) devices: Option<String>,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "HOW")]
    pub(crate) progress: ProgressMode,
    /// How long running tasks have to end after Ctrl-C before they are killed, such as 10s.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) grace: Option<Duration>,
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
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}
