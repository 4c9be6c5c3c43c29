//! A request's body with a few of its fields changed, and every other byte as it was.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use serde_json::{Value, value::RawValue};

use super::{BoundError, Wire};

/// What is to be otherwise about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// The model that is used in place of the one it names.
    pub model: Option<&'a str>,
    /// The most tokens that may come out, all choices together.
    pub max_output: Option<u64>,
    /// Whether a stream has to tell its usage at its end.
    pub include_usage: bool,
}

/// The body with those changes. It has to be one that [`super::bound()`] reads.
///
/// # Errors
/// What of it does not go with the changes.
pub fn rewritten<'b>(
    wire: Wire,
    body: &'b [u8],
    changes: &Changes,
) -> Result<Cow<'b, [u8]>, BoundError> {
    if *changes == Changes::default() {
        return Ok(Cow::Borrowed(body));
    }
    let text = std::str::from_utf8(body).map_err(|_| unreadable())?;
    let mut object = Object::of(text).ok_or_else(unreadable)?;
    if let Some(model) = changes.model {
        object.set("model", &Value::from(model).to_string());
    }
    if let Some(most) = changes.max_output {
        limit(wire, &mut object, most)?;
    }
    if changes.include_usage {
        include_usage(&mut object)?;
    }
    Ok(object.changed().map_or(Cow::Borrowed(body), |text| Cow::Owned(text.into_bytes())))
}

fn unreadable() -> BoundError {
    BoundError::Unreadable("it is no object".to_owned())
}

/// Lowers what bounds the output, or says it where nothing does.
fn limit(wire: Wire, object: &mut Object, most: u64) -> Result<(), BoundError> {
    let (fields, choices): (&[&'static str], _) = match wire {
        Wire::AnthropicMessages => (&["max_tokens"], 1),
        Wire::OpenAiResponses => (&["max_output_tokens"], 1),
        // A vendor may look at either.
        Wire::OpenAiChat => {
            (&["max_completion_tokens", "max_tokens"], object.number("n").unwrap_or(1))
        }
    };
    // The request says how much each choice may have.
    let each = most.checked_div(choices).filter(|each| *each > 0);
    let each = each.ok_or(BoundError::TooManyChoices { most })?;
    let told = |object: &Object, field: &str| object.number(field);
    let said = fields.iter().any(|field| told(object, field).is_some());
    for field in fields {
        if told(object, field).is_some_and(|told| told > each) {
            object.set(field, &each.to_string());
        }
    }
    if let (false, Some(field)) = (said, fields.first()) {
        object.set(field, &each.to_string());
    }
    let thinks = object.value("thinking").and_then(|it| it.get("budget_tokens")?.as_u64());
    match (wire, thinks) {
        (Wire::AnthropicMessages, Some(thinks)) if thinks >= each => {
            Err(BoundError::Thinking { most: each })
        }
        _ => Ok(()),
    }
}

fn include_usage(object: &mut Object) -> Result<(), BoundError> {
    let options = object.get("stream_options").filter(|options| *options != "null");
    let Some(options) = options else {
        object.set("stream_options", r#"{"include_usage":true}"#);
        return Ok(());
    };
    let mut options = Object::of(options).ok_or(BoundError::StreamOptions)?;
    options.set("include_usage", "true");
    if let Some(options) = options.changed() {
        object.set("stream_options", &options);
    }
    Ok(())
}

/// An object of JSON as it is written, and what is put in place of parts of it.
struct Object<'a> {
    text: &'a str,
    fields: BTreeMap<String, &'a RawValue>,
    edits: Vec<(Range<usize>, String)>,
    added: String,
}

impl<'a> Object<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let fields = serde_json::from_str(text).ok()?;
        Some(Self { text, fields, edits: Vec::new(), added: String::new() })
    }

    fn get(&self, field: &str) -> Option<&'a str> {
        self.fields.get(field).map(|value| value.get())
    }

    fn value(&self, field: &str) -> Option<Value> {
        serde_json::from_str(self.get(field)?).ok()
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.value(field)?.as_u64()
    }

    /// Has a field say this, where it stands or as the last one.
    fn set(&mut self, field: &str, value: &str) {
        let Some(old) = self.get(field) else {
            let comma = if self.fields.is_empty() && self.added.is_empty() { "" } else { "," };
            self.added = format!("{}{comma}{}:{value}", self.added, Value::from(field));
            return;
        };
        // A value is borrowed from the text that it was read in.
        let from = old.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        if old != value {
            self.edits.push((from..from.saturating_add(old.len()), value.to_owned()));
        }
    }

    /// The text with all that was set, if anything was.
    fn changed(mut self) -> Option<String> {
        if !self.added.is_empty() {
            let end = self.text.rfind('}')?;
            self.edits.push((end..end, self.added));
        }
        if self.edits.is_empty() {
            return None;
        }
        self.edits.sort_by_key(|(at, _)| at.start);
        let (mut whole, mut next) = (String::with_capacity(self.text.len()), 0);
        for (at, value) in &self.edits {
            whole.push_str(self.text.get(next..at.start)?);
            whole.push_str(value);
            next = at.end;
        }
        whole.push_str(self.text.get(next..)?);
        Some(whole)
    }
}
