//! The variables of `[vars]`, which every template sees, and what a variable may be called.

use fedflow_core::{Dict, Value};
use toml::de::DeValue;

use super::super::templates::RESERVED;
use super::super::values::FlowReader;
use crate::diagnostic::{Diagnostic, SourceFile, Span, did_you_mean};
use crate::toml_reader::{TomlEntry, TomlReader, TomlTable};

/// Reads the table, and puts the values that are given elsewhere in place of those of the file. Errors are reported.
pub(super) fn read_vars(reader: &mut FlowReader, entry: Option<TomlEntry<'_>>, given: &Dict) -> Dict {
    let mut vars = Dict::new();
    let table = entry.and_then(|entry| reader.toml.table("variables", entry));
    for entry in table.iter().flat_map(TomlTable::entries) {
        if check_name(reader, entry).is_some()
            && check_value(reader, entry).is_some()
            && let Some(value) = reader.toml.value(entry)
        {
            vars.insert(entry.key, value);
        }
    }
    for (name, value) in given.iter() {
        if vars.insert(name, value.clone()).is_none() {
            vars.remove(name);
            let known: Vec<&str> = vars.iter().map(|(name, _)| name).collect();
            let hint = did_you_mean(name, known)
                .unwrap_or_else(|| "--var sets a variable that [vars] of the flow file has".into());
            reader.toml.found.push(Diagnostic::new(format!("[vars] has no variable {name:?}")).hint(hint));
        }
    }
    vars
}

/// A variable as it is typed, `NAME=VALUE`. The value is one of TOML, else it is text.
///
/// # Errors
/// There is no name.
pub fn parse_var(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().into(), value_of_text(value))),
        _ => Err("expected NAME=VALUE, such as lr=0.1".into()),
    }
}

fn value_of_text(text: &str) -> Value {
    let source = SourceFile::new("--var".as_ref(), format!("value = {text}"));
    let mut reader = TomlReader::new(&source);
    let value = reader.parse(source.text()).and_then(|table| {
        let table = TomlTable::new("a variable", table.get_ref(), Span::default());
        let mut entries = table.entries();
        let first = entries.next()?;
        if entries.next().is_some() { None } else { reader.value(first) }
    });
    value.unwrap_or_else(|| text.into())
}

/// Reports a value with a template in it: a variable has one value in the whole flow.
fn check_value(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Option<()> {
    if let DeValue::String(text) = entry.value
        && (text.contains("{{") || text.contains("{%"))
    {
        let message = format!("{:?} is a template; a variable of [vars] is a fixed value", entry.key);
        reader.toml.error(entry.span, message);
        return None;
    }
    Some(())
}

/// Reports a name that a template could not use, or could not tell from another one.
pub(super) fn check_name(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Option<()> {
    let name = entry.key;
    let plain = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        && name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    if !plain {
        reader.toml.error_with_hint(
            entry.key_span,
            format!("{name:?} cannot be the name of a variable"),
            format!("use letters, digits and _, such as {:?}", name.replace('-', "_")),
        );
        return None;
    }
    if RESERVED.contains(&name) {
        let message = format!("{name:?} cannot be the name of a variable: templates have it already");
        reader.toml.error(entry.key_span, message);
        return None;
    }
    if reader.flow.vars.get(name).is_some() {
        let message = format!("{name:?} is a variable of [vars] already");
        reader.toml.error_with_hint(entry.key_span, message, "give one of the two another name");
        return None;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_value_is_one_of_toml_or_text() {
        for (text, value) in [
            ("lr=0.1", Value::Float(0.1)),
            ("n = 3", Value::Int(3)),
            ("on=true", Value::Bool(true)),
            ("name=resnet", "resnet".into()),
            ("name=\"3\"", "3".into()),
            ("of=[1, 2]", Value::List(vec![Value::Int(1), Value::Int(2)])),
            ("at=a=b", "a=b".into()),
            ("empty=", "".into()),
            ("two=1\nthree = 2", "1\nthree = 2".into()),
        ] {
            assert_eq!(parse_var(text).unwrap().1, value, "{text}");
        }
        assert!(parse_var("lr").is_err() && parse_var("=1").is_err());
    }
}
