//! Values on their way into templates and out of them, and why there may be none.

use std::sync::Arc;

use fedflow_core::{Dict, MAX_DEPTH, Value};
use minijinja::value::{Enumerator, Object, ValueKind};

/// Why a template cannot be compiled or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct TemplateError {
    /// The reason in words.
    pub(crate) message: String,
    pub(crate) cause: TemplateCause,
    /// What may have been meant.
    pub(crate) hint: Option<String>,
}

/// Whether a template is wrong, or only rendered at the wrong time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateCause {
    /// The template is wrong.
    #[error("the template is wrong")]
    Wrong,
    /// It names a filter or a test that does not exist.
    #[error("a name in it stands for nothing")]
    UnknownName,
    /// It asks a task for what that task cannot have.
    #[error("a call in it is wrong")]
    WrongCall,
    /// It asks for what is known only when the flow runs.
    #[error("known only when the flow runs")]
    KnownLater,
    /// It asks for what a group leaves that has not ended yet.
    #[error("asked before the group has ended")]
    TooEarly,
}

impl TemplateError {
    /// The template is wrong.
    pub(super) fn wrong(message: impl Into<String>) -> Self {
        Self { message: message.into(), cause: TemplateCause::Wrong, hint: None }
    }
}

/// A dictionary inside a template. It is shared and keeps its order.
#[derive(Debug)]
struct SharedDict(Dict);

impl Object for SharedDict {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.0.get(key.as_str()?).map(to_template)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(key, _)| key.into()).collect())
    }
}

/// A value of the model as a value for templates.
pub(crate) fn to_template(value: &Value) -> minijinja::Value {
    match value {
        Value::Null => ().into(),
        Value::Bool(bool) => (*bool).into(),
        Value::Int(int) => (*int).into(),
        Value::Float(float) => (*float).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Bytes(bytes) => minijinja::Value::from_bytes(bytes.clone()),
        Value::List(list) => list.iter().map(to_template).collect::<Vec<_>>().into(),
        Value::Dict(dict) => minijinja::Value::from_object(SharedDict(dict.clone())),
    }
}

/// A value from a template as a value of the model.
pub(crate) fn to_core(value: &minijinja::Value) -> Result<Value, TemplateError> {
    convert(value, 0).map_err(TemplateError::wrong)
}

fn convert(value: &minijinja::Value, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err(format!("it gives a value that is nested more than {MAX_DEPTH} deep"));
    }
    if let Some(shared) = value.downcast_object_ref::<SharedDict>() {
        return Ok(Value::Dict(shared.0.clone()));
    }
    match value.kind() {
        ValueKind::Undefined => Err("it uses something that is not there".into()),
        ValueKind::None => Ok(Value::Null),
        ValueKind::Bool => Ok(value.is_true().into()),
        ValueKind::Number if value.is_integer() => match value.as_i64() {
            Some(int) => Ok(int.into()),
            None => Err(format!("it gives {value}, which does not fit in 64 bits with a sign")),
        },
        ValueKind::Number => f64::try_from(value.clone()).map(Value::from).map_err(|error| error.to_string()),
        ValueKind::String => Ok(value.as_str().unwrap_or_default().into()),
        ValueKind::Bytes => Ok(value.as_bytes().unwrap_or_default().to_vec().into()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|error| error.to_string())?;
            let list: Result<Vec<Value>, String> = items.map(|item| convert(&item, depth + 1)).collect();
            Ok(list?.into())
        }
        ValueKind::Map => {
            let mut dict = Dict::new();
            for key in value.try_iter().map_err(|error| error.to_string())? {
                let item = value.get_item(&key).map_err(|error| error.to_string())?;
                dict.insert(key.to_string(), convert(&item, depth + 1)?);
            }
            Ok(dict.into())
        }
        _ => Err(format!("it gives {value}, which is no value; is the call missing its parentheses?")),
    }
}
