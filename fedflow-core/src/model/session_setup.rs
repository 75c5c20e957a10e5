//! `SessionSetup`: what a session of a run was started with, for the next one to go on with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::value::Dict;

/// What a session of a run was started with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionSetup {
    /// The devices that it might use, as they were asked for: `auto`, `cpu:4`, `cuda:0,cuda:2`.
    pub devices: String,
    /// Its effective configuration, without secrets.
    pub config: Dict,
    /// The file that its configuration was read from, an absolute path: passwords are not recorded, and are looked for there
    /// again. `None` if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_file: Option<String>,
    /// The variables of its environment on which depends what programs its tasks found and what these saw; those that were
    /// set. `None` if they were not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<BTreeMap<String, String>>,
    /// The variables of its flow that were given another value than in the flow file.
    #[serde(default, skip_serializing_if = "Dict::is_empty")]
    pub vars: Dict,
}
