//! `Head`: the journal's first line, with what a later session needs besides the records.

use std::io;

use fedflow_core::{Config, Dict, KEYS, Value};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use super::line;

/// The version of the format in which this library begins a journal, and the newest that it reads. A journal keeps the
/// version that it was begun with.
pub const FORMAT_VERSION: u64 = 2;

/// What the first line of a journal says of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The flow's name.
    pub flow: String,
    /// What the flow's relative paths are relative to, an absolute path.
    pub base_dir: String,
    /// The flow file that was run, an absolute path; `None` for a flow that a program builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_file: Option<String>,
    /// [`flow_checksum`] of the flow file's text as it was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_crc: Option<u32>,
    /// The effective configuration without secrets, from [`recorded_config`].
    pub config: Dict,
    /// The devices that the run may use, as they were asked for: `auto`, `cpu:4`, `cuda:0,cuda:2`.
    pub devices: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// When the run directory was begun, in Unix seconds.
    pub created: f64,
    /// What every process of the run carries in its environment under
    /// [`RUN_TOKEN_VARIABLE`](crate::store::RUN_TOKEN_VARIABLE), from [`new_run_token`].
    pub run_token: String,
}

impl Head {
    /// The head as a line of the journal, with its checksum.
    pub(in crate::store) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = format!("{{\"fedflow\":{FORMAT_VERSION},").into_bytes();
        let members = serde_json::to_vec(self)?;
        text.extend_from_slice(members.get(1..members.len() - 1).unwrap_or_default());
        line::seal(&mut text, 0);
        Ok(text)
    }
}

/// The checksum of a flow file's text, by which a later session sees that the file has changed.
#[must_use]
pub fn flow_checksum(text: &str) -> u32 {
    crc32fast::hash(text.as_bytes())
}

/// The configuration as the head keeps it: every key that has a value, without secrets. [`Config::set`] takes each value
/// again.
#[must_use]
pub fn recorded_config(config: &Config) -> Dict {
    let keys = KEYS.iter().filter(|key| !key.secret);
    keys.filter_map(|key| Some((key.name, config.get(key.name)?)))
        .filter(|(_, value)| *value != Value::Null)
        .collect()
}

/// A new random token for a run, 32 hexadecimal digits.
///
/// # Errors
/// The system gives no random numbers.
pub fn new_run_token() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if filled < bytes.len() {
        return Err(io::Error::other("the system gave too few random bytes"));
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::example_run as sample;

    #[test]
    fn the_configuration_comes_back_without_its_secret() {
        let mut config = Config::default();
        config.set("scheduler.max-process", &7_i64.into()).unwrap();
        config.set("smtp.password", &"hunter2".into()).unwrap();
        let recorded = recorded_config(&config);
        assert!(recorded.get("smtp.password").is_none());
        assert!(!format!("{recorded:?}").contains("hunter2"));
        let mut again = Config::default();
        for (key, value) in recorded.iter() {
            again.set(key, value).unwrap();
        }
        config.set("smtp.password", &"".into()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn the_head_is_one_sealed_line() {
        let text = sample::head().encode().unwrap();
        assert!(text.starts_with(b"{\"fedflow\":2,\"flow\":\"sample\""));
        assert!(text.ends_with(b"\"}\n"));
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
        let whole: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(whole["run_token"], "token");
    }

    #[test]
    fn tokens_differ() {
        let (one, other) = (new_run_token().unwrap(), new_run_token().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
