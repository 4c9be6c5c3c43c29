//! What a client of `pettycash mcp` feels, beside a bare MCP server; and what the processes hold.

use std::process::Command;

use anyhow::Result;
use serde_json::json;

use crate::{
    Scale,
    client::lines::Session,
    felt::{RECORD, Syncs, p50, row},
    house::SERVICE,
    place::{Memory, memory, program},
    served::Served,
    stats::{Rounds, bytes, micros, percentile},
    table::{Table, Target},
};

/// What may be asked of the time of a call, of a payment, of a start, and of memory.
const BALANCE: f64 = 2.5;
const PAYMENT: f64 = 1.5;
const START: f64 = 3.0;
const MEMORY: f64 = 1.3;
/// The most that `serve` may hold with this many agents, in MB.
const SERVE_MB: f64 = 40.0;
const AGENTS: usize = 1_000;
/// How often each agent has paid by then.
const PAID: usize = 3;

/// The p50 of every round.
#[derive(Default)]
struct Felt {
    bare: Rounds,
    sync: Rounds,
    balance: Rounds,
    payment: Rounds,
}

pub(crate) async fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let served = Served::start()?;
    served.furnish(AGENTS).await?;
    served.pay(AGENTS, PAID).await?;
    let held = memory(served.pid())?.resident;
    eprintln!("serve with {AGENTS} agents: {}", bytes(held));

    let floor = format!(
        "One client writing lines over pipes, one call at a time, p50 of {} calls in each of {} \
         rounds. The floor: a bare rmcp server on its own `stdio()` whose one tool does nothing; \
         for a payment also one `fdatasync` of {RECORD} bytes on a preallocated file. `serve` is \
         up, with {AGENTS} agents of {PAID} payments each.",
        scale.calls, scale.rounds
    );
    table.part("Over stdio", &floor, &["", "pettycash", "floor", "ratio", "target"]);
    let felt = calls(scale, &served)?;
    row(table, "over stdio", "`get_balance`, µs", (&felt.balance, &felt.bare), BALANCE);
    let floor = felt.bare.plus(&felt.sync);
    row(table, "over stdio", "a payment, µs", (&felt.payment, &floor), PAYMENT);
    let (ours, bare) = starts(scale, &served)?;
    row(table, "over stdio", "exec to `initialize` answered, ms", (&ours, &bare), START);
    let Held { resident: (ours, bare), own } = held_by_each(scale, &served)?;
    row(table, "over stdio", "memory of the MCP server, MiB", (&ours, &bare), MEMORY);
    let (ours, bare) = own;
    let what = "of it its own, the rest is the program, shared with `serve`".to_owned();
    let ratio = ours.over(&bare).spread(2);
    table.row(&[what, ours.spread(1), bare.spread(1), ratio, String::new()]);
    let held = held as f64 / 1e6;
    let what = format!("memory of `serve`, {AGENTS} agents, MB");
    let judged = table.judge(&what, held, Target::AtMost(SERVE_MB));
    table.row(&[what, format!("{held:.1}"), String::new(), String::new(), judged]);
    served.stop()
}

fn bare() -> Result<Command> {
    Ok(Command::new(program("bare")?))
}

fn calls(scale: &Scale, served: &Served) -> Result<Felt> {
    let mut syncs = Syncs::new()?;
    let (mut bare, _) = Session::start(&mut bare()?)?;
    let (mut ours, _) = Session::start(&mut served.mcp(0)?)?;
    let (nothing, payment) = (json!({}), json!({"service_id": SERVICE}));
    let mut felt = Felt::default();
    // The first round is for everything to be where it is needed.
    for round in 0..=scale.rounds {
        let times = 0..scale.calls;
        let bare = p50(times.clone().map(|_| bare.call("nothing", &nothing, "isE")))?;
        let balance = times.clone().map(|_| ours.call("get_balance", &nothing, "\"active\""));
        let balance = p50(balance)?;
        let payment = times.map(|_| ours.call("pay_for_api_call", &payment, "\"paid\""));
        let payment = p50(payment)?;
        let sync = syncs.p50(scale.calls)?;
        eprintln!("bare {bare:.0} balance {balance:.0} payment {payment:.0} sync {sync:.0} µs");
        if round > 0 {
            felt.bare.push(bare);
            felt.balance.push(balance);
            felt.payment.push(payment);
            felt.sync.push(sync);
        }
    }
    Ok(felt)
}

/// How long it takes from the start of the process until `initialize` is answered, in ms.
fn starts(scale: &Scale, served: &Served) -> Result<(Rounds, Rounds)> {
    let started = |mut command: Command| anyhow::Ok(micros(Session::start(&mut command)?.1) / 1e3);
    let (mut ours, mut floor) = (Rounds::default(), Rounds::default());
    for _ in 0..scale.rounds {
        // In turn, so that whatever else the machine does falls on both.
        let (mut mcp, mut none) = (Vec::new(), Vec::new());
        for _ in 0..scale.starts {
            none.push(started(bare()?)?);
            mcp.push(started(served.mcp(0)?)?);
        }
        ours.push(percentile(&mut mcp, 0.5));
        floor.push(percentile(&mut none, 0.5));
    }
    Ok((ours, floor))
}

/// What the two processes hold, in MiB: ours, and the bare one.
#[derive(Default)]
struct Held {
    resident: (Rounds, Rounds),
    own: (Rounds, Rounds),
}

/// What each process holds after some calls.
fn held_by_each(scale: &Scale, served: &Served) -> Result<Held> {
    let after_calls = |mut command: Command, tool: &str, holds: &str| {
        let (mut session, _) = Session::start(&mut command)?;
        for _ in 0..scale.calls.min(500) {
            session.call(tool, &json!({}), holds)?;
        }
        memory(session.pid())
    };
    let mib = |bytes| bytes as f64 / 1024.0 / 1024.0;
    let mut held = Held::default();
    for _ in 0..scale.rounds {
        let Memory { resident, own } = after_calls(served.mcp(0)?, "get_balance", "\"active\"")?;
        held.resident.0.push(mib(resident));
        held.own.0.push(mib(own));
        let Memory { resident, own } = after_calls(bare()?, "nothing", "isE")?;
        held.resident.1.push(mib(resident));
        held.own.1.push(mib(own));
    }
    Ok(held)
}
