//! Arguments of `fedflow results`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// `fedflow results`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fedflow results res                                   a row for each task: parameters and result
  fedflow results res --over seed --sort -accuracy      mean and deviation over the seeds, best first
  fedflow results res --by lr --value accuracy          over all that is not lr
  fedflow results old new --group 'eval-*' --format csv
  fedflow results res --items --value loss --format csv the series of an item, for pandas, R or DuckDB

Over several runs or groups, tasks count as replicates unless they have the same seed. Failures count in `failed`; \
what is no number is left out of a mean.")]
pub(crate) struct ResultsArgs {
    /// The run directories.
    #[arg(value_name = "RUN_DIR", value_hint = ValueHint::DirPath, required = true)]
    pub(crate) run_dirs: Vec<PathBuf>,
    /// Only groups whose names match; `*` is any text and `?` any character.
    #[arg(long, value_name = "GLOB")]
    pub(crate) group: Option<String>,
    /// Only these values of results; with --items, these items. A name such as `loss` means `loss.0`, `loss.1` … too.
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    pub(crate) value: Vec<String>,
    /// Sort by a column, the smallest first; with `-` before the name, the largest first. What is missing comes last.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
    /// Mean and deviation over a parameter; without a name over seed, fold, repeat and trial.
    #[arg(long, value_name = "NAME", num_args = 0..=1, value_delimiter = ',')]
    pub(crate) over: Option<Vec<String>>,
    /// Mean and deviation by these parameters, over the others.
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    pub(crate) by: Vec<String>,
    /// How the table is written.
    #[arg(long, value_enum, default_value_t = ResultsFormat::Table)]
    pub(crate) format: ResultsFormat,
    /// A row for each value that an item had in the last attempt of a task.
    #[arg(long, conflicts_with_all = ["over", "by", "sort"])]
    pub(crate) items: bool,
}

/// A format of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ResultsFormat {
    /// For people: rounded, and on a terminal as wide as that.
    Table,
    /// All digits, for spreadsheets and data frames.
    Csv,
    /// All digits, as objects.
    Json,
    /// For an issue or a chat: as the table, in Markdown.
    #[value(alias = "markdown")]
    Md,
}
