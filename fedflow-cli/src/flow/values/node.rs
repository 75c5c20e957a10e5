//! `Node`: a value with templates anywhere in it, such as `params`.

use fedflow_core::{Dict, Value};
use toml::de::DeValue;

use super::super::templates::{Scope, Template};
use super::flow_reader::{FlowReader, Mistake};
use crate::diagnostic::Span;
use crate::toml_reader::TomlEntry;

/// A value with templates in it. A part without any is one fixed value.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Fixed(Value),
    Computed(Template, Span),
    List(Vec<Self>),
    Dict(Vec<(String, Self)>),
}

impl Node {
    /// An empty dictionary.
    pub(crate) fn empty_dict() -> Self {
        Self::Fixed(Dict::new().into())
    }

    /// Reads any value. `None` if it is wrong, which is reported.
    pub(crate) fn read(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Option<Self> {
        match entry.value {
            DeValue::String(text) => {
                let errors_before = reader.errors();
                match reader.compile(entry, text) {
                    Some(template) => Some(Self::Computed(template, entry.span)),
                    None if reader.errors() > errors_before => None,
                    None => Some(Self::Fixed(text.as_ref().into())),
                }
            }
            DeValue::Array(_) => {
                let elements = reader.toml.list(entry, "a list")?;
                let nodes: Option<Vec<Self>> =
                    elements.into_iter().map(|entry| Self::read(reader, entry)).collect();
                Some(Self::list(nodes?))
            }
            DeValue::Table(_) => {
                let table = reader.toml.table("a table", entry)?;
                let mut nodes = Vec::new();
                for entry in table.entries() {
                    nodes.push((entry.key.to_owned(), Self::read(reader, entry)?));
                }
                Some(Self::dict(nodes))
            }
            _ => reader.toml.value(entry).map(Self::Fixed),
        }
    }

    /// The value if it is the same for all tasks.
    pub(crate) fn fixed(&self) -> Option<&Value> {
        if let Self::Fixed(value) = self { Some(value) } else { None }
    }

    /// Whether a template in it uses a name.
    pub(crate) fn uses(&self, name: &str) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Computed(template, _) => template.names().any(|used| used == name),
            Self::List(nodes) => nodes.iter().any(|node| node.uses(name)),
            Self::Dict(nodes) => nodes.iter().any(|(_, node)| node.uses(name)),
        }
    }

    /// The value for one task.
    pub(crate) fn render(&self, scope: &Scope) -> Result<Value, Mistake> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Computed(template, span) => {
                template.value(scope).map_err(|error| Mistake::of_template(*span, error))?
            }
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

    /// The dictionary for one task; an empty one if this is no dictionary.
    pub(crate) fn render_dict(&self, scope: &Scope) -> Result<Dict, Mistake> {
        Ok(match self.render(scope)? {
            Value::Dict(dict) => dict,
            _ => Dict::new(),
        })
    }

    fn list(nodes: Vec<Self>) -> Self {
        match nodes.iter().map(|node| node.fixed().cloned()).collect::<Option<Vec<Value>>>() {
            Some(values) => Self::Fixed(values.into()),
            None => Self::List(nodes),
        }
    }

    /// A dictionary of values.
    pub(crate) fn dict(nodes: Vec<(String, Self)>) -> Self {
        let fixed = |(key, node): &(String, Self)| Some((key.clone(), node.fixed()?.clone()));
        match nodes.iter().map(fixed).collect::<Option<Vec<_>>>() {
            Some(pairs) => Self::Fixed(pairs.into_iter().collect::<Dict>().into()),
            None => Self::Dict(nodes),
        }
    }
}
