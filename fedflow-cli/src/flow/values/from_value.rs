//! The types that a key can have, and how each is made from a value.

use std::num::NonZeroU32;
use std::time::Duration;

use fedflow_core::{Pin, Setting, Size, Value};

use super::super::templates::Number;

/// What a user writes for a key.
pub(crate) trait ValueForm {
    /// The form in words: "a whole number, 1 or more".
    const FORM: &'static str;
    /// The form for editors.
    const SHAPE: Shape;
}

/// The form of a value in a JSON Schema. Where it is no text, a template may give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    /// Text, or a whole number in its place.
    TextOrInteger,
    Boolean,
    /// A whole number, this large or larger.
    Integer(u32),
    Number,
    /// A text or a number, or several.
    Arguments,
    /// A table with keys of the user's own.
    Table,
    /// The variables of a matrix, by name.
    Variables,
    List,
    TextList,
    OneOrMoreTexts,
    OneOrMoreCodes,
    Protocol,
    Tables,
}

/// A type that a key can have.
pub(crate) trait FromValue: ValueForm + Sized + Clone {
    /// Takes a value. The error says what would be right.
    fn from_value(value: &Value) -> Result<Self, String>;
}

/// A task's id or a group's name: text, or an integer as decimal text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identifier(pub(crate) String);

/// The key under which a process is kept: text that is not empty, or an integer as decimal text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeepKey(pub(crate) Box<str>);

/// An argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argument(pub(crate) String);

/// What stands in one place of a command: an argument; a list of them, from a template; or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments(pub(crate) Vec<String>);

fn expected<T: ValueForm>() -> String {
    format!("expected {}", T::FORM)
}

impl ValueForm for String {
    const FORM: &'static str = "text";
    const SHAPE: Shape = Shape::Text;
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, String> {
        value.as_str().map(Into::into).ok_or_else(expected::<Self>)
    }
}

impl ValueForm for Identifier {
    const FORM: &'static str = "text or a whole number";
    const SHAPE: Shape = Shape::TextOrInteger;
}

impl FromValue for Identifier {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(Self(text.clone())),
            Value::Int(int) => Ok(Self(int.to_string())),
            _ => Err(expected::<Self>()),
        }
    }
}

impl ValueForm for KeepKey {
    const FORM: &'static str = "text or a whole number, such as \"client-{{ client }}\"";
    const SHAPE: Shape = Shape::TextOrInteger;
}

impl FromValue for KeepKey {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) if text.is_empty() => Err("a key must not be empty".into()),
            Value::Text(text) => Ok(Self(text.as_str().into())),
            Value::Int(int) => Ok(Self(int.to_string().into())),
            _ => Err(expected::<Self>()),
        }
    }
}

impl ValueForm for Argument {
    const FORM: &'static str = "text or a number";
    const SHAPE: Shape = Shape::Arguments;
}

impl FromValue for Argument {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(Self(text.clone())),
            Value::Int(int) => Ok(Self(int.to_string())),
            Value::Bool(bool) => Ok(Self(bool.to_string())),
            // As minijinja writes it within a text.
            Value::Float(float) => Ok(Self(minijinja::Value::from(*float).to_string())),
            _ => Err(expected::<Self>()),
        }
    }
}

impl ValueForm for Arguments {
    const FORM: &'static str = "text, a number, or a list of them";
    const SHAPE: Shape = Shape::Arguments;
}

impl FromValue for Arguments {
    fn from_value(value: &Value) -> Result<Self, String> {
        let one = |value: &Value| Argument::from_value(value).map(|Argument(text)| text);
        match value {
            Value::Null => Ok(Self(Vec::new())),
            Value::List(list) => {
                let arguments = list.iter().filter(|value| **value != Value::Null).map(one);
                arguments.collect::<Result<_, _>>().map(Self).map_err(|_| expected::<Self>())
            }
            value => one(value).map(|text| Self(vec![text])).map_err(|_| expected::<Self>()),
        }
    }
}

impl ValueForm for bool {
    const FORM: &'static str = "true or false";
    const SHAPE: Shape = Shape::Boolean;
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(expected::<Self>)
    }
}

impl ValueForm for u32 {
    const FORM: &'static str = "a whole number, 0 or more, without quotes";
    const SHAPE: Shape = Shape::Integer(0);
}

impl FromValue for u32 {
    fn from_value(value: &Value) -> Result<Self, String> {
        let number = value.as_i64().and_then(|number| number.try_into().ok());
        number.ok_or_else(expected::<Self>)
    }
}

impl ValueForm for NonZeroU32 {
    const FORM: &'static str = "a whole number, 1 or more, without quotes";
    const SHAPE: Shape = Shape::Integer(1);
}

impl FromValue for NonZeroU32 {
    fn from_value(value: &Value) -> Result<Self, String> {
        let number = u32::from_value(value).ok().and_then(Self::new);
        number.ok_or_else(expected::<Self>)
    }
}

impl ValueForm for Number {
    const FORM: &'static str = "a number, without quotes";
    const SHAPE: Shape = Shape::Number;
}

impl FromValue for Number {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(int) => Ok(Self::Int(*int)),
            Value::Float(float) => Ok(Self::Float(*float)),
            _ => Err(expected::<Self>()),
        }
    }
}

impl ValueForm for Size {
    const FORM: &'static str = "a size such as \"2GB\"";
    const SHAPE: Shape = Shape::Text;
}

impl FromValue for Size {
    fn from_value(value: &Value) -> Result<Self, String> {
        Setting::read(value).map_err(|error| error.to_string())
    }
}

impl ValueForm for Duration {
    const FORM: &'static str = "a duration such as \"90s\" or \"2h\"";
    const SHAPE: Shape = Shape::Text;
}

impl FromValue for Duration {
    fn from_value(value: &Value) -> Result<Self, String> {
        Setting::read(value).map_err(|error| error.to_string())
    }
}

impl ValueForm for Pin {
    const FORM: &'static str = "a device, such as \"cuda:0\" or \"cpu\"";
    const SHAPE: Shape = Shape::Text;
}

impl FromValue for Pin {
    fn from_value(value: &Value) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(expected::<Self>)?;
        text.parse().map_err(|error: fedflow_core::DeviceError| error.to_string())
    }
}
