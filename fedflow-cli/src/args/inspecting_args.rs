//! Arguments of the commands that look at a run: `status`, `logs`, `stop`, `report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

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
    /// The task; without one, it is said what to type.
    #[arg(value_name = "GROUP/TASK")]
    pub(crate) task: Option<String>,
    /// Keep printing, in this and further attempts, until the task has its outcome.
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
    #[value(alias = "markdown")]
    Md,
    /// For a CI system.
    Junit,
}
