//! The configuration as TOML: the effective one, and the commented file to start from.

use std::fmt::Write as _;

use fedflow_core::{Config, KEYS, Key, Value};

use super::layers::{Settings, Source};

/// The effective configuration as TOML. A key that is not the default has its source in a comment. Read as
/// `fedflow.toml` the text gives the same configuration, except for secrets: they are not shown.
#[must_use]
pub fn render(settings: &Settings) -> String {
    let mut out = String::new();
    let mut section = "";
    for key in KEYS {
        let name = enter_section(&mut out, &mut section, key);
        let value = settings.config().get(key.name).unwrap_or_default();
        let source = settings.source(key.name).unwrap_or(&Source::Default);
        let line = if key.secret { secret_line(name, &value) } else { format!("{name} = {}", toml(&value)) };
        match source {
            Source::Default => out.push_str(&line),
            // A line break in a path must not become TOML.
            source => {
                let from = source.to_string().replace(char::is_control, "\u{fffd}");
                let _ = write!(out, "{line:<40} # from {from}");
            }
        }
        out.push('\n');
    }
    out
}

/// A `fedflow.toml` in which every key is a comment, with its help and its default.
#[must_use]
pub(crate) fn starter_text() -> String {
    let mut out = String::from(
        "# The configuration of Fedflow. Every key is shown with its default: remove the `#` to change one.\n\
         # A flow's [config], FEDFLOW_CONFIG_… variables and --set win over this file.\n\n",
    );
    let mut section = "";
    let defaults = Config::default();
    for key in KEYS {
        let name = enter_section(&mut out, &mut section, key);
        let _ = writeln!(out, "# {}", key.help);
        let value = defaults.get(key.name).unwrap_or_default();
        // Here "none" means the default that the help describes, not no limit.
        let meant = if key.name.starts_with("remain-limit.") { "  # that default" } else { "" };
        let _ = writeln!(out, "# {name} = {}{meant}", toml(&value));
    }
    out
}

/// Writes the header of the key's section where it starts; gives the key's name in the section.
fn enter_section<'k>(out: &mut String, section: &mut &'k str, key: &'k Key) -> &'k str {
    let (new, name) = key.name.split_once('.').unwrap_or(("", key.name));
    if new != *section {
        *section = new;
        let _ = writeln!(out, "\n[{new}]");
    }
    name
}

fn secret_line(name: &str, value: &Value) -> String {
    let state =
        if value.as_str().is_some_and(|text| !text.is_empty()) { "set, not shown" } else { "not set" };
    format!("# {name}: {state}")
}

fn toml(value: &Value) -> String {
    match value {
        // Every optional key takes this word for no value.
        Value::Null => "\"none\"".into(),
        Value::Bool(bool) => bool.to_string(),
        Value::Int(int) => int.to_string(),
        // `{:?}` keeps the point, so that 1.0 stays a float.
        Value::Float(float) => format!("{float:?}"),
        Value::Text(text) => quoted(text),
        Value::List(list) => format!("[{}]", list.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => quoted(other.kind()),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
