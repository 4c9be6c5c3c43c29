//! Durable payments per second through the engine, beside the floor and two databases.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use pettycash::{clock::instant, policy::names::Handle};
use tokio::task::JoinSet;

use crate::{
    Scale,
    group::{Group, Payment},
    house::{House, call_id, handle},
    place::Place,
    raw::Raw,
    rivals::{Redb, Sqlite},
    stats::{Rounds, count, micros, percentile},
    table::{Table, Target},
};

/// How many pay at once, and what part of the floor's speed is asked for.
const CALLERS: [(usize, f64); 3] = [(1, 0.9), (16, 0.8), (256, 0.3)];
/// Whose money they spend: one agent's, or each of these in turn.
const AGENTS: [usize; 2] = [1, 256];
/// From how many callers on the slowest answers are looked at, and how much slower they may be.
const TAIL: (usize, f64) = (256, 10.0);
/// How many payments say how long a record is.
const MEASURED: u64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Pettycash,
    Raw,
    Redb,
    Sqlite,
}

const ALL: [Who; 4] = [Who::Raw, Who::Pettycash, Who::Redb, Who::Sqlite];

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Pettycash => "pettycash",
            Self::Raw => "raw append + `fdatasync`",
            Self::Redb => "redb",
            Self::Sqlite => "SQLite (WAL, FULL)",
        }
    }
}

/// What all rounds of one engine came to.
#[derive(Default)]
struct Runs {
    rate: Rounds,
    p50: Rounds,
    p99: Rounds,
}

/// One round of one engine.
pub(crate) struct Run {
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    p99: f64,
}

pub(crate) async fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let record = record_bytes().await?;
    let entry: Arc<[u8]> = vec![b'x'; record].into();
    let floor = format!(
        "Through `Engine::call` on the IOU rail. The floor: the same {record} bytes a payment \
         appended to a preallocated file, all waiting callers in one write and one `fdatasync`, \
         keys and counters in memory. {} rounds of {:?} each, one after the other; medians, least \
         and most.",
        scale.rounds, scale.stretch
    );
    let columns =
        ["callers", "agents", "", "payments/s", "of the floor", "p50 µs", "p99 µs", "target"];
    table.part("Durable payments", &floor, &columns);
    // One file for the floor, made once, so that its zeros are written long before they count.
    let preallocated = Place::new()?;
    for (callers, least) in CALLERS {
        for agents in AGENTS {
            let mut runs: BTreeMap<Who, Runs> = BTreeMap::new();
            for round in 0..scale.rounds {
                // Each round begins with another, for a disk that was just busy may be slower.
                for turn in 0..ALL.len() {
                    let who = ALL[(round + turn) % ALL.len()];
                    let load = Load { callers, agents, time: scale.stretch };
                    let run = one(who, load, &entry, &preallocated).await;
                    let Run { rate, p50, p99 } = run.with_context(|| who.name())?;
                    eprintln!("{round} {callers}/{agents} {}: {rate:.0}/s", who.name());
                    let runs = runs.entry(who).or_default();
                    runs.rate.push(rate);
                    runs.p50.push(p50);
                    runs.p99.push(p99);
                }
            }
            say(table, (callers, least), agents, &runs)?;
        }
    }
    Ok(())
}

fn say(
    table: &mut Table,
    (callers, least): (usize, f64),
    agents: usize,
    runs: &BTreeMap<Who, Runs>,
) -> Result<()> {
    let floor = runs.get(&Who::Raw).context("no floor")?;
    for who in ALL {
        let Runs { rate, p50, p99 } = runs.get(&who).context("no run")?;
        let ratio = rate.over(&floor.rate);
        let mut target = String::new();
        if who == Who::Pettycash {
            let what = format!("payments, {callers} callers, {agents} agents");
            target = table.judge(&what, ratio.median(), Target::AtLeast(least));
            let (from, most) = TAIL;
            if callers >= from {
                let tail = p99.over(&floor.p99).median();
                let judged = table.judge(&format!("p99 of {what}"), tail, Target::AtMost(most));
                target = format!("{target}; p99 {tail:.1} times the floor's, {judged}");
            }
        }
        table.row(&[
            callers.to_string(),
            agents.to_string(),
            who.name().to_owned(),
            count(rate.median()),
            if who == Who::Raw { "1".to_owned() } else { ratio.spread(2) },
            format!("{:.0}", p50.median()),
            count(p99.median()),
            target,
        ]);
    }
    Ok(())
}

/// How long the record of one payment is, header and all.
async fn record_bytes() -> Result<usize> {
    let place = Place::new()?;
    let house = House::open(place.path()).await?;
    house.furnish(1).await?;
    let agent = handle(0)?;
    house.pay(&agent, Some(call_id(0, 0)?)).await?;
    let start = house.end().await?;
    for number in 0..MEASURED {
        house.pay(&agent, Some(call_id(0, number + 1)?)).await?;
    }
    let grown = house.end().await? - start;
    house.engine.close().await;
    Ok(usize::try_from(grown / MEASURED)?)
}

/// Who pays how, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) callers: usize,
    pub(crate) agents: usize,
    pub(crate) time: Duration,
}

/// Whoever is paid through.
pub(crate) enum Payer {
    House { house: House, agents: Vec<Handle> },
    Group { group: Group, entry: Arc<[u8]> },
}

impl Payer {
    async fn open(who: Who, load: Load, entry: &Arc<[u8]>, place: &Place) -> Result<Self> {
        let file = place.path().join("file");
        let group = match who {
            Who::Pettycash => {
                let house = House::open(place.path()).await?;
                house.furnish(load.agents).await?;
                let agents = (0..load.agents).map(handle).collect::<Result<_>>()?;
                return Ok(Self::House { house, agents });
            }
            Who::Raw => Group::start(Raw::open(&file, load.agents)?),
            Who::Redb => Group::start(Redb::open(&file)?),
            Who::Sqlite => Group::start(Sqlite::open(&file)?),
        };
        Ok(Self::Group { group, entry: Arc::clone(entry) })
    }

    async fn pay(&self, caller: usize, agent: usize, number: u64) -> Result<()> {
        match self {
            Self::House { house, agents } => {
                house.pay(&agents[agent], Some(call_id(caller, number)?)).await
            }
            Self::Group { group, entry } => {
                let key = ((caller as u128) << 64) | u128::from(number);
                let (agent, entry) = (u32::try_from(agent)?, Arc::clone(entry));
                group.pay(Payment { agent, key, entry }).await
            }
        }
    }

    pub(crate) async fn close(self) -> Result<()> {
        match self {
            Self::House { house, .. } => house.engine.close().await,
            Self::Group { group, .. } => group.finish()?,
        }
        Ok(())
    }
}

async fn one(who: Who, load: Load, entry: &Arc<[u8]>, preallocated: &Place) -> Result<Run> {
    let fresh = Place::new()?;
    let place = if who == Who::Raw { preallocated } else { &fresh };
    let payer = Arc::new(Payer::open(who, load, entry, place).await?);
    let run = callers(load, &payer).await;
    let payer = Arc::into_inner(payer).context("a caller is still there")?;
    // What broke the keeper says more than that its callers were left alone.
    payer.close().await?;
    run
}

/// Has each caller pay, one payment after the other, until the time is up.
pub(crate) async fn callers(load: Load, payer: &Arc<Payer>) -> Result<Run> {
    let mut tasks = JoinSet::new();
    let start = instant();
    for caller in 0..load.callers {
        let payer = Arc::clone(payer);
        tasks.spawn(async move {
            let mut took = Vec::new();
            for number in 0.. {
                let began = instant();
                if began.duration_since(start) >= load.time {
                    break;
                }
                let turn = usize::try_from(number)?;
                let agent = (caller + turn * load.callers) % load.agents;
                payer.pay(caller, agent, number).await?;
                took.push(micros(began.elapsed()));
            }
            anyhow::Ok(took)
        });
    }
    let (mut took, mut broken) = (Vec::new(), None);
    while let Some(done) = tasks.join_next().await {
        match done? {
            Ok(mut more) => took.append(&mut more),
            Err(error) => broken = Some(error),
        }
    }
    if let Some(error) = broken {
        return Err(error);
    }
    let rate = took.len() as f64 / start.elapsed().as_secs_f64();
    Ok(Run { rate, p50: percentile(&mut took, 0.5), p99: percentile(&mut took, 0.99) })
}
