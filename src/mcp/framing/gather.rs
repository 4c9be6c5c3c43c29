//! A message that comes in pieces, of which no more is kept than one may be long.

use rmcp::model::RequestId;

use super::{MAX_LINE, lenient::Scan};

/// The pieces of one message so far.
#[derive(Debug, Default)]
pub struct Gathering {
    line: Vec<u8>,
    /// The message is too long: all that is kept of it.
    skipped: Option<Scan>,
}

/// A message whose end has come.
#[derive(Debug)]
pub enum Gathered {
    /// All of it.
    Whole(Vec<u8>),
    /// It was too long to be kept; its id.
    TooLong(Option<RequestId>),
}

impl Gathering {
    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.skipped.is_none() && self.line.len() + piece.len() > MAX_LINE {
            self.skipped.insert(Scan::default()).feed(&self.line);
            self.line.clear();
        }
        match &mut self.skipped {
            Some(scan) => scan.feed(piece),
            None => self.line.extend_from_slice(piece),
        }
    }

    /// What was gathered up to the end of the message.
    pub fn take(&mut self) -> Gathered {
        match self.skipped.take() {
            Some(scan) => Gathered::TooLong(scan.id()),
            None => Gathered::Whole(std::mem::take(&mut self.line)),
        }
    }

    /// What stands after the last end, if anything does.
    pub(super) fn last(&mut self) -> Option<Gathered> {
        let empty = self.line.is_empty() && self.skipped.is_none();
        (!empty).then(|| self.take())
    }

    /// Gathers the next message where this one was.
    pub(super) fn reuse(&mut self, mut line: Vec<u8>) {
        line.clear();
        self.line = line;
    }
}
