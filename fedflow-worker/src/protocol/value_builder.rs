//! Builds a value from the events of a reader, without recursion and within limits of depth and size.

use fedflow_core::{Dict, MAX_DEPTH, Value};

/// Why the parts make no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BuildError {
    /// Lists and dictionaries nest too deeply.
    #[error("it is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// It needs more memory than the limit, in bytes.
    #[error("it is larger than the limit of {0} bytes")]
    TooLarge(u64),
    /// A dictionary has a key twice.
    #[error("the key {0:?} stands twice in a dictionary")]
    DuplicateKey(String),
    /// Events came in an order that makes no value.
    #[error("it is not well-formed")]
    Malformed,
}

/// What a value counts against the limit: its size in memory, which is more than on the wire. A million nulls take four
/// megabytes there.
const VALUE_COST: u64 = size_of::<Value>() as u64;
const KEY_COST: u64 = size_of::<String>() as u64 + 2 * size_of::<usize>() as u64;

/// Takes the parts of a value in the order in which they are read.
pub(crate) struct ValueBuilder {
    open: Vec<Frame>,
    root: Option<Value>,
    cost: u64,
    limit: u64,
}

/// A list or dictionary that is not closed yet.
enum Frame {
    List(Vec<Value>),
    Dict { dict: Dict, key: Option<String> },
}

impl ValueBuilder {
    /// A builder that lets a value take up to `limit` bytes of memory.
    pub(crate) fn new(limit: u64) -> Self {
        Self { open: Vec::new(), root: None, cost: 0, limit }
    }

    /// A value that is neither a list nor a dictionary.
    pub(crate) fn scalar(&mut self, value: Value) -> Result<(), BuildError> {
        self.pay(VALUE_COST)?;
        match &value {
            Value::Text(text) => self.pay(text.len() as u64)?,
            Value::Bytes(bytes) => self.pay(bytes.len() as u64)?,
            _ => {}
        }
        self.put(value)
    }

    /// The beginning of a list.
    pub(crate) fn open_list(&mut self) -> Result<(), BuildError> {
        self.open(Frame::List(Vec::new()))
    }

    /// The beginning of a dictionary.
    pub(crate) fn open_dict(&mut self) -> Result<(), BuildError> {
        self.open(Frame::Dict { dict: Dict::new(), key: None })
    }

    /// The key of the next value.
    pub(crate) fn key(&mut self, text: String) -> Result<(), BuildError> {
        self.pay(KEY_COST + text.len() as u64)?;
        match self.open.last_mut() {
            Some(Frame::Dict { dict, key }) if key.is_none() => {
                if dict.get(&text).is_some() {
                    return Err(BuildError::DuplicateKey(text));
                }
                *key = Some(text);
                Ok(())
            }
            _ => Err(BuildError::Malformed),
        }
    }

    /// The end of the innermost list or dictionary.
    pub(crate) fn close(&mut self) -> Result<(), BuildError> {
        let value = match self.open.pop() {
            Some(Frame::List(list)) => Value::List(list),
            Some(Frame::Dict { dict, key: None }) => Value::Dict(dict),
            _ => return Err(BuildError::Malformed),
        };
        self.put(value)
    }

    /// Whether the innermost open thing is a dictionary; `None` if nothing is open.
    #[cfg(feature = "host")]
    pub(crate) fn in_dict(&self) -> Option<bool> {
        self.open.last().map(|frame| matches!(frame, Frame::Dict { .. }))
    }

    /// The complete value.
    pub(crate) fn finish(self) -> Result<Value, BuildError> {
        match self.root {
            Some(value) if self.open.is_empty() => Ok(value),
            _ => Err(BuildError::Malformed),
        }
    }

    fn open(&mut self, frame: Frame) -> Result<(), BuildError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(BuildError::TooDeep);
        }
        self.pay(VALUE_COST)?;
        self.open.push(frame);
        Ok(())
    }

    fn put(&mut self, value: Value) -> Result<(), BuildError> {
        match self.open.last_mut() {
            Some(Frame::List(list)) => list.push(value),
            Some(Frame::Dict { dict, key }) => {
                dict.insert(key.take().ok_or(BuildError::Malformed)?, value);
            }
            None if self.root.is_none() => self.root = Some(value),
            None => return Err(BuildError::Malformed),
        }
        Ok(())
    }

    fn pay(&mut self, bytes: u64) -> Result<(), BuildError> {
        self.cost = self.cost.saturating_add(bytes);
        if self.cost > self.limit { Err(BuildError::TooLarge(self.limit)) } else { Ok(()) }
    }
}

/// Checks a value against the receiver's limits, so that the sender can say what is wrong instead of being cut off.
pub(crate) fn check_limits(value: &Value, limit: u64) -> Result<(), BuildError> {
    let mut cost = 0_u64;
    let mut todo = vec![(value, 1_usize)];
    while let Some((value, depth)) = todo.pop() {
        cost = cost.saturating_add(VALUE_COST);
        match value {
            Value::Text(text) => cost = cost.saturating_add(text.len() as u64),
            Value::Bytes(bytes) => cost = cost.saturating_add(bytes.len() as u64),
            Value::List(_) | Value::Dict(_) if depth > MAX_DEPTH => return Err(BuildError::TooDeep),
            Value::List(list) => todo.extend(list.iter().map(|value| (value, depth + 1))),
            Value::Dict(dict) => {
                for (key, value) in dict.iter() {
                    cost = cost.saturating_add(KEY_COST + key.len() as u64);
                    todo.push((value, depth + 1));
                }
            }
            _ => {}
        }
        if cost > limit {
            return Err(BuildError::TooLarge(limit));
        }
    }
    Ok(())
}
