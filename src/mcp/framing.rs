//! What every line of a client goes through before the library sees it.
//!
//! The library leaves a line that it cannot read without any answer, answers some without their
//! id, and makes two calls of two requests that share one. Here each such line is refused with an
//! error that says what is wrong, and the session goes on. `check` is pure; what reads and writes
//! lines is in `transport`, and over HTTP a body is a line.

mod gather;
mod in_flight;
mod lenient;
mod strict;
#[cfg(test)]
mod tests;
mod transport;

use rmcp::model::{ErrorCode, RequestId, ServerJsonRpcMessage, ServerResult};
use serde::Serialize;
use serde_json::{Value, json};

use super::tools::Tool;
pub use gather::{Gathered, Gathering};
pub use in_flight::InFlight;
use strict::{Fault, Outline, Shape};

pub(super) use transport::Framed;

/// The longest line that is read, in bytes without its end.
pub const MAX_LINE: usize = 256 * 1024;
/// How deep objects and arrays may lie in each other, the message itself counted.
const MAX_DEPTH: usize = 32;
/// The longest text in a line, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// The most elements of an array.
const MAX_ITEMS: usize = 1_000;
/// The longest id of a request that is a text, in bytes.
const MAX_ID: usize = 128;
/// The longest name of a method, in bytes.
const MAX_METHOD: usize = 128;
/// How much of a client's own text an error repeats, in characters.
const MAX_SHOWN: usize = 40;

/// What becomes of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The library may have it.
    Pass(Passed),
    /// It is refused with this message, and goes no further.
    Answer(Value),
    /// It is dropped: nobody answers a notification or an answer, not even a wrong one.
    Drop,
}

/// What a line is that may pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Passed {
    /// A request with an id that no other one in flight has.
    Request(RequestId),
    /// The client no longer waits for the answer to this request.
    Cancel(RequestId),
    /// Any other notification, or an answer.
    Other,
}

/// Looks at one line without its end. It is for the caller to note in `in_flight` what then passes.
pub fn check(line: &[u8], in_flight: &InFlight) -> Verdict {
    if line.len() > MAX_LINE {
        return Verdict::Answer(too_long(lenient::id_of(line), in_flight));
    }
    match strict::read(line) {
        Ok(seen) => judge(&seen, in_flight),
        Err(reason) => {
            let message = format!(
                "The message cannot be read: {reason}. Send one JSON object in UTF-8 (over stdio \
                 on one line)."
            );
            let wrong = Wrong::new(ErrorCode::PARSE_ERROR, message);
            Verdict::Answer(wrong.answer(lenient::id_of(line), in_flight))
        }
    }
}

/// The answer to a line that is longer than any may be.
pub fn too_long(id: Option<RequestId>, in_flight: &InFlight) -> Value {
    let message = format!("The message is longer than {MAX_LINE} bytes: send less at once.");
    Wrong::new(ErrorCode::INVALID_REQUEST, message).answer(id, in_flight)
}

/// The answer to a request that only the library finds wrong.
pub fn unreadable(id: RequestId, in_flight: &InFlight) -> Value {
    let message = "The request cannot be read: send its params as MCP defines them.";
    Wrong::new(ErrorCode::INVALID_REQUEST, message).answer(Some(id), in_flight)
}

/// The answer to a message that is wrong and expects none, where its sender is answered all the
/// same, as over HTTP.
pub fn unexpected() -> Value {
    let message = "The message is wrong, and no request: nothing was done.";
    Wrong::new(ErrorCode::INVALID_REQUEST, message).answer(None, &InFlight::default())
}

/// The request that a message of ours answers.
pub fn answered(message: &ServerJsonRpcMessage) -> Option<&RequestId> {
    match message {
        ServerJsonRpcMessage::Response(response) => Some(&response.id),
        ServerJsonRpcMessage::Error(error) => error.id.as_ref(),
        ServerJsonRpcMessage::Request(_) | ServerJsonRpcMessage::Notification(_) => None,
    }
}

/// Whether a message shows that the session has begun: a ping or a question for the versions may
/// come before.
pub fn opens(message: &ServerJsonRpcMessage) -> bool {
    let ServerJsonRpcMessage::Response(response) = message else { return false };
    !matches!(response.result, ServerResult::EmptyResult(_) | ServerResult::DiscoverResult(_))
}

fn judge(seen: &Outline<'_>, in_flight: &InFlight) -> Verdict {
    let id = seen.id.as_ref().and_then(request_id);
    let wrong = match wrong_in(seen) {
        Some(_) if seen.expects_no_answer() => return Verdict::Drop,
        Some(wrong) => wrong,
        None => match &id {
            // No id of ours is like that, so it answers nothing.
            None if matches!(seen.id, Some(Shape::Text(_))) => return Verdict::Drop,
            None => return Verdict::Pass(passed_without_id(seen)),
            Some(_) if seen.method.is_none() => return Verdict::Pass(Passed::Other),
            Some(id) if in_flight.holds(id) => Wrong::of(
                "id",
                seen.id.as_ref(),
                "an id that no request in flight has",
                "A request with this id is in flight: it is executed once and answered once.",
            ),
            Some(_) if in_flight.is_full() => {
                let message = "Too many requests are in flight: wait for answers first.";
                Wrong::new(ErrorCode::INVALID_REQUEST, message)
            }
            Some(id) => return Verdict::Pass(Passed::Request(id.clone())),
        },
    };
    Verdict::Answer(wrong.answer(id, in_flight))
}

fn passed_without_id(seen: &Outline<'_>) -> Passed {
    let cancels = seen.method.as_ref().and_then(Shape::text) == Some("notifications/cancelled");
    let id = seen.request_id.as_ref().filter(|_| cancels).and_then(request_id);
    id.map_or(Passed::Other, Passed::Cancel)
}

/// The first thing that is wrong in a line that is JSON, the outermost first.
fn wrong_in(seen: &Outline<'_>) -> Option<Wrong> {
    let object = |shape: &Option<Shape<'_>>| {
        shape.as_ref().is_none_or(|shape| matches!(shape, Shape::Object | Shape::Null))
    };
    if !matches!(seen.root, Shape::Object) {
        let message = "A message is one JSON object; there are no batches.";
        return Some(Wrong::of("message", Some(&seen.root), "an object", message));
    }
    if let Some(fault) = &seen.fault {
        return Some(Wrong::new(ErrorCode::INVALID_REQUEST, said_of(fault)));
    }
    if seen.is_answer() {
        return None;
    }
    if seen.jsonrpc.as_ref().and_then(Shape::text) != Some("2.0") {
        let message = "jsonrpc must be \"2.0\".";
        return Some(Wrong::of("jsonrpc", seen.jsonrpc.as_ref(), "\"2.0\"", message));
    }
    if seen.id.as_ref().is_some_and(|id| request_id(id).is_none()) {
        let expected =
            format!("an integer or a text of at most {MAX_ID} bytes without control characters");
        let message = format!("id must be {expected}.");
        return Some(Wrong::of("id", seen.id.as_ref(), &expected, &message));
    }
    if !seen.method.as_ref().and_then(Shape::text).is_some_and(is_method) {
        let expected = format!("a text of 1 to {MAX_METHOD} visible ASCII characters");
        let message = format!("method must be {expected}, such as \"tools/call\".");
        return Some(Wrong::of("method", seen.method.as_ref(), &expected, &message));
    }
    if seen.answers {
        let message = "A message has either a method or a result or an error.";
        return Some(Wrong::new(ErrorCode::INVALID_REQUEST, message));
    }
    if !object(&seen.params) {
        let message = "params must be an object.";
        return Some(Wrong::of("params", seen.params.as_ref(), "an object", message).params());
    }
    if !object(&seen.meta) {
        let message = "params._meta must be an object.";
        return Some(Wrong::of("params._meta", seen.meta.as_ref(), "an object", message).params());
    }
    let calls = seen.method.as_ref().and_then(Shape::text) == Some("tools/call");
    if calls && seen.name.as_ref().and_then(Shape::text).is_none() {
        let names = Tool::ALL.map(Tool::name).join(", ");
        let message = format!("params.name must be the name of a tool: {names}.");
        let expected = "the name of a tool";
        return Some(Wrong::of("params.name", seen.name.as_ref(), expected, &message).params());
    }
    None
}

fn said_of(fault: &Fault) -> String {
    match fault {
        Fault::TooDeep => {
            format!("The message is nested deeper than {MAX_DEPTH} levels: send it flatter.")
        }
        Fault::Twice(key) => {
            format!("The key \"{}\" comes twice in one object: send it once.", shown(key))
        }
        Fault::LongText => {
            format!("A text in the message is longer than {MAX_TEXT} bytes: send less at once.")
        }
        Fault::LongArray => {
            format!("An array has more than {MAX_ITEMS} elements: send fewer at once.")
        }
    }
}

fn is_method(name: &str) -> bool {
    (1..=MAX_METHOD).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a text may be an id. The library logs it as it is, so it never breaks a line of a log,
/// and tells no terminal anything.
fn is_id(text: &str) -> bool {
    text.len() <= MAX_ID && !text.contains(char::is_control)
}

/// An id as the protocol allows it and we carry it.
fn request_id(shape: &Shape<'_>) -> Option<RequestId> {
    match shape {
        Shape::Integer(number) => Some(RequestId::Number(*number)),
        Shape::Text(text) if is_id(text) => Some(RequestId::String(text.as_ref().into())),
        Shape::Text(_)
        | Shape::Null
        | Shape::Bool
        | Shape::Number
        | Shape::Array
        | Shape::Object => None,
    }
}

/// A client's own text, short and plain enough to be repeated.
fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && c != '"' || c == ' ' { c } else { '?' };
    let mut shown: String = text.chars().take(MAX_SHOWN).map(plain).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Why a line is refused.
struct Wrong {
    code: ErrorCode,
    message: String,
    data: Option<Value>,
}

impl Wrong {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// A field that is missing or has a value that it may not have.
    fn of(field: &str, got: Option<&Shape<'_>>, expected: &str, message: &str) -> Self {
        let got = match got {
            None => "nothing".to_owned(),
            Some(Shape::Integer(number)) => number.to_string(),
            Some(Shape::Text(text)) => format!("\"{}\"", shown(text)),
            Some(Shape::Null) => "null".to_owned(),
            Some(Shape::Bool) => "a boolean".to_owned(),
            Some(Shape::Number) => "a number that is no 64-bit integer".to_owned(),
            Some(Shape::Array) => "an array".to_owned(),
            Some(Shape::Object) => "an object".to_owned(),
        };
        let data = json!({"field": field, "got": got, "expected": expected});
        let code = ErrorCode::INVALID_REQUEST;
        Self { code, message: message.to_owned(), data: Some(data) }
    }

    /// The envelope is right, what it carries is not.
    fn params(self) -> Self {
        Self { code: ErrorCode::INVALID_PARAMS, ..self }
    }

    /// The message that refuses the line. It never carries the id of a request in flight: a client
    /// would take it for the outcome of that request, which may be paying.
    fn answer(self, id: Option<RequestId>, in_flight: &InFlight) -> Value {
        #[derive(Serialize)]
        struct Said {
            code: ErrorCode,
            message: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<Value>,
        }
        let Self { code, message, data } = self;
        let id = id.filter(|id| !in_flight.holds(id)).map(RequestId::into_json_value);
        json!({"jsonrpc": "2.0", "id": id, "error": Said { code, message, data }})
    }
}
