//! From a [`Value`] to any deserialisable type.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, VariantAccess, Visitor,
};
use serde::{Deserializer, forward_to_deserialize_any};

use super::dict::{Dict, Value};
use super::to_value::ValueError;

/// Turns a [`Value`] into a type that can be deserialised; the way back from [`to_value`](crate::to_value).
///
/// # Errors
/// The value does not have the type's form; the text names the field or the type.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ValueError> {
    T::deserialize(FromValue(value))
}

struct FromValue(Value);

impl IntoDeserializer<'_, ValueError> for FromValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn list_of(list: Vec<Value>) -> SeqDeserializer<impl Iterator<Item = FromValue>, ValueError> {
    SeqDeserializer::new(list.into_iter().map(FromValue))
}

fn visit_dict<'de, V: Visitor<'de>>(dict: Dict, visitor: V) -> Result<V::Value, ValueError> {
    let mut map = MapDeserializer::new(dict.into_iter().map(|(key, value)| (key, FromValue(value))));
    let made = visitor.visit_map(&mut map)?;
    map.end()?;
    Ok(made)
}

impl<'de> Deserializer<'de> for FromValue {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(bool) => visitor.visit_bool(bool),
            Value::Int(int) => visitor.visit_i64(int),
            Value::Float(float) => visitor.visit_f64(float),
            Value::Text(text) => visitor.visit_string(text),
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Value::List(list) => {
                let mut seq = list_of(list);
                let made = visitor.visit_seq(&mut seq)?;
                seq.end()?;
                Ok(made)
            }
            Value::Dict(dict) => visit_dict(dict, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.0 {
            // A task without parameters, asked for with an empty table.
            Value::Dict(dict) if dict.is_empty() => visitor.visit_unit(),
            value => Self(value).deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Text(variant) => visitor.visit_enum(Variant { name: variant, content: None }),
            Value::Dict(dict) if dict.len() == 1 => {
                let Some((name, content)) = dict.into_iter().next() else {
                    return Err(ValueError::custom("an empty dictionary is no enum"));
                };
                visitor.visit_enum(Variant { name, content: Some(content) })
            }
            other => {
                Err(ValueError::custom(format!("expected the name of a variant, found {}", other.kind())))
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Variant {
    name: String,
    content: Option<Value>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = ValueError;
    type Variant = Content;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content), ValueError> {
        Ok((seed.deserialize(self.name.into_deserializer())?, Content(self.content)))
    }
}

struct Content(Option<Value>);

impl<'de> VariantAccess<'de> for Content {
    type Error = ValueError;

    fn unit_variant(self) -> Result<(), ValueError> {
        match self.0 {
            None | Some(Value::Null) => Ok(()),
            Some(other) => Err(ValueError::custom(format!("unexpected {} in a variant", other.kind()))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, ValueError> {
        seed.deserialize(FromValue(self.0.unwrap_or_default()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, ValueError> {
        FromValue(self.0.unwrap_or_default()).deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        FromValue(self.0.unwrap_or_default()).deserialize_any(visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::model::value::to_value::to_value;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Unit,
        New(u8),
        Tuple(i32, String),
        Struct { a: Option<f64> },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Everything {
        small: u8,
        big: i64,
        float: f32,
        text: String,
        maybe: Option<bool>,
        nothing: Option<bool>,
        list: Vec<(u16, char)>,
        map: BTreeMap<String, Shape>,
    }

    #[test]
    fn any_type_survives_the_trip() {
        let everything = Everything {
            small: 255,
            big: i64::MIN,
            float: 0.1,
            text: "ü".into(),
            maybe: Some(true),
            nothing: None,
            list: vec![(1, 'a'), (2, 'ß')],
            map: BTreeMap::from([
                ("unit".into(), Shape::Unit),
                ("new".into(), Shape::New(7)),
                ("tuple".into(), Shape::Tuple(-1, "x".into())),
                ("struct".into(), Shape::Struct { a: Some(0.5) }),
            ]),
        };
        let value = to_value(&everything).unwrap();
        assert_eq!(from_value::<Everything>(value).unwrap(), everything);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(to_value(&u64::MAX).is_err());
        assert!(to_value(&BTreeMap::from([((1, 2), 3)])).is_err());
        assert!(from_value::<u8>(Value::Int(256)).is_err());
        let missing = from_value::<Shape>(Value::Dict(Dict::from([("Struct", Value::Int(1))])));
        assert!(missing.is_err());
    }
}
