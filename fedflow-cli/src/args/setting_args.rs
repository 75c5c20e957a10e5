//! Arguments that set the configuration, which several commands take.

use std::path::PathBuf;

use clap::{Args, ValueHint};

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
