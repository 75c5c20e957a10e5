//! Reads TOML tables key by key. A key that is missing, unknown or of the wrong type is an error with its position.

use std::sync::Arc;

use fedflow_core::{Dict, Value};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Diagnostics, SourceFile, Span, did_you_mean};

/// A TOML file that is being read, and the errors found in it so far.
#[derive(Debug)]
pub(crate) struct TomlReader {
    pub(crate) file: Arc<SourceFile>,
    pub(crate) found: Diagnostics,
}

/// A table of the file. [`finish`](Self::finish) reports the keys that were never asked for.
#[derive(Debug)]
pub(crate) struct TomlTable<'d> {
    /// What the table describes, with its article: "a task".
    what: &'static str,
    /// Where the table begins.
    pub(crate) span: Span,
    entries: &'d DeTable<'d>,
    asked: Vec<&'static str>,
}

/// A key of a table and its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TomlEntry<'d> {
    pub(crate) key: &'d str,
    pub(crate) key_span: Span,
    pub(crate) value: &'d DeValue<'d>,
    pub(crate) span: Span,
}

/// A value that was read from the file, and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl TomlReader {
    pub(crate) fn new(file: &Arc<SourceFile>) -> Self {
        Self { file: Arc::clone(file), found: Diagnostics::new() }
    }

    /// Parses a text as TOML; its syntax errors are found here. `None` if there are any.
    pub(crate) fn parse<'t>(&mut self, text: &'t str) -> Option<Spanned<DeTable<'t>>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let valid = errors.is_empty();
        for error in errors {
            self.error(error.span().unwrap_or_default().into(), error.message());
        }
        valid.then_some(table)
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.found.push(Diagnostic::at(&self.file, span, message));
    }

    pub(crate) fn error_with_hint(
        &mut self,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.found.push(Diagnostic::at(&self.file, span, message).hint(hint));
    }

    /// Reports a value of the wrong type.
    pub(crate) fn wrong_type(&mut self, entry: TomlEntry<'_>, expected: &str) {
        let found = kind(entry.value);
        self.error(entry.span, format!("{:?} is {found}; expected {expected}", entry.key));
    }

    pub(crate) fn text(&mut self, entry: TomlEntry<'_>) -> Option<Located<String>> {
        match entry.value {
            DeValue::String(text) => Some(Located { value: text.to_string(), span: entry.span }),
            _ => {
                self.wrong_type(entry, "text in quotes");
                None
            }
        }
    }

    /// The elements of a list.
    pub(crate) fn list<'d>(&mut self, entry: TomlEntry<'d>, expected: &str) -> Option<Vec<TomlEntry<'d>>> {
        let DeValue::Array(array) = entry.value else {
            self.wrong_type(entry, expected);
            return None;
        };
        let element = |element: &'d Spanned<DeValue<'d>>| TomlEntry {
            value: element.get_ref(),
            span: element.span().into(),
            ..entry
        };
        Some(array.iter().map(element).collect())
    }

    pub(crate) fn texts(&mut self, entry: TomlEntry<'_>, example: &str) -> Option<Vec<Located<String>>> {
        let expected = format!("a list of texts, such as {example}");
        let elements = self.list(entry, &expected)?;
        let mut texts = Vec::with_capacity(elements.len());
        for element in elements {
            let DeValue::String(text) = element.value else {
                self.wrong_type(element, &expected);
                return None;
            };
            texts.push(Located { value: text.to_string(), span: element.span });
        }
        Some(texts)
    }

    pub(crate) fn table<'d>(&mut self, what: &'static str, entry: TomlEntry<'d>) -> Option<TomlTable<'d>> {
        match entry.value {
            DeValue::Table(entries) => Some(TomlTable::new(what, entries, entry.span)),
            _ => {
                self.wrong_type(entry, "a table");
                None
            }
        }
    }

    /// The tables of a list of tables.
    pub(crate) fn tables<'d>(&mut self, what: &'static str, entry: TomlEntry<'d>) -> Vec<TomlTable<'d>> {
        let expected = format!("a list of tables, such as [[{}]]", entry.key);
        let elements = self.list(entry, &expected).unwrap_or_default();
        elements.into_iter().filter_map(|element| self.table(what, element)).collect()
    }

    /// Any value, as a value of the model.
    pub(crate) fn value(&mut self, entry: TomlEntry<'_>) -> Option<Value> {
        Some(match entry.value {
            DeValue::String(text) => text.as_ref().into(),
            DeValue::Integer(integer) => Value::Int(self.integer(integer, entry.span)?),
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(float) => float.into(),
                Err(_) => {
                    self.error(entry.span, "this is no number that fits a 64-bit float");
                    return None;
                }
            },
            DeValue::Boolean(bool) => (*bool).into(),
            DeValue::Datetime(_) => {
                let hint = "put it in quotes, and it is passed on as text";
                self.error_with_hint(entry.span, "a date is no value that a task can be given", hint);
                return None;
            }
            DeValue::Array(_) => {
                let elements = self.list(entry, "a list")?;
                let values: Option<Vec<Value>> = elements.into_iter().map(|e| self.value(e)).collect();
                values?.into()
            }
            DeValue::Table(entries) => {
                let table = TomlTable::new("a table", entries, entry.span);
                let mut dict = Dict::new();
                for entry in table.entries() {
                    dict.insert(entry.key, self.value(entry)?);
                }
                dict.into()
            }
        })
    }

    fn integer(&mut self, integer: &DeInteger<'_>, span: Span) -> Option<i64> {
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        if number.is_none() {
            self.error(span, "this integer does not fit in 64 bits with a sign");
        }
        number
    }
}

impl<'d> TomlTable<'d> {
    pub(crate) fn new(what: &'static str, entries: &'d DeTable<'d>, span: Span) -> Self {
        Self { what, span, entries, asked: Vec::new() }
    }

    /// What the table describes, with its article.
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// The value under a key that this table may have.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<TomlEntry<'d>> {
        self.asked.push(key);
        let (key, value) = self.entries.get_key_value(key)?;
        Some(TomlEntry::new(key, value))
    }

    /// The value under a key that this table must have.
    pub(crate) fn require(
        &mut self,
        key: &'static str,
        example: &str,
        reader: &mut TomlReader,
    ) -> Option<TomlEntry<'d>> {
        let entry = self.get(key);
        if entry.is_none() {
            let message = format!("{} needs the key {key:?}", self.what);
            reader.error_with_hint(self.span, message, format!("for example: {example}"));
        }
        entry
    }

    /// All keys, known or not, in the order of the file.
    pub(crate) fn entries(&self) -> impl Iterator<Item = TomlEntry<'d>> + use<'d> {
        self.entries.iter().map(|(key, value)| TomlEntry::new(key, value))
    }

    /// Reports the keys that were never asked for. `elsewhere` gives the hint for a key that belongs to another
    /// table; without one, the hint names the key that was most likely meant.
    pub(crate) fn finish(self, reader: &mut TomlReader, elsewhere: impl Fn(&str) -> Option<String>) {
        for (key, _) in self.entries {
            let name = key.get_ref().as_ref();
            if !self.asked.contains(&name) {
                let message = format!("{} has no key {name:?}", self.what);
                let hint = elsewhere(name).or_else(|| did_you_mean(name, self.asked.iter().copied()));
                let error = Diagnostic::at(&reader.file, key.span().into(), message).maybe_hint(hint);
                reader.found.push(error);
            }
        }
    }
}

impl<'d> TomlEntry<'d> {
    fn new(key: &'d Spanned<toml::de::DeString<'d>>, value: &'d Spanned<DeValue<'d>>) -> Self {
        Self {
            key: key.get_ref().as_ref(),
            key_span: key.span().into(),
            value: value.get_ref(),
            span: value.span().into(),
        }
    }
}

/// The kind of a value, with its article.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
