//! One pass over a line that is stricter than the library's: what JSON allows and we do not, and
//! the few fields that decide what becomes of it.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{MAX_DEPTH, MAX_ITEMS, MAX_TEXT};

/// What a value is, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape<'a> {
    Null,
    Bool,
    /// A number that fits an id.
    Integer(i64),
    /// Any other number.
    Number,
    Text(Cow<'a, str>),
    Array,
    Object,
}

impl Shape<'_> {
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// What is wrong with a line that is JSON all the same.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    TooDeep,
    /// The same key twice in one object: who reads it may see the one or the other.
    Twice(String),
    /// A text, or a key, of more bytes than any may have.
    LongText,
    /// An array of more elements than any may have.
    LongArray,
}

/// A line in outline.
#[derive(Debug)]
pub(super) struct Outline<'a> {
    pub(super) root: Shape<'a>,
    pub(super) jsonrpc: Option<Shape<'a>>,
    pub(super) id: Option<Shape<'a>>,
    pub(super) method: Option<Shape<'a>>,
    pub(super) params: Option<Shape<'a>>,
    /// `_meta` of the params.
    pub(super) meta: Option<Shape<'a>>,
    /// `name` of the params.
    pub(super) name: Option<Shape<'a>>,
    /// `requestId` of the params.
    pub(super) request_id: Option<Shape<'a>>,
    /// It has a result or an error.
    pub(super) answers: bool,
    /// The first fault.
    pub(super) fault: Option<Fault>,
}

impl Outline<'_> {
    /// It answers a request of ours.
    pub(super) fn is_answer(&self) -> bool {
        self.answers && self.method.is_none()
    }

    /// Nobody waits for an answer to it.
    pub(super) fn expects_no_answer(&self) -> bool {
        self.is_answer() || (self.method.is_some() && self.id.is_none())
    }
}

/// Reads a line, or says why it is no JSON.
pub(super) fn read(line: &[u8]) -> Result<Outline<'_>, String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to() + 1))?;
    let mut seen = Outline {
        root: Shape::Null,
        jsonrpc: None,
        id: None,
        method: None,
        params: None,
        meta: None,
        name: None,
        request_id: None,
        answers: false,
        fault: None,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let walk = Walk { seen: &mut seen, place: Place::Root, depth: 1 };
    let root = walk.deserialize(&mut json).and_then(|root| json.end().map(|()| root));
    seen.root = root.map_err(|error| error.to_string().replace(" at line 1 column", " at byte"))?;
    Ok(seen)
}

/// Where in the message a value stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Params,
    Elsewhere,
}

/// Walks through one value and what is in it.
struct Walk<'w, 'a> {
    seen: &'w mut Outline<'a>,
    place: Place,
    depth: usize,
}

impl<'a> Walk<'_, 'a> {
    fn is_too_deep(&mut self) -> bool {
        let deep = self.depth > MAX_DEPTH;
        if deep {
            self.seen.fault.get_or_insert(Fault::TooDeep);
        }
        deep
    }

    fn measure(&mut self, text: &str) {
        if text.len() > MAX_TEXT {
            self.seen.fault.get_or_insert(Fault::LongText);
        }
    }

    /// The value that stands under `key` here.
    fn under(&mut self, key: &str) -> Walk<'_, 'a> {
        let params = self.place == Place::Root && key == "params";
        let place = if params { Place::Params } else { Place::Elsewhere };
        Walk { seen: &mut *self.seen, place, depth: self.depth + 1 }
    }

    fn keep(&mut self, key: &str, shape: Shape<'a>) {
        let field = match (self.place, key) {
            (Place::Root, "jsonrpc") => &mut self.seen.jsonrpc,
            (Place::Root, "id") => &mut self.seen.id,
            (Place::Root, "method") => &mut self.seen.method,
            (Place::Root, "params") => &mut self.seen.params,
            (Place::Params, "_meta") => &mut self.seen.meta,
            (Place::Params, "name") => &mut self.seen.name,
            (Place::Params, "requestId") => &mut self.seen.request_id,
            (Place::Root, "result" | "error") => {
                self.seen.answers = true;
                return;
            }
            _ => return,
        };
        *field = Some(shape);
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, 'de> {
    type Value = Shape<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Shape<'de>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, 'de> {
    type Value = Shape<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Shape<'de>, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape<'de>, E> {
        Ok(Shape::Bool)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Shape<'de>, E> {
        Ok(Shape::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Shape<'de>, E> {
        Ok(i64::try_from(number).map_or(Shape::Number, Shape::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape<'de>, E> {
        Ok(Shape::Number)
    }

    fn visit_borrowed_str<E>(mut self, text: &'de str) -> Result<Shape<'de>, E> {
        self.measure(text);
        Ok(Shape::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<Shape<'de>, E> {
        self.measure(text);
        Ok(Shape::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Shape<'de>, A::Error> {
        if self.is_too_deep() {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Shape::Array);
        }
        let mut count = 0_usize;
        while items.next_element_seed(self.under(""))?.is_some() {
            count += 1;
            if count > MAX_ITEMS {
                self.seen.fault.get_or_insert(Fault::LongArray);
            }
        }
        Ok(Shape::Array)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Shape<'de>, A::Error> {
        if self.is_too_deep() {
            while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Shape::Object);
        }
        let mut keys = HashSet::new();
        while let Some(key) = fields.next_key_seed(Key)? {
            self.measure(&key);
            let shape = fields.next_value_seed(self.under(&key))?;
            if keys.contains(&key) {
                // An id that comes twice is none.
                let shape = if key == "id" { Shape::Null } else { shape };
                self.keep(&key, shape);
                self.seen.fault.get_or_insert_with(|| Fault::Twice(key.into_owned()));
            } else {
                self.keep(&key, shape);
                keys.insert(key);
            }
        }
        Ok(Shape::Object)
    }
}

/// A key of an object, not copied where it need not be.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Cow<'de, str>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}
