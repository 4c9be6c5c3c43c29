//! Events out of a stream of bytes, however it is cut.

/// The longest event, and the longest line, that is looked at, in bytes. The last event of
/// OpenAI's Responses holds the whole answer and the request's instructions and tools.
pub const MAX_EVENT: usize = 4 * 1024 * 1024;

/// Collects the data of server-sent events. It holds at most one line and one event.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    /// Whether the line or the event at hand was too long.
    long_line: bool,
    long_event: bool,
    /// Whether the last byte was a carriage return, which a line feed may still belong to.
    returned: bool,
}

/// What an event held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    /// Its data.
    Data(&'a [u8]),
    /// More than is looked at.
    TooLong,
}

impl Events {
    /// Takes more of the stream, and tells each event that it ends.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Event)) {
        if self.returned && !bytes.is_empty() {
            self.returned = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (part, rest) = bytes.split_at(at);
            self.push(part);
            self.end_line(&mut tell);
            bytes = if rest.starts_with(b"\r\n") {
                rest.get(2..).unwrap_or_default()
            } else {
                self.returned = rest == b"\r";
                rest.get(1..).unwrap_or_default()
            };
        }
        self.push(bytes);
    }

    /// Says that there is no more, and tells the event that is left. A stream that was cut after
    /// the vendor's last word is as good as a whole one.
    pub(super) fn finish(&mut self, mut tell: impl FnMut(Event)) {
        self.end_line(&mut tell);
        self.end_event(&mut tell);
    }

    fn push(&mut self, part: &[u8]) {
        self.long_line |= self.line.len().saturating_add(part.len()) > MAX_EVENT;
        if self.long_line {
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn end_line(&mut self, tell: &mut impl FnMut(Event)) {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.long_line) {
            self.long_event = true;
        } else if line.is_empty() {
            self.end_event(tell);
        } else if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            self.long_event |= self.data.len().saturating_add(data.len()) > MAX_EVENT;
            if self.long_event {
                self.data = Vec::new();
            } else {
                // Lines of one event are joined by an end of line; in JSON that is a space.
                self.data.push(b'\n');
                self.data.extend_from_slice(data);
            }
        }
        self.line = line;
        self.line.clear();
    }

    fn end_event(&mut self, tell: &mut impl FnMut(Event)) {
        if std::mem::take(&mut self.long_event) {
            tell(Event::TooLong);
        } else if !self.data.is_empty() {
            tell(Event::Data(&self.data));
        }
        self.data.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Events, MAX_EVENT};

    /// However long its lines and events, no more of a stream is kept than the bound allows; the
    /// rest is what a growing buffer takes ahead.
    #[test]
    fn what_is_kept_of_a_stream_does_not_grow_with_it() {
        let most = 4 * MAX_EVENT;
        let text = "x".repeat(60_000);
        for piece in [text.clone(), format!("data: {text}\n")] {
            let mut events = Events::default();
            let mut ended = 0;
            for _ in 0..10 * MAX_EVENT / piece.len() {
                events.feed(piece.as_bytes(), |_| ended += 1);
                let kept = events.line.capacity() + events.data.capacity();
                assert!(kept <= most, "{kept} bytes");
            }
            events.finish(|_| ended += 1);
            assert_eq!(ended, 1);
        }
    }
}
