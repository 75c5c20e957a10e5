//! `env`: the variables that a command or a worker program gets beside those of Fedflow.

use std::collections::BTreeMap;

use fedflow_core::Size;
use toml::de::DeValue;

use super::super::values::{Argument, FlowReader, Node, Property};
use crate::toml_reader::TomlEntry;

/// The variable in which a task on a simulated card says how much memory it uses.
const SIM_USE: &str = "FEDFLOW_SIM_USE";

/// Reads the variables of a command, whose values may be templates.
pub(super) fn read_command_env(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Option<Node> {
    let table = reader.toml.table("an environment", entry)?;
    for entry in table.entries().filter(|entry| !is_name(entry.key)) {
        refuse_name(reader, entry);
    }
    for entry in table.entries() {
        refuse_own_variable(reader, entry);
        if let (SIM_USE, DeValue::String(text)) = (entry.key, entry.value)
            && !text.contains("{{")
            && !text.contains("{%")
            && let Err(error) = text.parse::<Size>()
        {
            reader.toml.error(entry.span, format!("{SIM_USE}: {error}"));
        }
    }
    let mut variables = Vec::new();
    for entry in table.entries() {
        variables.push((entry.key.to_owned(), reader.with_home(entry, Node::read)?));
    }
    Some(Node::dict(variables))
}

/// Reads the variables of a worker program, whose values are the same for all tasks.
pub(super) fn read_worker_env(reader: &mut FlowReader, entry: TomlEntry<'_>) -> BTreeMap<String, String> {
    let Some(table) = reader.toml.table("an environment", entry) else { return BTreeMap::new() };
    let mut env = BTreeMap::new();
    for entry in table.entries() {
        refuse_own_variable(reader, entry);
        if !is_name(entry.key) {
            refuse_name(reader, entry);
        } else if let Some(text) = read_value(reader, entry) {
            if text.contains('\0') {
                reader.toml.error(entry.span, "a variable cannot hold a zero byte");
            }
            env.insert(entry.key.into(), text);
        }
    }
    env
}

fn read_value(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Option<String> {
    reader.toml.text(entry)?;
    let value = reader.with_home(entry, Property::<Argument>::read)?;
    reader.found(value.get(&reader.worker_scope())).map(|Argument(text)| text)
}

fn is_name(key: &str) -> bool {
    !key.is_empty() && !key.contains(['=', '\0'])
}

fn refuse_name(reader: &mut FlowReader, entry: TomlEntry<'_>) {
    reader.toml.error(entry.key_span, format!("{:?} cannot be the name of a variable", entry.key));
}

/// Reports a variable that Fedflow itself sets for each task, and that would be overridden without a word.
fn refuse_own_variable(reader: &mut FlowReader, entry: TomlEntry<'_>) {
    let hint = match entry.key {
        SIM_USE => return,
        "CUDA_VISIBLE_DEVICES" | "CUDA_DEVICE_ORDER" => {
            "a task sees the cards that it has leased; `device` ties it to one"
        }
        key if key.starts_with("FEDFLOW_") => {
            "names that begin with FEDFLOW_ are kept for what it tells its tasks"
        }
        _ => return,
    };
    let message = format!("{:?} is set by Fedflow for each task", entry.key);
    reader.toml.error_with_hint(entry.key_span, message, hint);
}
