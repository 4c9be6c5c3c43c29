//! Lines in, lines out: the library's transport on two streams, with the check in front of it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rmcp::{
    RoleServer,
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::Transport,
};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::Mutex as AsyncMutex,
};

use super::{
    Gathered, Gathering, InFlight, Passed, Verdict, answered, check, opens, too_long, unreadable,
};

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
        let lines = Lines { input: BufReader::new(input), gathering: Gathering::default() };
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

    /// The message in a line, if it is for the library.
    fn message(&mut self, line: &[u8]) -> Option<ClientJsonRpcMessage> {
        if line.iter().all(u8::is_ascii_whitespace) { None } else { self.pass(line) }
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
            match self.lines.next().await? {
                Gathered::Whole(line) => {
                    let message = self.message(&line);
                    self.lines.gathering.reuse(line);
                    if message.is_some() {
                        return message;
                    }
                }
                Gathered::TooLong(id) => {
                    let answer = too_long(id, &self.in_flight());
                    self.refuse(&answer);
                }
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.writer.lock().await.output = None;
        Ok(())
    }
}

fn line_of(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// The input, line by line.
struct Lines<R> {
    input: BufReader<R>,
    gathering: Gathering,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads on to the end of the line. Whoever stops waiting for this may call it again.
    async fn next(&mut self) -> Option<Gathered> {
        loop {
            let bytes = match self.input.fill_buf().await {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::error!(%error, "the client's messages cannot be read");
                    return None;
                }
            };
            if bytes.is_empty() {
                return self.gathering.last();
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            self.gathering.feed(&bytes[..end.unwrap_or(bytes.len())]);
            let used = end.map_or(bytes.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                return Some(self.gathering.take());
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
