//! `ConfigEntry`: a key that a TOML file sets, with its position.

use fedflow_core::Value;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Span;
use crate::toml_reader::{TomlReader, TomlTable};

/// One key that a file sets.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigEntry {
    /// The dotted name, such as `scheduler.max-process`.
    pub key: String,
    /// The value.
    pub value: Value,
    /// Where the key stands.
    pub key_span: Span,
    /// Where the value stands.
    pub span: Span,
}

/// The keys of a table, dotted, in the order of the file. Whether they exist is not checked here.
pub(crate) fn read_entries(table: &DeTable<'_>, reader: &mut TomlReader) -> Vec<ConfigEntry> {
    let mut entries = Vec::new();
    collect(table, "", reader, &mut entries);
    entries
}

fn collect(table: &DeTable<'_>, prefix: &str, reader: &mut TomlReader, entries: &mut Vec<ConfigEntry>) {
    for entry in TomlTable::new("the configuration", table, Span::default()).entries() {
        let key = format!("{prefix}{}", entry.key);
        match entry.value {
            DeValue::Table(inner) => collect(inner, &format!("{key}."), reader, entries),
            _ => {
                if let Some(value) = reader.value(entry) {
                    entries.push(ConfigEntry { key, value, key_span: entry.key_span, span: entry.span });
                }
            }
        }
    }
}
