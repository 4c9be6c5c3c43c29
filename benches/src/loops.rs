//! An agent that makes one malformed call all night: what it costs in money and disk, and how the
//! others fare beside it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use pettycash::clock::instant;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    Scale,
    house::{House, SERVICE, handle},
    place::{Place, disk_bytes},
    stats::{Rounds, bytes, count, micros, percentile},
    table::{Table, Target},
};

/// How often a loop that begins in the evening has called by the morning.
const RETRIES: u64 = 4_200;
/// From which call on it is told to stop.
const STOPPED: u64 = 3;
/// How many others pay, each with an agent of its own.
const OTHERS: usize = 16;
/// The most that the disk may grow by, in MiB.
const MOST: f64 = 1.0;
/// How much of what the others pay without it they pay beside it, at least.
const LEAST: f64 = 0.8;

fn malformed() -> Value {
    json!({"service_id": SERVICE, "amount_usd": "1e3"})
}

pub(crate) async fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let floor = format!(
        "One agent makes one malformed call {RETRIES} times, and, as fast as it is answered, while \
         {OTHERS} others pay; the floor is what these pay without it."
    );
    let columns = ["", "payments/s of the others", "p99 µs", "disk grew by", "target"];
    table.part("Loop", &floor, &columns);
    let place = Place::new()?;
    let house = Arc::new(House::open(place.path()).await?);
    house.furnish(OTHERS + 1).await?;
    let (mut alone, mut beside) = (Paid::default(), Paid::default());
    for _ in 0..scale.rounds {
        alone.push(others(&house, scale.stretch).await?);
        let over = Arc::new(AtomicBool::new(false));
        let looping = tokio::spawn(looping(Arc::clone(&house), Arc::clone(&over)));
        beside.push(others(&house, scale.stretch).await?);
        over.store(true, Ordering::SeqCst);
        looping.await??;
    }
    house.engine.close().await;
    let (grown, judged) = disk(table).await?;
    let rest = beside.rate.over(&alone.rate).median();
    let undisturbed = table.judge("of what others pay", rest, Target::AtLeast(LEAST));
    let row = |what: &str, paid: &Paid, target: String| {
        let (rate, p99) = (count(paid.rate.median()), count(paid.p99.median()));
        [what.to_owned(), rate, p99, String::new(), target]
    };
    table.row(&row("without it", &alone, String::new()));
    table.row(&row("beside it", &beside, undisturbed));
    let alone = format!("{RETRIES} calls alone");
    table.row(&[alone, String::new(), String::new(), bytes(grown), judged]);
    Ok(())
}

/// What the retries leave on the disk, with nobody else there.
async fn disk(table: &mut Table) -> Result<(u64, String)> {
    let place = Place::new()?;
    let house = House::open(place.path()).await?;
    house.furnish(1).await?;
    let agent = handle(0)?;
    let balance = async || house.call("get_balance", &agent, None, json!({})).await;
    let (before, disk) = (balance().await?, disk_bytes(place.path())?);
    for nth in 1..=RETRIES {
        let answer = house.call("pay_for_api_call", &agent, None, malformed()).await?;
        let stop = answer["advice"] == "stop";
        ensure!(stop == (nth >= STOPPED), "the {nth}th: {answer}");
    }
    ensure!(balance().await? == before, "something was spent");
    house.engine.close().await;
    let grown = disk_bytes(place.path())?.saturating_sub(disk);
    let mib = grown as f64 / 1024.0 / 1024.0;
    Ok((grown, table.judge("MiB of a loop", mib, Target::AtMost(MOST))))
}

/// Goes on until it is over.
async fn looping(house: Arc<House>, over: Arc<AtomicBool>) -> Result<()> {
    let agent = handle(OTHERS)?;
    while !over.load(Ordering::SeqCst) {
        let answer = house.call("pay_for_api_call", &agent, None, malformed()).await?;
        ensure!(answer["outcome"] == "denied", "not denied: {answer}");
    }
    Ok(())
}

/// What the others paid in all rounds.
#[derive(Default)]
struct Paid {
    rate: Rounds,
    p99: Rounds,
}

impl Paid {
    fn push(&mut self, (rate, p99): (f64, f64)) {
        self.rate.push(rate);
        self.p99.push(p99);
    }
}

/// How many a second, and how long the slowest took.
async fn others(house: &Arc<House>, time: Duration) -> Result<(f64, f64)> {
    let mut tasks = JoinSet::new();
    let start = instant();
    for payer in 0..OTHERS {
        let (house, agent) = (Arc::clone(house), handle(payer)?);
        tasks.spawn(async move {
            let mut took = Vec::new();
            loop {
                let began = instant();
                if began.duration_since(start) >= time {
                    return anyhow::Ok(took);
                }
                house.pay(&agent, None).await?;
                took.push(micros(began.elapsed()));
            }
        });
    }
    let mut took = Vec::new();
    while let Some(done) = tasks.join_next().await {
        took.append(&mut done??);
    }
    let rate = took.len() as f64 / start.elapsed().as_secs_f64();
    Ok((rate, percentile(&mut took, 0.99)))
}
