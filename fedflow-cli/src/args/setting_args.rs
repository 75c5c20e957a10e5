//! Arguments that set the configuration, which several commands take.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use fedflow_core::{Dict, Value};

use crate::flow::parse_var;

/// A seed as it is typed.
pub(super) fn parse_seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a whole number from 0 to {}, such as 42", u64::MAX))
}

/// Variables of the flow from the command line.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct VarArgs {
    /// Give a variable of the flow's [vars] this value: one of TOML, such as lr=0.1 or seeds=[1,2], else it is text.
    /// Repeatable.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = parse_var)]
    vars: Vec<(String, Value)>,
}

impl VarArgs {
    /// The variables by name; the last value of each counts.
    pub(crate) fn given(&self) -> Dict {
        self.vars.iter().cloned().collect()
    }
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
