//! The layers of the configuration, and `Settings`: the effective values with the source of each.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fedflow_core::{Config, ConfigError, KEYS, Key, Value};

use super::config_entry::{ConfigEntry, read_entries};
use super::home_path::typed_path;
use crate::diagnostic::{Diagnostic, Diagnostics, SourceFile, did_you_mean};
use crate::toml_reader::TomlReader;

/// What the names of configuration variables begin with.
pub(crate) const CONFIG_PREFIX: &str = "FEDFLOW_CONFIG_";

/// The configuration file in the current directory.
pub const CONFIG_FILE: &str = "fedflow.toml";

/// The sources of a configuration, in ascending order of precedence.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// The current directory. Its `fedflow.toml` is read if there is one.
    pub directory: &'a Path,
    /// The file that `--config` names, which is read instead of `fedflow.toml`.
    pub config_file: Option<&'a Path>,
    /// A flow file and the keys that its `[config]` sets.
    pub flow: Option<(&'a Arc<SourceFile>, &'a [ConfigEntry])>,
    /// Environment variables that begin with `FEDFLOW_CONFIG_`.
    pub variables: &'a [(String, String)],
    /// The arguments of `--set`: `KEY=VALUE`.
    pub set: &'a [String],
}

/// The effective configuration of a run.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    config: Config,
    file: Option<PathBuf>,
    pub(super) sources: BTreeMap<&'static str, Source>,
}

/// The source of a key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// No source sets the key.
    Default,
    /// `fedflow.toml`, or the file that `--config` names.
    File {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// The flow file.
    Flow {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// `--set`.
    CommandLine,
}

impl Settings {
    /// Reads all layers. Touches one file at most.
    ///
    /// # Errors
    /// All errors of all layers: a file that cannot be read, an unknown key, a value that does not fit, a secret where
    /// none is accepted.
    pub fn load(layers: &Layers<'_>) -> Result<Self, Diagnostics> {
        let mut settings = Self::default();
        let mut found = Diagnostics::new();
        match read_config_file(layers) {
            Ok(Some((path, file))) => {
                found.extend(settings.take_file(&file));
                settings.file = Some(path);
            }
            Ok(None) => {}
            Err(error) => found.push(error),
        }
        if let Some((file, entries)) = layers.flow {
            for entry in entries {
                let source =
                    Source::Flow { file: file.name().into(), line: file.position(entry.key_span.start).line };
                found.extend(settings.take_entry(file, entry, source));
            }
        }
        for (name, value) in layers.variables {
            settings.take_variable(name, value).unwrap_or_else(|error| found.push(error));
        }
        for assignment in layers.set {
            settings.take_assignment(assignment).unwrap_or_else(|error| found.push(error));
        }
        found.or(settings)
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration file that was read, as an absolute path; `None` if there was none.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.file.as_ref().and_then(|file| std::path::absolute(file).ok())
    }

    /// The source of a key's value; `None` if there is no such key.
    #[must_use]
    pub fn source(&self, key: &str) -> Option<&Source> {
        let key = Key::find(key)?;
        Some(self.sources.get(key.name).unwrap_or(&Source::Default))
    }

    /// The run directory. A path in the flow file is relative to the flow file, any other to the current directory; `~` is
    /// the home directory.
    #[must_use]
    pub fn workdir(&self, flow_directory: &Path, current_directory: &Path) -> PathBuf {
        let workdir = typed_path(Path::new(&self.config.workdir));
        match self.sources.get("workdir") {
            Some(Source::Flow { .. }) => flow_directory.join(workdir),
            _ => current_directory.join(workdir),
        }
    }

    pub(super) fn take_file(&mut self, file: &Arc<SourceFile>) -> Diagnostics {
        let mut reader = TomlReader::new(file);
        let Some(table) = reader.parse(file.text()) else { return reader.found };
        let entries = read_entries(table.get_ref(), &mut reader);
        let mut found = reader.found;
        for entry in &entries {
            let source =
                Source::File { file: file.name().into(), line: file.position(entry.key_span.start).line };
            found.extend(self.take_entry(file, entry, source));
        }
        found
    }

    fn take_entry(&mut self, file: &Arc<SourceFile>, entry: &ConfigEntry, source: Source) -> Diagnostics {
        let span = match Key::find(&entry.key) {
            Some(key) if !refuses(key, &source) => entry.span,
            _ => entry.key_span,
        };
        match self.take(&entry.key, &entry.value, source) {
            Ok(()) => Diagnostics::new(),
            Err(refusal) => Diagnostic::at(file, span, refusal.message).maybe_hint(refusal.hint).into(),
        }
    }

    pub(super) fn take_variable(&mut self, name: &str, value: &str) -> Result<(), Diagnostic> {
        let place = || format!("environment variable {name}");
        let Some(key) = KEYS.iter().find(|key| variable_name(key) == name) else {
            let names: Vec<String> = KEYS.iter().map(variable_name).collect();
            let message = format!("no configuration key belongs to the variable {name}");
            let hint = did_you_mean(name, names.iter().map(String::as_str));
            return Err(Diagnostic::in_named(place(), message)
                .maybe_hint(hint.or_else(|| Some("`fedflow config` lists all keys".into()))));
        };
        self.take(key.name, &value.into(), Source::Variable(name.into()))
            .map_err(|refusal| Diagnostic::in_named(place(), refusal.message).maybe_hint(refusal.hint))
    }

    pub(super) fn take_assignment(&mut self, assignment: &str) -> Result<(), Diagnostic> {
        let Some((key, value)) = assignment.split_once('=') else {
            let message = format!("{assignment:?} sets nothing");
            return Err(Diagnostic::in_named(format!("--set {assignment}"), message)
                .hint("write KEY=VALUE, such as --set scheduler.max-process=4"));
        };
        let key = key.trim();
        // The value of a secret is not repeated.
        let secret = Key::find(key).is_some_and(|key| key.secret);
        let place = if secret { format!("--set {key}") } else { format!("--set {assignment}") };
        self.take(key, &value.trim().into(), Source::CommandLine)
            .map_err(|refusal| Diagnostic::in_named(place, refusal.message).maybe_hint(refusal.hint))
    }

    fn take(&mut self, name: &str, value: &Value, source: Source) -> Result<(), Refusal> {
        let Some(key) = Key::find(name) else {
            let hint = did_you_mean(name, KEYS.iter().map(|key| key.name))
                .or_else(|| nearest_by_last_part(name))
                .unwrap_or_else(|| "`fedflow config` lists all keys".into());
            return Err(Refusal { message: unknown_key(name), hint: Some(hint) });
        };
        if refuses(key, &source) {
            let hint = format!("put it in {CONFIG_FILE}, or in the variable {}", variable_name(key));
            let place = if source == Source::CommandLine { "the command line" } else { "a flow file" };
            return Err(Refusal {
                message: format!("{} is not taken from {place}: others could read it there", key.name),
                hint: Some(hint),
            });
        }
        self.config
            .set(key.name, value)
            .map_err(|error| Refusal { message: error.to_string(), hint: None })?;
        self.sources.insert(key.name, source);
        Ok(())
    }
}

/// Why a value is not accepted.
struct Refusal {
    message: String,
    hint: Option<String>,
}

fn unknown_key(name: &str) -> String {
    ConfigError::UnknownKey(name.into()).to_string()
}

fn refuses(key: &Key, source: &Source) -> bool {
    key.secret && matches!(source, Source::Flow { .. } | Source::CommandLine)
}

/// The variable that sets a key: `FEDFLOW_CONFIG_SCHEDULER_MAX_PROCESS` sets `scheduler.max-process`.
#[must_use]
pub(crate) fn variable_name(key: &Key) -> String {
    format!("{CONFIG_PREFIX}{}", key.name.to_uppercase().replace(['.', '-'], "_"))
}

/// The hint for a key without its section, or in a wrong one: `max-process` means `scheduler.max-process`.
fn nearest_by_last_part(name: &str) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().replace('_', "-").to_lowercase();
    let same: Vec<String> =
        KEYS.iter().filter(|key| last(key.name) == last(name)).map(|key| format!("{:?}", key.name)).collect();
    (!same.is_empty()).then(|| format!("did you mean {}?", same.join(" or ")))
}

/// The configuration file, with its path; `None` if there is none.
fn read_config_file(layers: &Layers<'_>) -> Result<Option<(PathBuf, Arc<SourceFile>)>, Diagnostic> {
    let (path, shown) = match layers.config_file {
        Some(path) => (layers.directory.join(path), path),
        None => (layers.directory.join(CONFIG_FILE), Path::new(CONFIG_FILE)),
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let file = SourceFile::new(shown, text);
            Ok(Some((path, file)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && layers.config_file.is_none() => Ok(None),
        Err(error) => Err(Diagnostic::new(format!("cannot read {}: {error}", shown.display()))),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } | Self::Flow { file, line } => write!(f, "{file}:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::CommandLine => f.write_str("--set"),
        }
    }
}
