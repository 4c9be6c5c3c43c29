//! A request's body, read so that it means one thing.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How many values a body may have. In memory each takes some hundred bytes, which in a body is
/// as little as two.
const MAX_VALUES: u32 = 500_000;

/// Reads JSON in which no object has a key twice: of two models in one body, a vendor may take the
/// one that was not priced.
pub(super) fn read(body: &[u8]) -> Result<Value, serde_json::Error> {
    let (left, mut from) = (Cell::new(MAX_VALUES), serde_json::Deserializer::from_slice(body));
    let value = Reading(&left).deserialize(&mut from)?;
    from.end()?;
    Ok(value)
}

/// Reads one value, of so many that there may still be.
#[derive(Clone, Copy)]
struct Reading<'a>(&'a Cell<u32>);

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| {
            D::Error::custom(format_args!("it has more than {MAX_VALUES} values"))
        })?;
        self.0.set(left);
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
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
        while let Some(item) = items.next_element_seed(self)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if all.contains_key(&key) {
                let key = super::shown(&key);
                return Err(A::Error::custom(format_args!("the key `{key}` is there twice")));
            }
            all.insert(key, fields.next_value_seed(self)?);
        }
        Ok(Value::Object(all))
    }
}
