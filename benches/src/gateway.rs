//! What a call of an API through the gateway costs in time beside the same call made directly,
//! and what streams cost in throughput and memory.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use pettycash::clock::instant;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    Scale,
    client::http::Connection,
    felt::{RECORD, Syncs, p50},
    place::memory,
    served::{Beside, Served},
    stats::{Rounds, bytes, count},
    table::{Table, Target},
};

/// What the gateway may add to a call: so many syncs, and so many microseconds.
const SYNCS: f64 = 1.5;
const MORE_US: f64 = 500.0;
/// How many streams there are at once, and of what passes directly how much must pass at least.
const STREAMS: usize = 64;
const THROUGHPUT: f64 = 0.9;
/// How long a model takes for the next event: 100 a second, faster than most.
const PAUSE: Duration = Duration::from_millis(10);
/// How many bytes a long stream has more than a short one for each that memory may grow by.
const GROWTH: f64 = 0.01;
/// The service.
const SERVICE: &str = "vendor";

/// Where to ask, and with which headers.
#[derive(Clone)]
struct Way {
    address: SocketAddr,
    path: String,
    bearer: String,
}

pub(crate) async fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let vendor = Beside::start("vendor")?;
    let served = Served::listening()?;
    served.furnish(1).await?;
    served.sell(proxied(vendor.address)).await?;
    let direct =
        Way { address: vendor.address, path: "/v1/messages".into(), bearer: String::new() };
    let through = Way {
        address: served.address()?,
        path: format!("/gateway/{SERVICE}/v1/messages"),
        bearer: served.bearer(0).await?,
    };
    let floor = format!(
        "A metered call of a vendor's API on this machine, through `/gateway/` and directly, on \
         connections that stay open: the p50 of {} calls in each of {} rounds, and {STREAMS} \
         streams at once, once with {} ms between two events as a model writes them, once as fast \
         as they are taken. A sync is one `fdatasync` of {RECORD} bytes.",
        scale.calls,
        scale.rounds,
        PAUSE.as_millis()
    );
    table.part("Gateway", &floor, &["", "through it", "directly", "", "target"]);
    latency(scale, table, &direct, &through).await?;
    paced(scale, table, &direct, &through).await?;
    hurried(scale, table, &direct, &through).await?;
    growth(scale, table, &served, &through).await?;
    served.stop()
}

/// The vendor as a service.
fn proxied(address: SocketAddr) -> Value {
    json!({"id": SERVICE, "payee": "Vendor", "rail": "proxy",
        "base_url": format!("http://{address}"),
        "secret": {"command": ["echo", "what no vendor ever gave out"]},
        "headers": {"x-api-key": "{secret}"}, "allow_headers": ["x-events", "x-pause-us"],
        "max_response_bytes": 256 * 1024 * 1024,
        "operations": [{"name": "messages", "method": "POST", "path": "/v1/messages",
            "metered": "anthropic_messages"}]})
}

/// What is asked for.
fn message(stream: bool) -> Value {
    json!({"model": "claude-haiku-4-5", "max_tokens": 400, "stream": stream,
        "messages": [{"role": "user", "content": "Is this fast?"}]})
}

async fn latency(scale: &Scale, table: &mut Table, direct: &Way, through: &Way) -> Result<()> {
    let mut syncs = Syncs::new()?;
    let mut connections =
        [Connection::open(direct.address, &direct.bearer).await?, through.open("").await?];
    let (mut alone, mut ours, mut synced) =
        (Rounds::default(), Rounds::default(), Rounds::default());
    let message = message(false);
    // The first round is for everything to be where it is needed.
    for round in 0..=scale.rounds {
        let mut took = [0.0; 2];
        for ((way, connection), took) in
            [direct, through].into_iter().zip(&mut connections).zip(&mut took)
        {
            let mut calls = Vec::with_capacity(scale.calls);
            for _ in 0..scale.calls {
                let began = instant();
                connection.send(&way.path, &message).await?;
                let (head, body) = connection.read().await?;
                calls.push(Ok(began.elapsed()));
                ensure!(body.contains("Yes."), "not what was asked for: {head}{body}");
            }
            *took = p50(calls)?;
        }
        let sync = syncs.p50(scale.calls)?;
        eprintln!("directly, through the gateway, sync: {took:.0?} {sync:.0} µs");
        if round > 0 {
            let [directly, passed] = took;
            alone.push(directly);
            ours.push(passed);
            synced.push(sync);
        }
    }
    let added = ours.less(&alone);
    let allowed = SYNCS * synced.median() + MORE_US;
    let judged = table.judge("µs that the gateway adds", added.median(), Target::AtMost(allowed));
    let said = format!("+{} µs; a sync: {}", added.spread(0), synced.spread(0));
    table.row(&["a call, µs".to_owned(), ours.spread(0), alone.spread(0), said, judged]);
    Ok(())
}

impl Way {
    /// A connection whose every request carries these header lines too.
    async fn open(&self, headers: &str) -> Result<Connection> {
        Connection::open(self.address, &format!("{}{headers}", self.bearer)).await
    }

    /// Reads one stream to its end, and says how many bytes it had.
    async fn stream(&self, events: u32, pause: Duration) -> Result<u64> {
        let headers = format!("x-events: {events}\r\nx-pause-us: {}\r\n", pause.as_micros());
        let mut connection = self.open(&headers).await?;
        connection.send(&self.path, &message(true)).await?;
        let head = connection.head().await?;
        ensure!(head.starts_with("HTTP/1.1 200"), "no stream: {head}");
        let (mut all, mut chunk) = (0, Vec::new());
        loop {
            let last = chunk.len();
            chunk.clear();
            let length = connection.chunk(&mut chunk).await?;
            if length == 0 {
                ensure!(last > 0, "an empty stream");
                return Ok(all);
            }
            all += length as u64;
        }
    }

    /// Megabytes a second of so many streams at once.
    async fn rate(&self, events: u32, pause: Duration) -> Result<f64> {
        let mut streams = JoinSet::new();
        let began = instant();
        for _ in 0..STREAMS {
            let way = self.clone();
            streams.spawn(async move { way.stream(events, pause).await });
        }
        let mut all = 0;
        while let Some(done) = streams.join_next().await {
            all += done??;
        }
        Ok(all as f64 / 1e6 / began.elapsed().as_secs_f64())
    }
}

/// Both rates, in turn.
async fn rates(
    scale: &Scale,
    (direct, through): (&Way, &Way),
    events: u32,
    pause: Duration,
) -> Result<(Rounds, Rounds)> {
    let (mut floor, mut ours) = (Rounds::default(), Rounds::default());
    for _ in 0..scale.rounds {
        floor.push(direct.rate(events, pause).await?);
        ours.push(through.rate(events, pause).await?);
    }
    Ok((ours, floor))
}

fn streams(table: &mut Table, what: &str, (ours, floor): (&Rounds, &Rounds)) {
    let ratio = ours.over(floor);
    let judged = table.judge(what, ratio.median(), Target::AtLeast(THROUGHPUT));
    let (ours, floor) = (ours.spread(2), floor.spread(2));
    table.row(&[format!("{what}, MB/s"), ours, floor, ratio.spread(2), judged]);
}

async fn paced(scale: &Scale, table: &mut Table, direct: &Way, through: &Way) -> Result<()> {
    let events = u32::try_from(scale.stretch.as_millis() / PAUSE.as_millis())?;
    let (ours, floor) = rates(scale, (direct, through), events, PAUSE).await?;
    streams(table, &format!("{STREAMS} streams as a model writes"), (&ours, &floor));
    Ok(())
}

async fn hurried(scale: &Scale, table: &mut Table, direct: &Way, through: &Way) -> Result<()> {
    let events = scale.events / u32::try_from(STREAMS)?;
    let (ours, floor) = rates(scale, (direct, through), events, Duration::ZERO).await?;
    streams(table, &format!("{STREAMS} streams as fast as they go"), (&ours, &floor));
    Ok(())
}

/// How much more a process holds when a long stream has passed than when short ones have.
async fn growth(scale: &Scale, table: &mut Table, served: &Served, through: &Way) -> Result<()> {
    let mut passed = 0;
    for _ in 0..8 {
        passed = through.stream(scale.events / 64, Duration::ZERO).await?;
    }
    let before = memory(served.pid())?.own;
    let (way, events) = (through.clone(), scale.events);
    let long = tokio::spawn(async move { way.stream(events, Duration::ZERO).await });
    let mut most = before;
    while !long.is_finished() {
        most = most.max(memory(served.pid())?.own);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let longer = long.await.context("a long stream")??.saturating_sub(passed);
    let grown = most.saturating_sub(before);
    let share = grown as f64 / longer as f64;
    let what = format!("memory while a stream of {} passes", bytes(longer + passed));
    let judged = table.judge(&what, share, Target::AtMost(GROWTH));
    let said = format!("{} events", count(f64::from(scale.events)));
    table.row(&[what, format!("+{}", bytes(grown)), String::new(), said, judged]);
    Ok(())
}
