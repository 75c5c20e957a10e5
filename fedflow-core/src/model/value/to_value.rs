//! From any serialisable type to a [`Value`].

use std::fmt::Display;

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::dict::{Dict, MAX_DEPTH, Value};

/// Why something cannot be turned into a value, or a value into something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

impl serde::ser::Error for ValueError {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl serde::de::Error for ValueError {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Turns a serialisable value into a [`Value`]. Structs become dictionaries, enums as in JSON.
///
/// # Errors
/// An integer does not fit in 64 bits with a sign, a key is not text, or it is nested deeper than
/// [`MAX_DEPTH`](crate::MAX_DEPTH).
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
/// struct Params { client: u32, lr: f32 }
/// let value = fedflow_core::to_value(&Params { client: 3, lr: 0.1 })?;
/// assert_eq!(fedflow_core::from_value::<Params>(value)?, Params { client: 3, lr: 0.1 });
/// # Ok::<(), fedflow_core::ValueError>(())
/// ```
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, ValueError> {
    value.serialize(ToValue { depth: 0 })
}

#[derive(Clone, Copy)]
struct ToValue {
    depth: usize,
}

impl ToValue {
    fn deeper(self) -> Result<Self, ValueError> {
        if self.depth >= MAX_DEPTH {
            return Err(ValueError(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }

    fn list(self, variant: Option<&'static str>, len: Option<usize>) -> Result<ListMaker, ValueError> {
        Ok(ListMaker { inner: self.deeper()?, variant, list: Vec::with_capacity(len.unwrap_or(0).min(4096)) })
    }

    fn dict(self, variant: Option<&'static str>) -> Result<DictMaker, ValueError> {
        Ok(DictMaker { inner: self.deeper()?, variant, dict: Dict::new(), key: None })
    }
}

/// An enum's variant with content is a dictionary with one key, as in JSON.
fn in_variant(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Value::Dict(Dict::from([(variant, value)])),
        None => value,
    }
}

macro_rules! small_integers {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, value: $type) -> Result<Value, ValueError> {
            Ok(Value::Int(value.into()))
        }
    )*};
}

impl Serializer for ToValue {
    type Ok = Value;
    type Error = ValueError;
    type SerializeSeq = ListMaker;
    type SerializeTuple = ListMaker;
    type SerializeTupleStruct = ListMaker;
    type SerializeTupleVariant = ListMaker;
    type SerializeMap = DictMaker;
    type SerializeStruct = DictMaker;
    type SerializeStructVariant = DictMaker;

    small_integers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32
    );

    fn serialize_bool(self, value: bool) -> Result<Value, ValueError> {
        Ok(Value::Bool(value))
    }

    fn serialize_u64(self, value: u64) -> Result<Value, ValueError> {
        i64::try_from(value)
            .map(Value::Int)
            .map_err(|_| ValueError(format!("the integer {value} does not fit in 64 bits with a sign")))
    }

    fn serialize_f32(self, value: f32) -> Result<Value, ValueError> {
        Ok(Value::Float(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result<Value, ValueError> {
        Ok(Value::Float(value))
    }

    fn serialize_char(self, value: char) -> Result<Value, ValueError> {
        Ok(Value::Text(value.into()))
    }

    fn serialize_str(self, value: &str) -> Result<Value, ValueError> {
        Ok(Value::Text(value.into()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, ValueError> {
        Ok(Value::Bytes(value.into()))
    }

    fn serialize_none(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, ValueError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, ValueError> {
        Ok(Value::Text(variant.into()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        Ok(in_variant(Some(variant), value.serialize(self.deeper()?)?))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<ListMaker, ValueError> {
        self.list(None, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<ListMaker, ValueError> {
        self.list(None, Some(len))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<ListMaker, ValueError> {
        self.list(None, Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<ListMaker, ValueError> {
        self.deeper()?.list(Some(variant), Some(len))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<DictMaker, ValueError> {
        self.dict(None)
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<DictMaker, ValueError> {
        self.dict(None)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<DictMaker, ValueError> {
        self.deeper()?.dict(Some(variant))
    }
}

struct ListMaker {
    inner: ToValue,
    variant: Option<&'static str>,
    list: Vec<Value>,
}

impl ListMaker {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        self.list.push(value.serialize(self.inner)?);
        Ok(())
    }

    fn finish(self) -> Value {
        in_variant(self.variant, Value::List(self.list))
    }
}

struct DictMaker {
    inner: ToValue,
    variant: Option<&'static str>,
    dict: Dict,
    key: Option<String>,
}

impl DictMaker {
    fn finish(self) -> Value {
        in_variant(self.variant, Value::Dict(self.dict))
    }
}

macro_rules! list_maker {
    ($($trait:ident::$method:ident),*) => {$(
        impl $trait for ListMaker {
            type Ok = Value;
            type Error = ValueError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
                self.push(value)
            }

            fn end(self) -> Result<Value, ValueError> {
                Ok(self.finish())
            }
        }
    )*};
}

list_maker!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! struct_maker {
    ($($trait:ident),*) => {$(
        impl $trait for DictMaker {
            type Ok = Value;
            type Error = ValueError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), ValueError> {
                self.dict.insert(key, value.serialize(self.inner)?);
                Ok(())
            }

            fn end(self) -> Result<Value, ValueError> {
                Ok(self.finish())
            }
        }
    )*};
}

struct_maker!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for DictMaker {
    type Ok = Value;
    type Error = ValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ValueError> {
        self.key = Some(match key.serialize(self.inner)? {
            Value::Text(text) => text,
            Value::Int(int) => int.to_string(),
            other => return Err(ValueError(format!("a key must be text, not {}", other.kind()))),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        let value = value.serialize(self.inner)?;
        if let Some(key) = self.key.take() {
            self.dict.insert(key, value);
        }
        Ok(())
    }

    fn end(self) -> Result<Value, ValueError> {
        Ok(self.finish())
    }
}
