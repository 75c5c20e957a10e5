//! The keys that stand on a group, a task, or a worker alike: device, memory, time limits, signs of out of memory.

use std::time::Duration;

use fedflow_core::{ExtraOomSigns, Limits, Pin, Setting as _, Size, Value};

use super::super::keys::{
    DEVICE, ESTIMATE_CUDA_MEMORY, ESTIMATE_MEMORY, EXIT_TIMEOUT, LOAD_TIMEOUT, OOM_EXIT_CODE, OOM_PATTERN,
    RETRIES, START_TIMEOUT, TIMEOUT, TRAIN_TIMEOUT,
};
use super::super::templates::Scope;
use super::super::values::{FlowReader, Mistake, Property, is_fixed, value_of};
use crate::toml_reader::TomlTable;

/// The keys that stand on a group or on a task.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedKeys {
    pub(crate) device: Option<Property<Pin>>,
    pub(crate) estimate_memory: Option<Property<Size>>,
    pub(crate) estimate_cuda_memory: Option<Property<Size>>,
    pub(crate) limits: LimitKeys,
    pub(crate) oom_signs: ExtraOomSigns,
}

/// The keys for time limits and retries, which stand on a worker too.
#[derive(Debug, Clone, Default)]
pub(crate) struct LimitKeys {
    start_timeout: Option<Property<Duration>>,
    load_timeout: Option<Property<Duration>>,
    train_timeout: Option<Property<Duration>>,
    timeout: Option<Property<Duration>>,
    exit_timeout: Option<Property<Duration>>,
    retries: Option<Property<u32>>,
}

impl SharedKeys {
    pub(super) fn read(reader: &mut FlowReader, table: &mut TomlTable<'_>) -> Self {
        Self {
            device: DEVICE.read(reader, table),
            estimate_memory: ESTIMATE_MEMORY.read(reader, table),
            estimate_cuda_memory: ESTIMATE_CUDA_MEMORY.read(reader, table),
            limits: LimitKeys::read(reader, table),
            oom_signs: read_oom_signs(reader, table),
        }
    }

    pub(super) fn is_fixed(&self) -> bool {
        is_fixed(&self.device)
            && is_fixed(&self.estimate_memory)
            && is_fixed(&self.estimate_cuda_memory)
            && self.limits.is_fixed()
    }
}

impl LimitKeys {
    pub(super) fn read(reader: &mut FlowReader, table: &mut TomlTable<'_>) -> Self {
        Self {
            start_timeout: START_TIMEOUT.read(reader, table),
            load_timeout: LOAD_TIMEOUT.read(reader, table),
            train_timeout: TRAIN_TIMEOUT.read(reader, table),
            timeout: TIMEOUT.read(reader, table),
            exit_timeout: EXIT_TIMEOUT.read(reader, table),
            retries: RETRIES.read(reader, table),
        }
    }

    pub(crate) fn get(&self, scope: &Scope) -> Result<Limits, Mistake> {
        Ok(Limits {
            start_timeout: value_of(self.start_timeout.as_ref(), scope)?,
            load_timeout: value_of(self.load_timeout.as_ref(), scope)?,
            train_timeout: value_of(self.train_timeout.as_ref(), scope)?,
            timeout: value_of(self.timeout.as_ref(), scope)?,
            exit_timeout: value_of(self.exit_timeout.as_ref(), scope)?,
            retries: value_of(self.retries.as_ref(), scope)?,
        })
    }

    fn is_fixed(&self) -> bool {
        let times =
            [&self.start_timeout, &self.load_timeout, &self.train_timeout, &self.timeout, &self.exit_timeout];
        times.into_iter().all(is_fixed) && is_fixed(&self.retries)
    }
}

/// The signs of out of memory beside those of the configuration. They are fixed, as they belong to the program.
fn read_oom_signs(reader: &mut FlowReader, table: &mut TomlTable<'_>) -> ExtraOomSigns {
    let mut signs = ExtraOomSigns::default();
    if let Some(entry) = OOM_PATTERN.entry(table)
        && let Some(value) = reader.toml.value(entry)
    {
        // A text is one pattern, commas included.
        let list = if let Value::Text(text) = value { Value::List(vec![text.into()]) } else { value };
        match Vec::<String>::read(&list) {
            Ok(words) if words.iter().all(|word| !word.trim().is_empty()) => signs.words = words,
            Ok(_) => {
                let message = "\"oom-pattern\" must not be empty: every log would have it";
                reader.toml.error(entry.span, message);
            }
            Err(_) => reader.toml.wrong_type(entry, "a text on stderr, or a list of them"),
        }
    }
    if let Some(entry) = OOM_EXIT_CODE.entry(table)
        && let Some(value) = reader.toml.value(entry)
    {
        match Vec::<u32>::read(&value) {
            Ok(codes) if codes.iter().all(|code| (1..=255).contains(code)) => signs.exit_codes = codes,
            _ => {
                let message = "\"oom-exit-code\" must be an exit code from 1 to 255, or a list of them";
                reader.toml.error(entry.span, message);
            }
        }
    }
    signs
}
