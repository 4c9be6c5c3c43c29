//! A request's body, read so that it means one thing.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// JSON in which no object has a key twice: of two models in one body, a vendor may take the one
/// that was not priced.
pub(super) struct Once(pub(super) Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reading).map(Self)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, told: bool) -> Result<Value, E> {
        Ok(Value::Bool(told))
    }

    fn visit_u64<E: Error>(self, told: u64) -> Result<Value, E> {
        Ok(Value::Number(told.into()))
    }

    fn visit_i64<E: Error>(self, told: i64) -> Result<Value, E> {
        Ok(Value::Number(told.into()))
    }

    fn visit_f64<E: Error>(self, told: f64) -> Result<Value, E> {
        Ok(Number::from_f64(told).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, told: &str) -> Result<Value, E> {
        Ok(Value::String(told.to_owned()))
    }

    fn visit_string<E: Error>(self, told: String) -> Result<Value, E> {
        Ok(Value::String(told))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((key, Once(value))) = fields.next_entry::<String, Once>()? {
            if all.contains_key(&key) {
                let key = super::shown(&key);
                return Err(A::Error::custom(format_args!("the key `{key}` is there twice")));
            }
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}
