//! `PlainDict`: values in plain JSON, as other programs expect them, not in the exact form of the journal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::dict::{Dict, Value};
use super::exact_json::{BYTES, non_finite_text};

/// A dictionary as `results.json` and the progress stream have it: a float that is not finite is the text `NaN`,
/// `Infinity` or `-Infinity`, bytes are `{"$bytes": base64}`, and keys are not escaped.
///
/// ```
/// use fedflow_core::{Dict, PlainDict};
/// let result = Dict::from([("loss", f64::NAN)]);
/// assert_eq!(serde_json::to_string(&PlainDict(&result))?, r#"{"loss":"NaN"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PlainDict<'a>(pub &'a Dict);

/// A value as [`PlainDict`] has it.
#[derive(Debug, Clone, Copy)]
pub struct PlainValue<'a>(pub &'a Value);

impl Serialize for PlainDict<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0.iter() {
            map.serialize_entry(key, &PlainValue(value))?;
        }
        map.end()
    }
}

impl Serialize for PlainValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Float(float) if !float.is_finite() => serializer.serialize_str(non_finite_text(*float)),
            Value::Bytes(bytes) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(BYTES, &STANDARD.encode(bytes))?;
                map.end()
            }
            Value::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                for value in list {
                    seq.serialize_element(&Self(value))?;
                }
                seq.end()
            }
            Value::Dict(dict) => PlainDict(dict).serialize(serializer),
            // All other values are the same in both forms.
            plain => plain.serialize(serializer),
        }
    }
}
