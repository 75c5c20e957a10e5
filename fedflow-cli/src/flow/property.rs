//! What a key of a flow file is set to: a fixed value, or a template that gives one for each task.

use std::num::NonZeroU32;
use std::time::Duration;

use fedflow_core::{Dict, Limits, Pin, Setting, Size, Value};
use toml::de::DeValue;

use super::lookup::Function;
use super::scope::{FLOW_DIR, ROUND, ROUNDS, Scope};
use super::template::{Template, TemplateSet, builtin_names};
use super::template_value::TemplateError;
use crate::diagnostic::{Diagnostic, Span, did_you_mean};
use crate::table::{Entry, Reader, Table};

/// A flow file while it is read, with the names that templates can use at this place.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) reader: Reader,
    pub(crate) templates: TemplateSet,
    pub(crate) vocabulary: Vocabulary,
}

/// The names that templates can use at one place of a flow file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary {
    /// Whether it is inside a repeat.
    pub(crate) repeat: bool,
    /// The matrix variables.
    pub(crate) matrix: Vec<String>,
    /// Whether `workdir()` and `result()` can be called.
    pub(crate) functions: bool,
}

/// A template that failed, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) span: Span,
    pub(crate) message: String,
}

/// The value of a key.
#[derive(Debug, Clone)]
pub(crate) struct Property<T> {
    pub(crate) span: Span,
    key: String,
    form: Form<T>,
}

#[derive(Debug, Clone)]
enum Form<T> {
    Fixed(T),
    Computed(Template),
}

/// A value with templates in it, such as `params`.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Fixed(Value),
    Computed(Template, Span),
    List(Vec<Self>),
    Dict(Vec<(String, Self)>),
}

/// What a property can be. The error says what would be right.
pub(crate) trait FromValue: Sized + Clone {
    fn from_value(value: &Value) -> Result<Self, String>;
}

/// A task's identifier or a group's name: text, or an integer's decimal text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identifier(pub(crate) String);

/// Under what the process of a task is kept: text that is not empty; an integer is its decimal text, as for ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) Box<str>);

/// An argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argument(pub(crate) String);

impl Texts {
    /// Compiles a text that stands under a key; `None` if there is nothing to fill in, or it is wrong.
    fn compile(&mut self, entry: Entry<'_>, text: &str) -> Option<Template> {
        match self.templates.compile(text) {
            Ok(template) => {
                let template = template?;
                self.check_names(entry.span, &template);
                Some(template)
            }
            Err(TemplateError(reason)) => {
                self.reader.error(entry.span, format!("this template cannot be read: {reason}"));
                None
            }
        }
    }

    fn check_names(&mut self, span: Span, template: &Template) {
        for name in template.names() {
            if let Err(error) = self.vocabulary.check(name, &self.reader, span) {
                self.reader.found.push(error);
            }
        }
    }
}

impl Vocabulary {
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.matrix.iter().map(String::as_str).collect();
        names.push(FLOW_DIR);
        if self.repeat {
            names.extend([ROUND, ROUNDS]);
        }
        if self.functions {
            names.extend([Function::Workdir.name(), Function::Result.name()]);
        }
        names
    }

    fn check(&self, name: &str, reader: &Reader, span: Span) -> Result<(), Diagnostic> {
        let known = self.names();
        if known.contains(&name) || builtin_names().any(|builtin| builtin == name) {
            return Ok(());
        }
        let error = |message: String| Diagnostic::at(&reader.file, span, message);
        Err(match name {
            "workdir" | "result" => error(format!("{name}() cannot be called here"))
                .hint(format!("{name}() stands only in params, train-params and command")),
            "round" | "rounds" => error(format!("there is no {name} here"))
                .hint("it exists inside a group with `repeat`, and counts from 1"),
            _ => error(format!("there is no variable {name:?} here")).maybe_hint(did_you_mean(name, known)),
        })
    }
}

impl<T: FromValue> Property<T> {
    /// Reads a value; `None` if it is wrong, which is reported.
    pub(crate) fn read(texts: &mut Texts, entry: Entry<'_>) -> Option<Self> {
        let property = |form| Some(Self { span: entry.span, key: entry.key.to_owned(), form });
        let found_before = texts.reader.found.len();
        if let DeValue::String(text) = entry.value
            && let Some(template) = texts.compile(entry, text)
        {
            return property(Form::Computed(template));
        }
        if texts.reader.found.len() > found_before {
            return None;
        }
        let value = texts.reader.value(entry)?;
        match T::from_value(&value) {
            Ok(value) => property(Form::Fixed(value)),
            Err(reason) => {
                texts.reader.error(entry.span, format!("{:?}: {reason}", entry.key));
                None
            }
        }
    }

    /// Reads a key of a table, if it is there.
    pub(crate) fn optional(texts: &mut Texts, table: &mut Table<'_>, key: &'static str) -> Option<Self> {
        let entry = table.get(key)?;
        Self::read(texts, entry)
    }

    /// Its value if it is the same for all tasks.
    pub(crate) fn fixed(&self) -> Option<&T> {
        match &self.form {
            Form::Fixed(value) => Some(value),
            Form::Computed(_) => None,
        }
    }

    /// Its value for one task.
    pub(crate) fn get(&self, scope: &Scope) -> Result<T, Fault> {
        let fault = |message| Fault { span: self.span, message };
        match &self.form {
            Form::Fixed(value) => Ok(value.clone()),
            Form::Computed(template) => {
                let value =
                    template.value(scope).map_err(|error| fault(format!("this template fails: {error}")))?;
                T::from_value(&value).map_err(|reason| {
                    fault(format!("{:?}: {reason}; the template gives {}", self.key, shown(&value)))
                })
            }
        }
    }
}

impl Node {
    /// Reads any value; `None` if it is wrong, which is reported. What has no template in it becomes one value.
    pub(crate) fn read(texts: &mut Texts, entry: Entry<'_>) -> Option<Self> {
        match entry.value {
            DeValue::String(text) => {
                let found_before = texts.reader.found.len();
                match texts.compile(entry, text) {
                    Some(template) => Some(Self::Computed(template, entry.span)),
                    None if texts.reader.found.len() > found_before => None,
                    None => Some(Self::Fixed(text.as_ref().into())),
                }
            }
            DeValue::Array(_) => {
                let elements = texts.reader.list(entry, "a list")?;
                let nodes: Option<Vec<Self>> = elements.into_iter().map(|e| Self::read(texts, e)).collect();
                Some(Self::list(nodes?))
            }
            DeValue::Table(_) => {
                let table = texts.reader.table("a table", entry)?;
                let mut nodes = Vec::new();
                for entry in table.entries() {
                    nodes.push((entry.key.to_owned(), Self::read(texts, entry)?));
                }
                Some(Self::dict(nodes))
            }
            _ => texts.reader.value(entry).map(Self::Fixed),
        }
    }

    /// Reads a key of a table that must be a table itself; an empty one if it is not there.
    pub(crate) fn optional_dict(texts: &mut Texts, table: &mut Table<'_>, key: &'static str) -> Option<Self> {
        let Some(entry) = table.get(key) else { return Some(Self::Fixed(Dict::new().into())) };
        texts.reader.table("parameters", entry)?;
        Self::read(texts, entry)
    }

    /// Its value if it is the same for all tasks.
    pub(crate) fn fixed(&self) -> Option<&Value> {
        if let Self::Fixed(value) = self { Some(value) } else { None }
    }

    /// Its value for one task.
    pub(crate) fn render(&self, scope: &Scope) -> Result<Value, Fault> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Computed(template, span) => template
                .value(scope)
                .map_err(|error| Fault { span: *span, message: format!("this template fails: {error}") })?,
            Self::List(nodes) => {
                nodes.iter().map(|node| node.render(scope)).collect::<Result<Vec<_>, _>>()?.into()
            }
            Self::Dict(nodes) => {
                let mut dict = Dict::new();
                for (key, node) in nodes {
                    dict.insert(key.as_str(), node.render(scope)?);
                }
                dict.into()
            }
        })
    }

    fn list(nodes: Vec<Self>) -> Self {
        match nodes.iter().map(|node| node.fixed().cloned()).collect::<Option<Vec<Value>>>() {
            Some(values) => Self::Fixed(values.into()),
            None => Self::List(nodes),
        }
    }

    fn dict(nodes: Vec<(String, Self)>) -> Self {
        let fixed = |(key, node): &(String, Self)| Some((key.clone(), node.fixed()?.clone()));
        match nodes.iter().map(fixed).collect::<Option<Vec<_>>>() {
            Some(pairs) => Self::Fixed(pairs.into_iter().collect::<Dict>().into()),
            None => Self::Dict(nodes),
        }
    }
}

/// The keys for time limits and retries.
#[derive(Debug, Clone, Default)]
pub(crate) struct LimitKeys {
    start_timeout: Option<Property<Duration>>,
    load_timeout: Option<Property<Duration>>,
    train_timeout: Option<Property<Duration>>,
    timeout: Option<Property<Duration>>,
    exit_timeout: Option<Property<Duration>>,
    retries: Option<Property<u32>>,
}

impl LimitKeys {
    pub(crate) fn read(texts: &mut Texts, table: &mut Table<'_>) -> Self {
        Self {
            start_timeout: Property::optional(texts, table, "start-timeout"),
            load_timeout: Property::optional(texts, table, "load-timeout"),
            train_timeout: Property::optional(texts, table, "train-timeout"),
            timeout: Property::optional(texts, table, "timeout"),
            exit_timeout: Property::optional(texts, table, "exit-timeout"),
            retries: Property::optional(texts, table, "retries"),
        }
    }

    pub(crate) fn get(&self, scope: &Scope) -> Result<Limits, Fault> {
        Ok(Limits {
            start_timeout: value_of(self.start_timeout.as_ref(), scope)?,
            load_timeout: value_of(self.load_timeout.as_ref(), scope)?,
            train_timeout: value_of(self.train_timeout.as_ref(), scope)?,
            timeout: value_of(self.timeout.as_ref(), scope)?,
            exit_timeout: value_of(self.exit_timeout.as_ref(), scope)?,
            retries: value_of(self.retries.as_ref(), scope)?,
        })
    }

    pub(crate) fn is_fixed(&self) -> bool {
        let times =
            [&self.start_timeout, &self.load_timeout, &self.train_timeout, &self.timeout, &self.exit_timeout];
        times.into_iter().all(is_fixed) && is_fixed(&self.retries)
    }
}

/// The value of a key that may be absent.
pub(crate) fn value_of<T: FromValue>(
    property: Option<&Property<T>>,
    scope: &Scope,
) -> Result<Option<T>, Fault> {
    property.map(|property| property.get(scope)).transpose()
}

/// Whether a key is absent or the same for all tasks.
pub(crate) fn is_fixed<T: FromValue>(property: &Option<Property<T>>) -> bool {
    property.as_ref().is_none_or(|property| property.fixed().is_some())
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, String> {
        value.as_str().map(Into::into).ok_or_else(|| "expected text".into())
    }
}

impl FromValue for Identifier {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(Self(text.clone())),
            Value::Int(int) => Ok(Self(int.to_string())),
            _ => Err("expected text or a whole number".into()),
        }
    }
}

impl FromValue for Key {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) if text.is_empty() => Err("a key must not be empty".into()),
            Value::Text(text) => Ok(Self(text.as_str().into())),
            Value::Int(int) => Ok(Self(int.to_string().into())),
            _ => Err("expected text or a whole number, such as \"client-{{ client }}\"".into()),
        }
    }
}

impl FromValue for Argument {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(Self(text.clone())),
            Value::Int(int) => Ok(Self(int.to_string())),
            Value::Bool(bool) => Ok(Self(bool.to_string())),
            // As minijinja writes it within a text.
            Value::Float(float) => Ok(Self(minijinja::Value::from(*float).to_string())),
            _ => Err("expected text or a number".into()),
        }
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| "expected true or false".into())
    }
}

impl FromValue for u32 {
    fn from_value(value: &Value) -> Result<Self, String> {
        let number = value.as_i64().and_then(|number| number.try_into().ok());
        number.ok_or_else(|| "expected a whole number, 0 or more, without quotes".into())
    }
}

impl FromValue for NonZeroU32 {
    fn from_value(value: &Value) -> Result<Self, String> {
        let number = u32::from_value(value).ok().and_then(Self::new);
        number.ok_or_else(|| "expected a whole number, 1 or more, without quotes".into())
    }
}

impl FromValue for Size {
    fn from_value(value: &Value) -> Result<Self, String> {
        Setting::read(value).map_err(|error| error.to_string())
    }
}

impl FromValue for Duration {
    fn from_value(value: &Value) -> Result<Self, String> {
        Setting::read(value).map_err(|error| error.to_string())
    }
}

impl FromValue for Pin {
    fn from_value(value: &Value) -> Result<Self, String> {
        let text = value.as_str().ok_or("expected a device, such as \"cuda:0\" or \"cpu\"")?;
        text.parse().map_err(|error: fedflow_core::DeviceError| error.to_string())
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Int(int) => int.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Bool(bool) => bool.to_string(),
        other => other.kind().into(),
    }
}
