//! `Value` and `Dict`: what parameters and results are made of.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use indexmap::map::Slice;

/// The deepest nesting of lists and dictionaries that Fedflow carries.
pub const MAX_DEPTH: usize = 128;

/// A parameter or a part of a result.
///
/// Serde's human-readable formats write it as exact JSON: what JSON cannot say is written as a dictionary with
/// one key that begins with `$` (`{"$float": "NaN"}`, `{"$bytes": base64}`), and a dictionary that looks like
/// one of these has its key escaped by one more `$`, so every value survives the trip.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// A floating-point number; NaN and the infinities included.
    Float(f64),
    /// A text.
    Text(String),
    /// A sequence of bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Self>),
    /// A dictionary.
    Dict(Dict),
}

impl Value {
    /// The boolean, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(bool) = self { Some(*bool) } else { None }
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }

    /// The number as a float, if it is a float or an integer.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(float) => Some(*float),
            #[expect(clippy::cast_precision_loss, reason = "the caller asked for a float")]
            Self::Int(int) => Some(*int as f64),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The bytes, if it is some.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The list, if it is one.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The dictionary, if it is one.
    #[must_use]
    pub fn as_dict(&self) -> Option<&Dict> {
        if let Self::Dict(dict) = self { Some(dict) } else { None }
    }

    /// The value as a message shows it: what is short in full, else its kind.
    #[must_use]
    pub fn in_message(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Int(int) => int.to_string(),
            Self::Float(float) => float.to_string(),
            Self::Bool(bool) => bool.to_string(),
            other => other.kind().into(),
        }
    }

    /// The kind of the value, in a word for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$it:ident| $make:expr),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from($it: $from) -> Self { $make }
        }
    )*};
}

value_from! {
    bool => |it| Self::Bool(it),
    i32 => |it| Self::Int(it.into()),
    i64 => |it| Self::Int(it),
    u32 => |it| Self::Int(it.into()),
    f32 => |it| Self::Float(it.into()),
    f64 => |it| Self::Float(it),
    &str => |it| Self::Text(it.into()),
    String => |it| Self::Text(it),
    Vec<u8> => |it| Self::Bytes(it),
    Vec<Value> => |it| Self::List(it),
    Dict => |it| Self::Dict(it),
}

/// A dictionary from text to [`Value`], in the order in which it was filled.
///
/// A clone shares the content until one of the two is changed. That is cheap where results go to the group, the journal
/// and the report, and where the tasks of a group have the same parameters.
///
/// ```
/// use fedflow_core::Dict;
/// let result = Dict::from([("accuracy", 0.96), ("loss", 0.12)]);
/// assert_eq!(result.get("accuracy").and_then(|value| value.as_f64()), Some(0.96));
/// ```
#[derive(Clone, Default)]
pub struct Dict(
    /// `None` is empty, so that a dictionary without keys takes no memory of its own.
    Option<Arc<IndexMap<String, Value>>>,
);

impl Dict {
    /// An empty dictionary.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.as_ref()?.get(key)
    }

    /// Sets a key and returns the value that it had.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        Arc::make_mut(self.0.get_or_insert_default()).insert(key.into(), value.into())
    }

    /// Removes a key and returns its value. The order of the others does not change.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let shared = self.0.as_mut().filter(|map| map.contains_key(key))?;
        Arc::make_mut(shared).shift_remove(key)
    }

    /// Keys and values, in the order in which they were inserted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        const NOTHING: &Slice<String, Value> = Slice::new();
        let slice = self.0.as_ref().map_or(NOTHING, |map| map.as_slice());
        slice.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |map| map.len())
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PartialEq for Dict {
    /// The order of the keys does not count.
    fn eq(&self, other: &Self) -> bool {
        let shared = match (&self.0, &other.0) {
            (Some(map), Some(other)) => return map == other,
            (None, None) => return true,
            (Some(map), None) | (None, Some(map)) => map,
        };
        shared.is_empty()
    }
}

impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Dict {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut map: IndexMap<_, _> =
            pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        // There may be a million of them, and few grow.
        map.shrink_to_fit();
        Self((!map.is_empty()).then(|| Arc::new(map)))
    }
}

impl<K: Into<String>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Dict {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl IntoIterator for Dict {
    type Item = (String, Value);
    type IntoIter = indexmap::map::IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map(Arc::unwrap_or_clone).unwrap_or_default().into_iter()
    }
}
