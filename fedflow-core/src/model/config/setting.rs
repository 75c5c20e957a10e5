//! `Setting`: how the value of a configuration key is read and shown, by its type.

use std::time::Duration;

use super::sections::{GpuStrategy, OnFailure, StartOrder};
use crate::model::quantity::Size;
use crate::model::value::Value;

/// What is wrong with a value, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(pub String);

/// A type that a configuration key can have.
pub trait Setting: Sized {
    /// Reads the value. A text may have the form that it has on a command line.
    ///
    /// # Errors
    /// Says what would be right.
    fn read(value: &Value) -> Result<Self, SettingError>;
    /// Shows the value in a form that can be read again.
    fn show(&self) -> Value;
}

fn expected<T>(what: &str) -> Result<T, SettingError> {
    Err(SettingError(format!("expected {what}")))
}

impl Setting for bool {
    fn read(value: &Value) -> Result<Self, SettingError> {
        match value {
            Value::Bool(bool) => Ok(*bool),
            Value::Text(text) if text == "true" => Ok(true),
            Value::Text(text) if text == "false" => Ok(false),
            _ => expected("true or false"),
        }
    }

    fn show(&self) -> Value {
        (*self).into()
    }
}

impl Setting for f64 {
    fn read(value: &Value) -> Result<Self, SettingError> {
        read_fraction(value)
    }

    fn show(&self) -> Value {
        (*self).into()
    }
}

impl Setting for u32 {
    fn read(value: &Value) -> Result<Self, SettingError> {
        let number = match value {
            Value::Int(int) => Self::try_from(*int).ok(),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        number.map_or_else(|| expected("a whole number, 0 or more"), Ok)
    }

    fn show(&self) -> Value {
        (*self).into()
    }
}

impl Setting for u16 {
    fn read(value: &Value) -> Result<Self, SettingError> {
        u32::read(value)?.try_into().or_else(|_| expected("a number from 0 to 65535"))
    }

    fn show(&self) -> Value {
        u32::from(*self).into()
    }
}

impl Setting for String {
    fn read(value: &Value) -> Result<Self, SettingError> {
        value.as_str().map_or_else(|| expected("text"), |text| Ok(text.into()))
    }

    fn show(&self) -> Value {
        self.as_str().into()
    }
}

impl Setting for Vec<String> {
    fn read(value: &Value) -> Result<Self, SettingError> {
        match value {
            Value::Text(text) => Ok(text.split(',').map(|part| part.trim().into()).collect()),
            Value::List(list) => list.iter().map(String::read).collect(),
            _ => expected("text, or a list of texts"),
        }
    }

    fn show(&self) -> Value {
        self.iter().map(|text| text.as_str().into()).collect::<Vec<Value>>().into()
    }
}

impl Setting for Size {
    fn read(value: &Value) -> Result<Self, SettingError> {
        match value {
            Value::Text(text) => text.parse().map_err(|error| SettingError(format!("{error}"))),
            _ => expected("a size such as \"2GB\" or \"512MiB\""),
        }
    }

    fn show(&self) -> Value {
        // It must be exact, as a rounded size would be another one when it is read again.
        let text = self.to_string();
        if text.parse() == Ok(*self) {
            return text.into();
        }
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];
        let exact = units.iter().find(|(unit, _)| self.bytes().is_multiple_of(*unit));
        exact.map_or(Value::Null, |(unit, name)| format!("{}{name}", self.bytes() / unit).into())
    }
}

impl Setting for Duration {
    fn read(value: &Value) -> Result<Self, SettingError> {
        let duration = match value {
            Value::Text(text) => humantime::parse_duration(text).ok(),
            _ => None,
        };
        duration.map_or_else(|| expected("a duration such as \"90s\", \"1h 30m\" or \"500ms\""), Ok)
    }

    fn show(&self) -> Value {
        humantime::format_duration(*self).to_string().into()
    }
}

impl<S: Setting> Setting for Option<S> {
    fn read(value: &Value) -> Result<Self, SettingError> {
        match value {
            Value::Null => Ok(None),
            Value::Text(text) if text == "none" => Ok(None),
            value => S::read(value).map(Some).map_err(|SettingError(text)| {
                SettingError(format!("{text}, or \"none\" for the default or no limit"))
            }),
        }
    }

    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Null, S::show)
    }
}

impl Setting for Vec<u32> {
    fn read(value: &Value) -> Result<Self, SettingError> {
        match value {
            Value::Text(text) if text.trim().is_empty() => Ok(Self::new()),
            Value::Text(text) => text.split(',').map(|part| u32::read(&part.trim().into())).collect(),
            Value::List(list) => list.iter().map(u32::read).collect(),
            one => u32::read(one).map(|number| vec![number]),
        }
    }

    fn show(&self) -> Value {
        self.iter().map(|number| (*number).into()).collect::<Vec<Value>>().into()
    }
}

/// Exit codes of processes that fail.
pub(super) fn read_exit_codes(value: &Value) -> Result<Vec<u32>, SettingError> {
    match Vec::<u32>::read(value) {
        Ok(codes) if codes.iter().all(|code| (1..=255).contains(code)) => Ok(codes),
        _ => expected("an exit code from 1 to 255, or a list of them"),
    }
}

/// A fraction of the machine: more than 0, at most 1.
pub(super) fn read_fraction(value: &Value) -> Result<f64, SettingError> {
    let number = match value {
        Value::Text(text) => text.parse().ok(),
        value => value.as_f64(),
    };
    match number {
        Some(fraction) if fraction > 0.0 && fraction <= 1.0 => Ok(fraction),
        _ => expected("a fraction more than 0 and at most 1, such as 0.8"),
    }
}

/// A period that is long enough to leave the machine to the tasks.
pub(super) fn read_period(value: &Value) -> Result<Duration, SettingError> {
    match Duration::read(value) {
        Ok(period) if period < Duration::from_millis(50) => expected("at least \"50ms\""),
        read => read,
    }
}

/// A period that is long enough to leave the machine to the tasks, or `"none"`.
pub(super) fn read_maybe_period(value: &Value) -> Result<Option<Duration>, SettingError> {
    match value {
        Value::Null => Ok(None),
        Value::Text(text) if text == "none" => Ok(None),
        value => read_period(value).map(Some),
    }
}

/// A number that must be at least 1 for any task to run.
pub(super) fn read_positive(value: &Value) -> Result<u32, SettingError> {
    match u32::read(value) {
        Ok(number) if number > 0 => Ok(number),
        _ => expected("a whole number, 1 or more"),
    }
}

macro_rules! named_choices {
    ($type:ty, $($variant:ident = $name:literal),+ $(,)?) => {
        impl $type {
            /// Every choice.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in the configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl Setting for $type {
            fn read(value: &Value) -> Result<Self, SettingError> {
                match value.as_str() {
                    $(Some($name) => Ok(Self::$variant),)+
                    _ => expected(concat!("one of", $(" \"", $name, "\""),+)),
                }
            }

            fn show(&self) -> Value {
                self.as_str().into()
            }
        }
    };
}

named_choices!(
    GpuStrategy,
    Pci = "pci",
    TotalMem = "total-mem",
    RemainMem = "remain-mem",
    Performance = "performance",
);
named_choices!(OnFailure, Continue = "continue", Stop = "stop");
named_choices!(
    StartOrder,
    Added = "added",
    Random = "random",
    LongestFirst = "longest-first",
    LargestFirst = "largest-first",
    Packed = "packed",
    Auto = "auto",
);
