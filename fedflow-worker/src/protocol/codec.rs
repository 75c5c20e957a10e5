//! Values as bytes: bincode of a flat list of tokens, rebuilt without recursion and within limits.
//!
//! This is the only file that uses bincode. No recursive type is ever decoded from a worker: the tokens are read
//! one by one from the slice and handed to a builder, so neither depth nor a forged length costs anything.

use std::fmt;

use bincode::Options;
use fedflow_core::{Dict, Value};
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::value_builder::{BuildError, ValueBuilder, check_limits};

/// Why a value cannot be encoded, or bytes cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// It breaks a limit.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The bytes are no list of tokens.
    #[error("it cannot be decoded: {0}")]
    Bytes(String),
    /// The value is of another kind; the kind that was found.
    #[error("expected a dictionary, found {0}")]
    NotADictionary(&'static str),
}

/// A part of a value. The order of the variants is the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Token<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes(#[serde(serialize_with = "as_bytes")] &'a [u8]),
    List,
    Dict,
    Key(&'a str),
    End,
}

// The derive would write them one element at a time; the bytes are the same.
fn as_bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// A dictionary as bytes.
///
/// # Errors
/// It is nested too deeply, or takes more than `limit` bytes of memory.
pub(crate) fn encode(dict: Dict, limit: u64) -> Result<Vec<u8>, CodecError> {
    encode_value(&Value::Dict(dict), limit)
}

/// A value as bytes.
///
/// # Errors
/// It is nested too deeply, or takes more than `limit` bytes of memory.
pub(crate) fn encode_value(value: &Value, limit: u64) -> Result<Vec<u8>, CodecError> {
    check_limits(value, limit)?;
    let tokens = tokens_of(value);
    options().serialize(&tokens).map_err(|error| CodecError::Bytes(error.to_string()))
}

/// A dictionary from bytes.
///
/// # Errors
/// The bytes are no dictionary, or it breaks a limit.
pub(crate) fn decode(bytes: &[u8], limit: u64) -> Result<Dict, CodecError> {
    match decode_value(bytes, limit)? {
        Value::Dict(dict) => Ok(dict),
        other => Err(CodecError::NotADictionary(other.kind())),
    }
}

/// A value from bytes.
///
/// # Errors
/// The bytes are no value, or it breaks a limit.
pub(crate) fn decode_value(bytes: &[u8], limit: u64) -> Result<Value, CodecError> {
    let mut tokens = Tokens { builder: ValueBuilder::new(limit), broken: None };
    let read = options().with_limit(bytes.len() as u64).deserialize_seed(&mut tokens, bytes);
    if let Some(error) = tokens.broken {
        return Err(error.into());
    }
    read.map_err(|error| CodecError::Bytes(error.to_string()))?;
    Ok(tokens.builder.finish()?)
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().reject_trailing_bytes()
}

fn tokens_of(value: &Value) -> Vec<Token<'_>> {
    enum Step<'a> {
        Value(&'a Value),
        Key(&'a str),
        End,
    }
    let mut tokens = Vec::new();
    let mut todo = vec![Step::Value(value)];
    while let Some(step) = todo.pop() {
        tokens.push(match step {
            Step::Key(key) => Token::Key(key),
            Step::End => Token::End,
            Step::Value(value) => match value {
                Value::Null => Token::Null,
                Value::Bool(bool) => Token::Bool(*bool),
                Value::Int(int) => Token::Int(*int),
                Value::Float(float) => Token::Float(*float),
                Value::Text(text) => Token::Text(text),
                Value::Bytes(bytes) => Token::Bytes(bytes),
                Value::List(list) => {
                    todo.push(Step::End);
                    todo.extend(list.iter().rev().map(Step::Value));
                    Token::List
                }
                Value::Dict(dict) => {
                    todo.push(Step::End);
                    let from = todo.len();
                    for (key, value) in dict.iter() {
                        todo.extend([Step::Key(key), Step::Value(value)]);
                    }
                    // A stack gives back the last first.
                    todo[from..].reverse();
                    Token::Dict
                }
            },
        });
    }
    tokens
}

/// Reads the tokens one by one. The builder's error is kept here, as a serde error would carry only its text.
struct Tokens {
    builder: ValueBuilder,
    broken: Option<BuildError>,
}

impl Tokens {
    fn take(&mut self, token: Token<'_>) -> Result<(), BuildError> {
        match token {
            Token::Null => self.builder.scalar(Value::Null),
            Token::Bool(bool) => self.builder.scalar(Value::Bool(bool)),
            Token::Int(int) => self.builder.scalar(Value::Int(int)),
            Token::Float(float) => self.builder.scalar(Value::Float(float)),
            Token::Text(text) => self.builder.scalar(Value::Text(text.into())),
            Token::Bytes(bytes) => self.builder.scalar(Value::Bytes(bytes.into())),
            Token::List => self.builder.open_list(),
            Token::Dict => self.builder.open_dict(),
            Token::Key(key) => self.builder.key(key.into()),
            Token::End => self.builder.close(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Tokens {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Tokens {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tokens")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(token) = seq.next_element::<Token<'de>>()? {
            if let Err(error) = self.take(token) {
                self.broken = Some(error);
                return Err(serde::de::Error::custom("broken"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use fedflow_core::MAX_DEPTH;
    use proptest::prelude::*;

    const LIMIT: u64 = 1 << 20;

    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            Just(Value::Float(f64::NAN)),
            Just(Value::Float(-0.0)),
            Just(Value::Float(f64::NEG_INFINITY)),
            "\\PC{0,12}".prop_map(Value::from),
            any::<Vec<u8>>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec(("[a-c$]{0,3}", inner), 0..5)
                    .prop_map(|pairs| Value::Dict(pairs.into_iter().collect())),
            ]
        })
    }

    pub(crate) fn any_dict() -> impl Strategy<Value = Dict> {
        prop::collection::vec(("\\PC{0,6}", any_value()), 0..6).prop_map(|pairs| pairs.into_iter().collect())
    }

    /// Equality to the bit: NaN equals NaN, and -0.0 is not 0.0.
    pub(crate) fn letters(value: &impl fmt::Debug) -> String {
        format!("{value:?}")
    }

    proptest! {
        #[test]
        fn every_dictionary_survives(dict in any_dict()) {
            let bytes = encode(dict.clone(), LIMIT).unwrap();
            prop_assert_eq!(letters(&decode(&bytes, LIMIT).unwrap()), letters(&dict));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = decode(&bytes, LIMIT);
        }

        #[test]
        fn a_flipped_byte_never_panics(dict in any_dict(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = encode(dict.clone(), LIMIT).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = decode(&bytes, LIMIT);
        }

        #[test]
        fn a_truncated_value_is_an_error(dict in any_dict(), at in any::<prop::sample::Index>()) {
            let bytes = encode(dict.clone(), LIMIT).unwrap();
            prop_assert!(decode(&bytes[..at.index(bytes.len())], LIMIT).is_err());
        }
    }

    fn nested(depth: usize) -> Value {
        (0..depth).fold(Value::Null, |inner, _| Value::List(vec![inner]))
    }

    #[test]
    fn depth_has_a_limit_on_both_sides() {
        let deepest = encode_value(&nested(MAX_DEPTH), LIMIT).unwrap();
        assert_eq!(decode_value(&deepest, LIMIT).unwrap(), nested(MAX_DEPTH));
        let too_deep = CodecError::Build(BuildError::TooDeep);
        assert_eq!(encode_value(&nested(MAX_DEPTH + 1), LIMIT), Err(too_deep.clone()));
        let forged = options().serialize(&vec![Token::List; 10_000]).unwrap();
        assert_eq!(decode_value(&forged, LIMIT), Err(too_deep));
    }

    #[test]
    fn size_counts_as_it_lies_in_memory() {
        let nulls = Value::List(vec![Value::Null; 10_000]);
        let too_large = Err(CodecError::Build(BuildError::TooLarge(100_000)));
        assert_eq!(encode_value(&nulls, 100_000), too_large);
        let bytes = encode_value(&nulls, LIMIT).unwrap();
        assert!(bytes.len() < 100_000);
        assert_eq!(
            decode_value(&bytes, 100_000).unwrap_err(),
            CodecError::Build(BuildError::TooLarge(100_000))
        );
    }

    #[test]
    fn lying_lengths_are_errors() {
        // A list of 2^60 tokens, and a text of 2^60 bytes.
        assert!(matches!(decode_value(&(1_u64 << 60).to_le_bytes(), LIMIT), Err(CodecError::Bytes(_))));
        let mut text = Vec::from(1_u64.to_le_bytes());
        text.extend(4_u32.to_le_bytes());
        text.extend((1_u64 << 60).to_le_bytes());
        assert!(matches!(decode_value(&text, LIMIT), Err(CodecError::Bytes(_))));
    }

    #[test]
    fn what_is_not_well_formed_is_an_error() {
        let cases: [&[Token<'_>]; 8] = [
            &[],
            &[Token::End],
            &[Token::Null, Token::Null],
            &[Token::List],
            &[Token::Dict, Token::Null, Token::End],
            &[Token::Dict, Token::Key("a"), Token::End],
            &[Token::Dict, Token::Key("a"), Token::Key("b"), Token::End],
            &[Token::List, Token::Key("a"), Token::Null, Token::End],
        ];
        for tokens in cases {
            let bytes = options().serialize(tokens).unwrap();
            assert_eq!(
                decode_value(&bytes, LIMIT),
                Err(CodecError::Build(BuildError::Malformed)),
                "{tokens:?}"
            );
        }
        let twice =
            [Token::Dict, Token::Key("a"), Token::Null, Token::Key("a"), Token::Null, Token::End].as_slice();
        let bytes = options().serialize(twice).unwrap();
        assert_eq!(decode(&bytes, LIMIT), Err(CodecError::Build(BuildError::DuplicateKey("a".into()))));
        assert_eq!(
            decode(&encode_value(&Value::Int(1), LIMIT).unwrap(), LIMIT),
            Err(CodecError::NotADictionary("an integer"))
        );
    }
}
