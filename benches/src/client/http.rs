//! A client over HTTP, one request after the other on one connection.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use pettycash::clock::instant;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as Buffered},
    net::TcpStream,
};

use super::{Said, VERSION, ready};

/// More than any answer has.
const MAX_ANSWER: usize = 1024 * 1024;

/// One connection, which stays open.
pub(crate) struct Connection {
    stream: Buffered<TcpStream>,
    /// The headers that every request carries.
    headers: String,
}

/// One session over one connection.
pub(crate) struct Session {
    connection: Connection,
    said: Said,
}

/// Whom to call, and as whom.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// A header line with its end, or nothing.
    pub(crate) bearer: String,
    pub(crate) tool: &'static str,
    pub(crate) arguments: Value,
    /// What is in every answer that is right.
    pub(crate) holds: &'static str,
}

impl Connection {
    /// To there, with so many header lines on each request beside those that all have.
    pub(crate) async fn open(address: SocketAddr, headers: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let usual = format!("host: {address}\r\ncontent-type: application/json\r\n{headers}");
        Ok(Self { stream: Buffered::new(stream), headers: usual })
    }

    pub(crate) async fn send(&mut self, path: &str, body: &Value) -> Result<()> {
        let body = body.to_string();
        let head = format!("POST {path} HTTP/1.1\r\n{}", self.headers);
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        Ok(self.stream.write_all(request.as_bytes()).await?)
    }

    /// Reads the head of an answer, in small letters but for the values.
    pub(crate) async fn head(&mut self) -> Result<String> {
        let mut head = String::new();
        loop {
            let from = head.len();
            ensure!(self.stream.read_line(&mut head).await? > 0, "the connection ended: {head}");
            if head[from..].trim().is_empty() {
                return Ok(head);
            }
            if let Some((name, _)) = head[from..].split_once(':') {
                let name = name.to_ascii_lowercase();
                head.replace_range(from..from + name.len(), &name);
            }
        }
    }

    /// Reads one answer: its head and its body.
    pub(crate) async fn read(&mut self) -> Result<(String, String)> {
        let head = self.head().await?;
        let mut body = Vec::new();
        if head.contains("transfer-encoding: chunked") {
            while self.chunk(&mut body).await? > 0 {}
        } else {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            self.bytes(length.map_or(Ok(0), str::parse)?, &mut body).await?;
        }
        Ok((head, String::from_utf8(body)?))
    }

    /// Reads one chunk of a body, and the line end behind it; the last one is empty.
    pub(crate) async fn chunk(&mut self, body: &mut Vec<u8>) -> Result<usize> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let length = usize::from_str_radix(line.trim(), 16)?;
        self.bytes(length, body).await?;
        self.bytes(2, &mut Vec::new()).await?;
        Ok(length)
    }

    async fn bytes(&mut self, length: usize, body: &mut Vec<u8>) -> Result<()> {
        let from = body.len();
        ensure!(from.saturating_add(length) <= MAX_ANSWER, "an answer of {length} bytes");
        body.resize(from + length, 0);
        self.stream.read_exact(&mut body[from..]).await?;
        Ok(())
    }
}

impl Session {
    pub(crate) async fn open(peer: &Peer) -> Result<Self> {
        let headers = format!("accept: application/json, text/event-stream\r\n{}", peer.bearer);
        let connection = Connection::open(peer.address, &headers).await?;
        let mut session = Self { connection, said: Said::default() };
        let hello = session.said.hello();
        let (head, body) = session.ask(&hello).await?;
        let id = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: "));
        let id = id.with_context(|| format!("no session: {head}{body}"))?;
        let more = format!("mcp-session-id: {id}\r\nmcp-protocol-version: {VERSION}\r\n");
        session.connection.headers.push_str(&more);
        session.ask(&ready()).await?;
        Ok(session)
    }

    async fn ask(&mut self, request: &Value) -> Result<(String, String)> {
        self.connection.send("/mcp", request).await?;
        self.connection.read().await
    }

    /// Calls the peer's tool once.
    pub(crate) async fn call(&mut self, peer: &Peer) -> Result<Duration> {
        let request = self.said.call(peer.tool, &peer.arguments);
        let began = instant();
        let (head, body) = self.ask(&request).await?;
        let took = began.elapsed();
        ensure!(body.contains(peer.holds), "not what was asked for: {head}{body}");
        Ok(took)
    }
}
