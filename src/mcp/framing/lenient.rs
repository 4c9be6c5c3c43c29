//! Finds the id of a line that cannot be read as a whole, so that its sender can match the answer.

use rmcp::model::RequestId;

use super::{MAX_ID, is_id};

/// The longest id as it may be written: each byte as `\u00xx`, and two quotes.
const MAX_TOKEN: usize = 6 * MAX_ID + 2;

/// The id of a line.
pub(super) fn id_of(line: &[u8]) -> Option<RequestId> {
    let mut scan = Scan::default();
    scan.feed(line);
    scan.id()
}

/// What the scan waits for.
#[derive(Debug, Default, PartialEq)]
enum Waits {
    /// The key `id`.
    #[default]
    Key,
    /// The colon behind it.
    Colon,
    /// Its value, or the rest of it.
    Value,
    /// Nothing more.
    Never,
}

/// Looks for the member `id` of the outermost object, piece by piece, and keeps no more than that.
///
/// A number that ends with the line is no id: the line was cut, and so may be the number.
#[derive(Debug, Default)]
pub(super) struct Scan {
    waits: Waits,
    depth: usize,
    in_text: bool,
    escaped: bool,
    token: Vec<u8>,
    found: Option<RequestId>,
}

impl Scan {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.waits == Waits::Never {
                return;
            }
            if self.in_text {
                self.inside_text(*byte);
            } else {
                self.outside_text(*byte);
            }
        }
    }

    pub(super) fn id(self) -> Option<RequestId> {
        self.found
    }

    fn inside_text(&mut self, byte: u8) {
        self.collect(byte);
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_text = false;
            if self.waits == Waits::Value {
                self.finish();
            } else if self.depth == 1 {
                let is_id = self.token == b"\"id\"";
                self.waits = if is_id { Waits::Colon } else { Waits::Key };
            }
        }
    }

    fn outside_text(&mut self, byte: u8) {
        let in_value = self.waits == Waits::Value;
        match byte {
            b' ' | b'\t' | b'\r' if self.token.is_empty() || !in_value => {}
            b'}' | b']' | b',' | b' ' | b'\t' | b'\r' if in_value => self.finish(),
            // Not a text, but something broken with a text behind it.
            b'"' if in_value && !self.token.is_empty() => self.waits = Waits::Never,
            b'"' => {
                self.in_text = true;
                self.token.clear();
                self.collect(byte);
            }
            b'{' | b'[' => {
                let no_object = self.depth == 0 && byte == b'[';
                if in_value || no_object {
                    self.waits = Waits::Never;
                } else if self.waits == Waits::Colon {
                    self.waits = Waits::Key;
                }
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.waits = Waits::Never;
                }
            }
            b':' if self.waits == Waits::Colon => {
                self.waits = Waits::Value;
                self.token.clear();
            }
            _ if in_value => self.collect(byte),
            _ if self.depth == 1 => self.waits = Waits::Key,
            _ => {}
        }
    }

    fn collect(&mut self, byte: u8) {
        if self.depth == 1 && self.token.len() <= MAX_TOKEN {
            self.token.push(byte);
        }
    }

    fn finish(&mut self) {
        // Not as an id at once: that takes a fraction, even one too small to be told from zero.
        self.found = if self.token.first() == Some(&b'"') {
            let text = serde_json::from_slice::<String>(&self.token).ok();
            text.filter(|text| is_id(text)).map(|text| RequestId::String(text.into()))
        } else {
            serde_json::from_slice(&self.token).ok().map(RequestId::Number)
        };
        self.waits = Waits::Never;
    }
}
