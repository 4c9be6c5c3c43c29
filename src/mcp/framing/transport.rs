//! Lines in, lines out: the library's transport on two streams, with the check in front of it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rmcp::{
    RoleServer,
    model::{ClientJsonRpcMessage, RequestId, ServerJsonRpcMessage, ServerResult},
    transport::Transport,
};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::Mutex as AsyncMutex,
};

use super::{InFlight, MAX_LINE, Passed, Verdict, check, lenient::Scan, too_long, unreadable};

/// A session's two streams.
pub(in crate::mcp) struct Framed<R, W> {
    lines: Lines<R>,
    writer: Arc<AsyncMutex<Writer<W>>>,
    in_flight: Mutex<InFlight>,
    /// A refusal of ours that still has to be handed to the writer.
    unsaid: Option<Vec<u8>>,
    /// One that has been, but may not have gone out.
    unsent: bool,
    /// The session has begun. Until then the library takes whatever is no request for a reason to
    /// end.
    opened: bool,
}

impl<R: AsyncRead + Send + Unpin, W: AsyncWrite + Send + Unpin + 'static> Framed<R, W> {
    pub(in crate::mcp) fn new(input: R, output: W) -> Self {
        let lines = Lines { input: BufReader::new(input), line: Vec::new(), skipped: None };
        let writer = Writer { output: Some(output), queued: Vec::new(), sent: 0 };
        Self {
            lines,
            writer: Arc::new(AsyncMutex::new(writer)),
            in_flight: Mutex::default(),
            unsaid: None,
            unsent: false,
            opened: false,
        }
    }

    fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&mut self, answer: &Value) {
        tracing::debug!(error = %answer["error"]["message"], "a line was refused");
        self.unsaid = line_of(answer).ok();
    }

    /// Writes what has been refused, before more is read: a client that does not read its answers
    /// is not read either. Whoever stops waiting for this may call it again.
    async fn say(&mut self) -> io::Result<()> {
        if self.unsaid.is_none() && !self.unsent {
            return Ok(());
        }
        let mut writer = self.writer.lock().await;
        if let Some(line) = self.unsaid.take() {
            self.unsent = true;
            writer.queued.extend_from_slice(&line);
        }
        writer.drain().await?;
        self.unsent = false;
        Ok(())
    }

    /// The message in the line that was just read, if it is for the library.
    fn message(&mut self) -> Option<ClientJsonRpcMessage> {
        let line = std::mem::take(&mut self.lines.line);
        let message =
            if line.iter().all(u8::is_ascii_whitespace) { None } else { self.pass(&line) };
        self.lines.line = line;
        self.lines.line.clear();
        message
    }

    fn pass(&mut self, line: &[u8]) -> Option<ClientJsonRpcMessage> {
        let verdict = check(line, &self.in_flight());
        let passed = match verdict {
            Verdict::Pass(passed) => passed,
            Verdict::Answer(answer) => {
                self.refuse(&answer);
                return None;
            }
            Verdict::Drop => return None,
        };
        match (serde_json::from_slice(line), passed) {
            (Ok(message), Passed::Request(id)) => {
                self.in_flight().begin(id);
                Some(message)
            }
            (Err(_), Passed::Request(id)) => {
                let answer = unreadable(id, &self.in_flight());
                self.refuse(&answer);
                None
            }
            (Ok(message), Passed::Cancel(id)) if self.opened => {
                self.in_flight().cancel(id);
                Some(message)
            }
            (Ok(message), Passed::Other) if self.opened => Some(message),
            (_, Passed::Cancel(_) | Passed::Other) => None,
        }
    }
}

impl<R, W> Transport<RoleServer> for Framed<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    /// An id is free again before its answer is seen, so that no client is too fast.
    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        if let Some(id) = answered(&message) {
            self.in_flight().end(id);
        }
        self.opened |= opens(&message);
        let line = line_of(&message);
        let writer = Arc::clone(&self.writer);
        async move {
            let line = line?;
            let mut writer = writer.lock().await;
            writer.queued.extend_from_slice(&line);
            writer.drain().await
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            self.say().await.ok()?;
            match self.lines.next().await {
                Read::Line => {
                    if let Some(message) = self.message() {
                        return Some(message);
                    }
                }
                Read::TooLong(id) => {
                    let answer = too_long(id, &self.in_flight());
                    self.refuse(&answer);
                }
                Read::End => return None,
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.writer.lock().await.output = None;
        Ok(())
    }
}

/// The request that a message of ours answers.
fn answered(message: &ServerJsonRpcMessage) -> Option<&RequestId> {
    match message {
        ServerJsonRpcMessage::Response(response) => Some(&response.id),
        ServerJsonRpcMessage::Error(error) => error.id.as_ref(),
        ServerJsonRpcMessage::Request(_) | ServerJsonRpcMessage::Notification(_) => None,
    }
}

/// Whether a message shows that the session has begun: a ping or a question for the versions may
/// come before.
fn opens(message: &ServerJsonRpcMessage) -> bool {
    let ServerJsonRpcMessage::Response(response) = message else { return false };
    !matches!(response.result, ServerResult::EmptyResult(_) | ServerResult::DiscoverResult(_))
}

fn line_of(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// What was read.
enum Read {
    /// A whole line, or what stood after the last one.
    Line,
    /// The end of a line that was too long to be kept, and its id.
    TooLong(Option<RequestId>),
    /// Nothing more will come.
    End,
}

/// The input, line by line.
struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    /// The line is too long: all that is kept of it.
    skipped: Option<Scan>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads on to the end of the line. Whoever stops waiting for this may call it again.
    async fn next(&mut self) -> Read {
        loop {
            let bytes = match self.input.fill_buf().await {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::error!(%error, "the client's messages cannot be read");
                    return Read::End;
                }
            };
            if bytes.is_empty() {
                let at_end = if self.line.is_empty() { Read::End } else { Read::Line };
                return self.skipped.take().map_or(at_end, |scan| Read::TooLong(scan.id()));
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            let used = end.map_or(bytes.len(), |end| end + 1);
            if self.skipped.is_none() && self.line.len() + piece.len() > MAX_LINE {
                self.skipped.insert(Scan::default()).feed(&self.line);
                self.line.clear();
            }
            match &mut self.skipped {
                Some(scan) => scan.feed(piece),
                None => self.line.extend_from_slice(piece),
            }
            self.input.consume(used);
            if end.is_some() {
                return self.skipped.take().map_or(Read::Line, |scan| Read::TooLong(scan.id()));
            }
        }
    }
}

/// The output, and what still has to go out. No piece of a line is lost or written twice when
/// whoever waited for it stops waiting.
struct Writer<W> {
    output: Option<W>,
    queued: Vec<u8>,
    sent: usize,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    async fn drain(&mut self) -> io::Result<()> {
        let Some(output) = &mut self.output else { return Err(io::ErrorKind::NotConnected.into()) };
        while self.sent < self.queued.len() {
            match output.write(&self.queued[self.sent..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.sent += written,
            }
        }
        self.queued.clear();
        self.sent = 0;
        output.flush().await
    }
}
