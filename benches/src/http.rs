//! What a client over HTTP feels, beside a bare MCP server on the library's own HTTP; and what a
//! session holds that nobody uses.

use std::time::Duration;

use anyhow::Result;
use pettycash::clock::instant;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    Scale,
    client::http::{Peer, Session},
    felt::{RECORD, Syncs, p50, row},
    house::SERVICE,
    place::memory,
    served::{Beside, Served},
    stats::{Rounds, count},
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

pub(crate) async fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let served = Served::listening()?;
    served.furnish(AGENTS).await?;
    let bare = Beside::start("bare_http")?;
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
        "Sessions of 2025-11-25 on connections that stay open, `TCP_NODELAY` on both sides. p50 \
         of {} calls in each of {} rounds, and calls a second of {CONNECTIONS} connections. The \
         floor: a bare rmcp server behind `axum::serve` whose one tool does nothing, without \
         tokens, which answers in a session with a stream of one event where pettycash answers in \
         plain JSON; for a payment also one `fdatasync` of {RECORD} bytes.",
        scale.calls, scale.rounds
    );
    table.part("Over HTTP", &floor, &["", "pettycash", "floor", "ratio", "target"]);
    latency(scale, table, [&nothing, &balance, &payment]).await?;
    throughput(scale, table, &nothing, &balance).await?;
    idle(scale, table, &served, &bare, &nothing).await?;
    served.stop()
}

/// The p50 of so many calls.
async fn calls(session: &mut Session, peer: &Peer, times: usize) -> Result<f64> {
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        took.push(session.call(peer).await);
    }
    p50(took)
}

async fn latency(scale: &Scale, table: &mut Table, peers: [&Peer; 3]) -> Result<()> {
    let mut syncs = Syncs::new()?;
    let [nothing, balance, payment] = peers;
    let (mut bare, mut ours) = (Session::open(nothing).await?, Session::open(balance).await?);
    let mut felt: [Rounds; 4] = Default::default();
    // The first round is for everything to be where it is needed.
    for round in 0..=scale.rounds {
        let took = [
            calls(&mut bare, nothing, scale.calls).await?,
            calls(&mut ours, balance, scale.calls).await?,
            calls(&mut ours, payment, scale.calls).await?,
            syncs.p50(scale.calls)?,
        ];
        eprintln!("bare, balance, payment, sync: {took:.0?} µs");
        if round > 0 {
            felt.iter_mut().zip(took).for_each(|(rounds, took)| rounds.push(took));
        }
    }
    let [bare, balance, payment, sync] = felt;
    row(table, "over HTTP", "`get_balance`, µs", (&balance, &bare), BALANCE);
    row(table, "over HTTP", "a payment, µs", (&payment, &bare.plus(&sync)), PAYMENT);
    Ok(())
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
    bare: &Beside,
    nothing: &Peer,
) -> Result<()> {
    let mut peers = Vec::new();
    for agent in 0..AGENTS {
        let bearer = served.bearer(agent).await?;
        peers.push(Peer { address: served.address()?, bearer, ..nothing.clone() });
    }
    let each = scale.idle / AGENTS;
    let ours = held(served.pid(), &peers, each).await?;
    let floor = held(bare.pid(), &vec![nothing.clone(); AGENTS], each).await?;
    let what = format!("memory of an idle session, KiB (of {})", each * AGENTS);
    let judged = table.judge(&what, ours / floor, Target::AtMost(MEMORY));
    let ratio = format!("{:.2}", ours / floor);
    table.row(&[what, format!("{ours:.1}"), format!("{floor:.1}"), ratio, judged]);
    Ok(())
}
