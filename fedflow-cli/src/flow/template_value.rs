//! Values on their way into templates and out of them.

use std::sync::Arc;

use fedflow_core::{Dict, MAX_DEPTH, Value};
use minijinja::value::{Enumerator, Object, ValueKind};

/// Why a template cannot be compiled or rendered, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TemplateError(pub(crate) String);

/// A dictionary inside a template: shared, and in its own order.
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

/// A value for a template.
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

/// A value that a template gave. The error says why there is no such value.
pub(crate) fn to_core(value: &minijinja::Value) -> Result<Value, TemplateError> {
    convert(value, 0).map_err(TemplateError)
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
