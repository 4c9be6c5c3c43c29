//! Takes the chunk with the usage out of a stream whose caller did not ask for one: many a client
//! looks for the first choice of every chunk, and that one has none.

use hyper::body::Bytes;
use serde_json::Value;

use super::events::{Event, Events, MAX_EVENT};

/// Hands a stream on event by event, all but the one that tells the usage.
///
/// It holds back no more than the event at hand. One that is longer than is looked at is handed on
/// as it comes.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    event: Vec<u8>,
    line: Line,
    /// Whether the event at hand is handed on already, for its length.
    passes: bool,
    /// Whether the one before was kept back.
    kept: bool,
}

/// What is known of the line at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// There is nothing in it.
    #[default]
    Empty,
    /// Nor in this one. The one before ended with a return, which a line feed may still belong to.
    Returned,
    /// There is something in it.
    Begun,
}

impl Sieve {
    /// Takes more of the stream, and gives what may go on.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(self.event.len().saturating_add(bytes.len()));
        let ends = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(ends) {
            let (part, from) = rest.split_at(at);
            let Some((end, after)) = from.split_first() else { break };
            self.push(part, &mut out);
            self.end_line(*end, &mut out);
            rest = after;
        }
        self.push(rest, &mut out);
        out.into()
    }

    /// There is no more: what is held back, unless it is the one.
    pub(super) fn finish(&mut self) -> Bytes {
        let mut out = Vec::new();
        self.end_event(&mut out);
        out.into()
    }

    fn push(&mut self, part: &[u8], out: &mut Vec<u8>) {
        if part.is_empty() {
            return;
        }
        self.line = Line::Begun;
        if self.passes {
            return out.extend_from_slice(part);
        }
        self.event.extend_from_slice(part);
        if self.event.len() > MAX_EVENT {
            self.passes = true;
            out.append(&mut self.event);
        }
    }

    fn end_line(&mut self, end: u8, out: &mut Vec<u8>) {
        let line = self.line;
        self.line = if end == b'\r' { Line::Returned } else { Line::Empty };
        if end == b'\n' && line == Line::Returned {
            // It belongs to whatever the return before it ended.
            match (self.event.is_empty(), self.kept) {
                (false, _) => self.event.push(end),
                (true, false) => out.push(end),
                (true, true) => {}
            }
            return;
        }
        let to = if self.passes { &mut *out } else { &mut self.event };
        to.push(end);
        if line != Line::Begun {
            self.end_event(out);
        }
    }

    fn end_event(&mut self, out: &mut Vec<u8>) {
        self.passes = false;
        let event = std::mem::take(&mut self.event);
        self.kept = tells_usage(&event);
        if !self.kept {
            out.extend_from_slice(&event);
        }
    }
}

/// Whether an event is the one that tells the usage and nothing else.
fn tells_usage(event: &[u8]) -> bool {
    let mut tells = false;
    let mut look = |event: Event| {
        if let Event::Data(data) = event {
            let chunk: Value = serde_json::from_slice(data).unwrap_or_default();
            let choices = chunk.get("choices").and_then(Value::as_array);
            let usage = chunk.get("usage").is_some_and(Value::is_object);
            tells |= usage && choices.is_none_or(Vec::is_empty);
        }
    };
    // Most events hold a few letters of the answer: those are not even parsed.
    if event.windows(USAGE.len()).any(|part| part == USAGE) {
        let mut events = Events::default();
        events.feed(event, &mut look);
        events.finish(look);
    }
    tells
}

/// What stands in the one that tells the usage.
const USAGE: &[u8] = b"\"usage\"";
