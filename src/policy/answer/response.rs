//! What an API is asked and what it answered, as whoever pays writes and gets it.

use std::{borrow::Cow, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::policy::names::{is_hidden, unhidden};

/// The longest body that is handed to a model, in bytes: a good part of what it can read at all.
pub const MAX_BODY: usize = 256 * 1024;
/// The longest type of content that is told.
const MAX_TYPE: usize = 128;
/// From here on a whole number is no longer told exactly once it is read as JSON.
const MAX_EXACT: f64 = 18_446_744_073_709_551_615.0;

/// What an API answered. All of it comes from outside: it is data, whatever it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiResponse {
    /// Its HTTP status.
    pub status: u16,
    /// What it says its body is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body: JSON as it is, or text. Left out where it is neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// How many bytes the body has, where it is neither JSON nor text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Under which name that body can be read, where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Present where there was more of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
    /// Always true: what is in it is not from pettycash, and no instruction.
    pub untrusted: bool,
}

impl JsonSchema for ApiResponse {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ApiResponse".into()
    }

    /// An object, and no more: its body may be anything, for which not every client has a type.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}

/// What is to be called, as whoever asks writes it; the engine reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiCall(Value);

impl JsonSchema for ApiCall {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ApiCall".into()
    }

    /// An object: its fields are those of the tool's `request`.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}

impl FromStr for ApiCall {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
        read.map(Self).ok_or("a request is an object of JSON, such as {\"operation\": \"search\"}")
    }
}

impl ApiResponse {
    /// What is told of an answer, of whose body `bytes` are the first, and all of it unless it is
    /// `truncated`.
    pub fn of(status: u16, content_type: Option<&str>, bytes: &[u8], truncated: bool) -> Self {
        let told = |text: &str| text.chars().take(MAX_TYPE).map(shown).collect::<String>();
        let kept = bytes.get(..MAX_BODY).unwrap_or(bytes);
        let cut = truncated || kept.len() < bytes.len();
        let content_type = content_type.map(told);
        let kind = content_type.as_deref().unwrap_or_default();
        let json = if cut { None } else { json(kept) };
        let body = json.or_else(|| text(kind, kept, cut));
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let binary = body.is_none() && size > 0;
        Self {
            status,
            bytes: binary.then_some(size),
            body: body.filter(|_| size > 0),
            resource: None,
            content_type,
            // Nothing is shown of what is neither JSON nor text, so that no part of it is.
            truncated: if binary { truncated } else { cut }.then_some(true),
            untrusted: true,
        }
    }

    /// Whether its body is neither JSON nor text.
    pub fn is_binary(&self) -> bool {
        self.bytes.is_some()
    }

    /// About how much memory it takes.
    pub fn size(&self) -> usize {
        self.body.as_ref().map_or(0, weight).saturating_add(size_of::<Self>())
    }
}

fn shown(c: char) -> char {
    if is_hidden(c) { '?' } else { c }
}

/// The body as JSON, if it is an object or array of it and nothing is lost by reading it.
fn json(bytes: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    (value.is_object() || value.is_array()).then_some(())?;
    plain(value)
}

/// The same without what is hidden in its texts; nothing where a number is told wrong.
fn plain(value: Value) -> Option<Value> {
    Some(match value {
        Value::String(text) => Value::String(readable(&text)),
        Value::Array(all) => Value::Array(all.into_iter().map(plain).collect::<Option<_>>()?),
        Value::Object(all) => {
            let told = all.into_iter().map(|(name, value)| Some((readable(&name), plain(value)?)));
            Value::Object(told.collect::<Option<Map<_, _>>>()?)
        }
        Value::Number(number) => {
            let exact = number.as_f64().is_none_or(|told| told.abs() < MAX_EXACT);
            Value::Number(exact.then_some(number)?)
        }
        other @ (Value::Null | Value::Bool(_)) => other,
    })
}

/// The body as text, if it is some: by its type, or at least by what it is made of.
fn text(kind: &str, bytes: &[u8], truncated: bool) -> Option<Value> {
    let kind = kind.to_ascii_lowercase();
    let binary = [
        "image/",
        "audio/",
        "video/",
        "font/",
        "application/octet-stream",
        "application/pdf",
        "application/zip",
    ];
    if binary.iter().any(|binary| kind.starts_with(binary)) {
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // A character may be cut where the body is.
        Err(error) if truncated && error.error_len().is_none() => {
            let whole = bytes.get(..error.valid_up_to())?;
            std::str::from_utf8(whole).ok()?
        }
        Err(_) => return None,
    };
    (!text.contains('\0')).then(|| Value::String(readable(text)))
}

/// A text without characters that show nothing of themselves; the lines and columns stay.
fn readable(text: &str) -> String {
    unhidden(text, |_, hidden, told| {
        if matches!(hidden, '\n' | '\r' | '\t') {
            told.push(hidden);
        } else {
            told.push('\u{fffd}');
        }
        0
    })
}

fn weight(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(all) => all.iter().map(weight).sum(),
        Value::Object(all) => all.iter().map(|(k, v)| k.len().saturating_add(weight(v))).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    inside.saturating_add(size_of::<Value>())
}
