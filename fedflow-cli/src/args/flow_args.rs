//! Arguments of the commands for a flow file and its configuration: `check`, `plan`, `init`, `config`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum, ValueHint};
use fedflow_core::StartOrder;

use super::setting_args::{SettingArgs, VarArgs, parse_seed};

/// `fedflow check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The flow file.
    #[arg(value_name = "FLOW.toml", value_hint = ValueHint::FilePath)]
    pub(crate) flow: PathBuf,
    /// The devices to check pins and estimates against; see `fedflow run --help`.
    #[arg(long, value_name = "DEVICES", default_value = "auto")]
    pub(crate) devices: String,
    /// List every task, with its command as it will be run, not only the first of each group.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) vars: VarArgs,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

/// With `--order`: every order.
pub(crate) const ALL_ORDERS: &str = "all";

/// What `--order` takes.
fn orders() -> PossibleValuesParser {
    StartOrder::ALL.iter().map(|order| order.as_str()).chain([ALL_ORDERS]).into()
}

/// `fedflow plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fedflow plan flow.toml               on this machine's devices, from what the tasks declare
  fedflow plan flow.toml --from res    with the durations, devices and overheads of a run
  fedflow plan flow.toml --from res --devices sim:1x24GB --devices sim:2x24GB
  fedflow plan flow.toml --order all   every order, and what one more card would bring
  fedflow plan flow.toml --from res --report plan.html

How long a task takes is looked for in this order: what the run recorded of this very task; what the task declares \
(expected-load, expected-train); what the run recorded of its like (group and id differ in numbers only: client-3 of \
another round, then the other clients); the mean of its group. Failures are not foreseen, but time limits that tasks \
would exceed are. Host memory and busy processors are not simulated: they may delay starts.")]
pub(crate) struct PlanArgs {
    /// The flow file.
    #[arg(value_name = "FLOW.toml", value_hint = ValueHint::FilePath)]
    pub(crate) flow: PathBuf,
    /// Take the durations from this earlier run, where it has them, and its devices and seed unless others are given.
    #[arg(long, value_name = "RUN_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) from: Option<PathBuf>,
    /// The devices to simulate, such as cpu:4 or sim:2x24GB; see `fedflow run --help`. Repeat it to compare. Without
    /// it those of the earlier run, else those of this machine.
    #[arg(long, value_name = "DEVICES")]
    pub(crate) devices: Vec<String>,
    /// The order in which tasks start, instead of scheduler.order. Several, with commas between, are compared, and
    /// `all` of them; then it also says what one more card of each size would bring.
    #[arg(long, value_name = "ORDER", value_delimiter = ',', value_parser = orders())]
    pub(crate) order: Vec<String>,
    /// Have each task hold its device from its start to its end, as runners without a load phase do.
    #[arg(long)]
    pub(crate) no_overlap: bool,
    /// Have the run not know beforehand how long tasks take, as a first run of tasks that do not declare it.
    #[arg(long)]
    pub(crate) unforeseen: bool,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub(crate) format: PlanFormat,
    /// Write the report that the run would have, with its chart, to this file.
    #[arg(long, value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,
    /// The seed of the order `random` and of samples.
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) vars: VarArgs,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

impl PlanArgs {
    /// Whether every order is compared.
    pub(crate) fn compares_all(&self) -> bool {
        self.order.iter().any(|order| order == ALL_ORDERS)
    }
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
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
    /// A flow file whose [config] also counts.
    #[arg(long, value_name = "FLOW.toml", value_hint = ValueHint::FilePath)]
    pub(crate) flow: Option<PathBuf>,
    /// Send one mail as smtp.* says, instead of printing, and say what goes wrong.
    #[arg(long)]
    pub(crate) test_mail: bool,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}
