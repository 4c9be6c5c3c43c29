//! What a client over HTTP feels, beside a bare MCP server on the library's own HTTP; and what a
//! session holds that nobody uses.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use pettycash::clock::instant;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as Buffered},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    Scale,
    house::SERVICE,
    place::{Place, memory, program},
    raw::Preallocated,
    served::Served,
    stats::{Rounds, count, micros, percentile},
    table::{Table, Target},
};

/// What may be asked of the time of a call, of calls a second, and of a session's memory.
const BALANCE: f64 = 1.5;
const PAYMENT: f64 = 1.5;
const THROUGHPUT: f64 = 0.7;
const MEMORY: f64 = 1.3;
/// How many connections call at once where calls a second are counted.
const CONNECTIONS: usize = 64;
/// How many agents share the sessions that are idle, and how many each has.
const AGENTS: usize = 8;
/// What one sync writes, and how long its file is.
const RECORD: usize = 600;
const LENGTH: u64 = 16 * 1024 * 1024;
/// More than any answer has.
const MAX_ANSWER: usize = 1024 * 1024;

/// The server that does nothing, until it is dropped.
struct Bare {
    child: Child,
    address: SocketAddr,
}

impl Bare {
    fn start() -> Result<Self> {
        let mut command = Command::new(program("bare_http")?);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One session over one connection, which stays open.
struct Session {
    stream: Buffered<TcpStream>,
    /// The headers that every request carries.
    headers: String,
    next: u64,
}

/// Whom to call, and as whom.
#[derive(Clone)]
struct Peer {
    address: SocketAddr,
    /// A header line with its end, or nothing.
    bearer: String,
    tool: &'static str,
    arguments: Value,
    /// What is in every answer that is right.
    holds: &'static str,
}

impl Session {
    async fn open(peer: &Peer) -> Result<Self> {
        let stream = TcpStream::connect(peer.address).await?;
        stream.set_nodelay(true)?;
        let headers = format!(
            "host: {}\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\n{}",
            peer.address, peer.bearer
        );
        let mut session = Self { stream: Buffered::new(stream), headers, next: 0 };
        let client = json!({"name": "benches", "version": "1"});
        let version = "2025-11-25";
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client});
        let (head, body) = session.ask("initialize", &params).await?;
        let id = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: "));
        let id = id.with_context(|| format!("no session: {head}{body}"))?;
        let more = format!("mcp-session-id: {id}\r\nmcp-protocol-version: {version}\r\n");
        session.headers.push_str(&more);
        session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        session.read().await?;
        Ok(session)
    }

    async fn send(&mut self, message: &Value) -> Result<()> {
        let body = message.to_string();
        let head = format!("POST /mcp HTTP/1.1\r\n{}", self.headers);
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        Ok(self.stream.write_all(request.as_bytes()).await?)
    }

    /// Reads one answer: its head, in small letters but for the values, and its body.
    async fn read(&mut self) -> Result<(String, String)> {
        let mut head = String::new();
        loop {
            let from = head.len();
            ensure!(self.stream.read_line(&mut head).await? > 0, "the connection ended: {head}");
            if head[from..].trim().is_empty() {
                break;
            }
            if let Some((name, _)) = head[from..].split_once(':') {
                let name = name.to_ascii_lowercase();
                head.replace_range(from..from + name.len(), &name);
            }
        }
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
    async fn chunk(&mut self, body: &mut Vec<u8>) -> Result<usize> {
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

    async fn ask(&mut self, method: &str, params: &Value) -> Result<(String, String)> {
        self.next += 1;
        let id = self.next;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(&request).await?;
        self.read().await
    }

    /// Calls the peer's tool once.
    async fn call(&mut self, peer: &Peer) -> Result<Duration> {
        let params = json!({"name": peer.tool, "arguments": peer.arguments});
        let began = instant();
        let (head, body) = self.ask("tools/call", &params).await?;
        let took = began.elapsed();
        ensure!(body.contains(peer.holds), "not what was asked for: {head}{body}");
        Ok(took)
    }
}

pub(crate) async fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let served = Served::listening()?;
    served.furnish(AGENTS).await?;
    let bare = Bare::start()?;
    let ours = |bearer: String, tool, arguments, holds| {
        anyhow::Ok(Peer { address: served.address()?, bearer, tool, arguments, holds })
    };
    let bearer = served.bearer(0).await?;
    let balance = ours(bearer.clone(), "get_balance", json!({}), "\"active\"")?;
    let payment = json!({"service_id": SERVICE});
    let payment = ours(bearer, "pay_for_api_call", payment, "\"paid\"")?;
    let nothing = Peer {
        address: bare.address,
        bearer: String::new(),
        tool: "nothing",
        arguments: json!({}),
        holds: "isE",
    };
    let floor = format!(
        "Sessions of 2025-11-25 on connections that stay open; answers in plain JSON, \
         `TCP_NODELAY` on both sides. p50 of {} calls in each of {} rounds, and calls a second of \
         {CONNECTIONS} connections. The floor: a bare rmcp server behind `axum::serve` whose one \
         tool does nothing, without tokens; for a payment also one `fdatasync` of {RECORD} bytes.",
        scale.calls, scale.rounds
    );
    table.part("Over HTTP", &floor, &["", "pettycash", "floor", "ratio", "target"]);
    latency(scale, table, [&nothing, &balance, &payment]).await?;
    throughput(scale, table, &nothing, &balance).await?;
    idle(scale, table, &served, &bare, &nothing).await?;
    served.stop()
}

async fn p50(session: &mut Session, peer: &Peer, calls: usize) -> Result<f64> {
    let mut took = Vec::with_capacity(calls);
    for _ in 0..calls {
        took.push(micros(session.call(peer).await?));
    }
    Ok(percentile(&mut took, 0.5))
}

async fn latency(scale: &Scale, table: &mut Table, peers: [&Peer; 3]) -> Result<()> {
    let place = Place::new()?;
    let mut file = Preallocated::make(&place.path().join("file"), LENGTH)?;
    let record = vec![b'x'; RECORD];
    let [nothing, balance, payment] = peers;
    let (mut bare, mut ours) = (Session::open(nothing).await?, Session::open(balance).await?);
    let mut felt: [Rounds; 4] = Default::default();
    // The first round is for everything to be where it is needed.
    for round in 0..=scale.rounds {
        let mut syncs = Vec::with_capacity(scale.calls);
        for _ in 0..scale.calls {
            let began = instant();
            file.append(&record)?;
            syncs.push(micros(began.elapsed()));
        }
        let took = [
            p50(&mut bare, nothing, scale.calls).await?,
            p50(&mut ours, balance, scale.calls).await?,
            p50(&mut ours, payment, scale.calls).await?,
            percentile(&mut syncs, 0.5),
        ];
        eprintln!("bare, balance, payment, sync: {took:.0?} µs");
        if round > 0 {
            felt.iter_mut().zip(took).for_each(|(rounds, took)| rounds.push(took));
        }
    }
    let [bare, balance, payment, sync] = felt;
    row(table, "`get_balance`, µs", (&balance, &bare), Target::AtMost(BALANCE));
    row(table, "a payment, µs", (&payment, &bare.plus(&sync)), Target::AtMost(PAYMENT));
    Ok(())
}

fn row(table: &mut Table, what: &str, (ours, floor): (&Rounds, &Rounds), target: Target) {
    let ratio = ours.over(floor);
    let judged = table.judge(&format!("over HTTP: {what}"), ratio.median(), target);
    let (ours, floor) = (ours.spread(1), floor.spread(1));
    table.row(&[what.to_owned(), ours, floor, ratio.spread(2), judged]);
}

/// Calls a second of many connections at once.
async fn rate(peer: &Peer, time: Duration) -> Result<f64> {
    let mut tasks = JoinSet::new();
    let mut sessions = Vec::new();
    for _ in 0..CONNECTIONS {
        sessions.push(Session::open(peer).await?);
    }
    let began = instant();
    for mut session in sessions {
        let peer = peer.clone();
        tasks.spawn(async move {
            let mut calls = 0_u32;
            while began.elapsed() < time {
                session.call(&peer).await?;
                calls += 1;
            }
            anyhow::Ok(calls)
        });
    }
    let mut calls = 0_u32;
    while let Some(done) = tasks.join_next().await {
        calls += done??;
    }
    Ok(f64::from(calls) / began.elapsed().as_secs_f64())
}

async fn throughput(scale: &Scale, table: &mut Table, bare: &Peer, ours: &Peer) -> Result<()> {
    let (mut floor, mut rates) = (Rounds::default(), Rounds::default());
    for _ in 0..scale.rounds {
        floor.push(rate(bare, scale.stretch).await?);
        rates.push(rate(ours, scale.stretch).await?);
    }
    let ratio = rates.over(&floor);
    let what = format!("`get_balance` a second, {CONNECTIONS} connections");
    let judged = table.judge(&what, ratio.median(), Target::AtLeast(THROUGHPUT));
    let (ours, floor) = (count(rates.median()), count(floor.median()));
    table.row(&[what, ours, floor, ratio.spread(2), judged]);
    Ok(())
}

/// What a process holds more with so many idle sessions, in KiB for each. The connections they
/// came by are closed.
async fn held(pid: u32, peers: &[Peer], each: usize) -> Result<f64> {
    // What the first few take once for all is not theirs.
    for peer in peers {
        Session::open(peer).await?;
    }
    let before = memory(pid)?.own;
    for _ in 0..each {
        for peer in peers {
            Session::open(peer).await?;
        }
    }
    let held = memory(pid)?.own.saturating_sub(before);
    Ok(held as f64 / 1024.0 / (each * peers.len()) as f64)
}

async fn idle(
    scale: &Scale,
    table: &mut Table,
    served: &Served,
    bare: &Bare,
    nothing: &Peer,
) -> Result<()> {
    let mut peers = Vec::new();
    for agent in 0..AGENTS {
        let bearer = served.bearer(agent).await?;
        peers.push(Peer { address: served.address()?, bearer, ..nothing.clone() });
    }
    let each = scale.idle / AGENTS;
    let ours = held(served.pid(), &peers, each).await?;
    let floor = held(bare.child.id(), &vec![nothing.clone(); AGENTS], each).await?;
    let what = format!("memory of an idle session, KiB (of {})", each * AGENTS);
    let judged = table.judge(&what, ours / floor, Target::AtMost(MEMORY));
    let ratio = format!("{:.2}", ours / floor);
    table.row(&[what, format!("{ours:.1}"), format!("{floor:.1}"), ratio, judged]);
    Ok(())
}
