//! `Property`: the value of a key, either fixed or a template that gives one value for each task.

use toml::de::DeValue;

use super::super::templates::{Scope, Template};
use super::flow_reader::{FlowReader, Mistake};
use super::from_value::FromValue;
use crate::diagnostic::Span;
use crate::toml_reader::TomlEntry;

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

impl<T: FromValue> Property<T> {
    /// Reads a value. `None` if it is wrong, which is reported.
    pub(crate) fn read(reader: &mut FlowReader, entry: TomlEntry<'_>) -> Option<Self> {
        let property = |form| Some(Self { span: entry.span, key: entry.key.to_owned(), form });
        let errors_before = reader.errors();
        if let DeValue::String(text) = entry.value
            && let Some(template) = reader.compile(entry, text)
        {
            return property(Form::Computed(template));
        }
        if reader.errors() > errors_before {
            return None;
        }
        let value = reader.toml.value(entry)?;
        match T::from_value(&value) {
            Ok(value) => property(Form::Fixed(value)),
            Err(reason) => {
                reader.toml.error(entry.span, format!("{:?}: {reason}", entry.key));
                None
            }
        }
    }

    /// The value if it is the same for all tasks.
    pub(crate) fn fixed(&self) -> Option<&T> {
        match &self.form {
            Form::Fixed(value) => Some(value),
            Form::Computed(_) => None,
        }
    }

    /// Whether its template uses a name.
    pub(crate) fn uses(&self, name: &str) -> bool {
        matches!(&self.form, Form::Computed(template) if template.names().any(|used| used == name))
    }

    /// The value for one task.
    pub(crate) fn get(&self, scope: &Scope) -> Result<T, Mistake> {
        match &self.form {
            Form::Fixed(value) => Ok(value.clone()),
            Form::Computed(template) => {
                let value = template.value(scope).map_err(|error| Mistake::of_template(self.span, error))?;
                T::from_value(&value).map_err(|reason| {
                    let message =
                        format!("{:?}: {reason}; the template gives {}", self.key, value.in_message());
                    Mistake::new(self.span, message)
                })
            }
        }
    }
}

/// The value of a key that may be absent.
pub(crate) fn value_of<T: FromValue>(
    property: Option<&Property<T>>,
    scope: &Scope,
) -> Result<Option<T>, Mistake> {
    property.map(|property| property.get(scope)).transpose()
}

/// Whether a key is absent or the same for all tasks.
pub(crate) fn is_fixed<T: FromValue>(property: &Option<Property<T>>) -> bool {
    property.as_ref().is_none_or(|property| property.fixed().is_some())
}
