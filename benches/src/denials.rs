//! A model in a loop: what a million denied calls leave on the disk.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Result, ensure};
use pettycash::clock::instant;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    Scale,
    house::{House, handle},
    place::{Place, disk_bytes},
    stats::{bytes, count},
    table::{Table, Target},
};

/// How many call at once.
const CALLERS: usize = 16;
/// The most that the record may grow by, in MiB.
const MOST: f64 = 1.0;

/// What the model asks for, time after time: always too much.
type Asks = fn(u64) -> Value;

const LOOPS: [(&str, Asks); 3] = [
    ("the same", |_| json!({"service_id": "report", "amount_usd": "2.00"})),
    (
        "each another amount",
        |number| json!({"service_id": "report", "amount_usd": format!("2.{number:09}")}),
    ),
    ("each another unknown service", |number| json!({"service_id": format!("none-{number}")})),
];

pub(crate) async fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let floor = format!(
        "{} denied calls of one agent, {CALLERS} at once; the floor is the record before them.",
        count(scale.denials as f64)
    );
    let columns = ["denied calls", "calls/s", "record grew by", "disk grew by", "target"];
    table.part("Denials", &floor, &columns);
    for (what, asks) in LOOPS {
        let place = Place::new()?;
        let house = Arc::new(House::open(place.path()).await?);
        house.furnish(1).await?;
        let report = json!({"id": "report", "payee": "Acme Reports"});
        house.engine.add_service(serde_json::from_value(report)?).await?;
        let (end, disk) = (house.end().await?, disk_bytes(place.path())?);
        let began = instant();
        denied(&house, asks, scale.denials).await?;
        let rate = scale.denials as f64 / began.elapsed().as_secs_f64();
        house.engine.close().await;
        drop(house);
        // What was only counted is written at the end, so the end is looked for afterwards.
        let house = House::open(place.path()).await?;
        let grown = house.end().await? - end;
        house.engine.close().await;
        let disk = disk_bytes(place.path())?.saturating_sub(disk);
        let mib = grown as f64 / 1024.0 / 1024.0;
        let judged = table.judge(&format!("MiB of denials, {what}"), mib, Target::AtMost(MOST));
        table.row(&[what.to_owned(), count(rate), bytes(grown), bytes(disk), judged]);
        eprintln!("{what}: {rate:.0}/s, {} and {}", bytes(grown), bytes(disk));
    }
    Ok(())
}

async fn denied(house: &Arc<House>, asks: Asks, times: u64) -> Result<()> {
    let next = Arc::new(AtomicU64::new(1));
    let agent = handle(0)?;
    let mut tasks = JoinSet::new();
    for _ in 0..CALLERS {
        let (house, next, agent) = (Arc::clone(house), Arc::clone(&next), agent.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number > times {
                    return anyhow::Ok(());
                }
                let answer = house.call("pay_for_api_call", &agent, None, asks(number)).await?;
                ensure!(answer["outcome"] == "denied", "not denied: {answer}");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
