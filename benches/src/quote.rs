//! What the worst quote takes, and what those who pay feel of many of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use pettycash::clock::instant;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::{
    Scale,
    house::{House, SERVICE, handle},
    place::Place,
    stats::{Rounds, micros, percentile},
    table::{Table, Target},
};

/// How many ask for quotes at once.
const ASKING: usize = 64;
/// The longest that one may take, in ms.
const QUOTE_MS: f64 = 100.0;
/// The longest that a payment may take beside them, in ms.
const PAYMENT_MS: f64 = 100.0;

/// A mandate that has room again every second, under as many caps as there may be, in as many
/// groups.
fn policy() -> Value {
    let mut caps: Vec<String> = ["hour", "day", "week", "month", "24h", "744h"]
        .iter()
        .flat_map(|period| [format!("900000.00/{period}"), format!("900000x/{period}")])
        .collect();
    let mut groups = Map::new();
    let mut parent: Option<String> = None;
    for number in 0..8 {
        let name = format!("group-{number}");
        groups.insert(name.clone(), json!({"caps": caps, "parent": parent}));
        parent = Some(name);
    }
    caps.extend(
        ["day", "week", "month"]
            .iter()
            .map(|period| format!("900000.00/{period} service={SERVICE}")),
    );
    let agent = json!({"funding": "allowance", "caps": caps, "cooldown": "1s", "group": parent});
    json!({"schema": 1, "groups": groups, "agents": {"planner": agent}})
}

async fn quote(house: &House) -> Result<f64> {
    let began = instant();
    let asked = json!({"service_id": SERVICE, "by": "31d"});
    let answer = house.call("get_balance", &"planner".parse()?, None, asked).await?;
    ensure!(answer["quote"]["fits"] == 1, "not quoted: {answer}");
    Ok(micros(began.elapsed()) / 1e3)
}

/// Pays one after the other for a while; how long the slowest hundredth took, in ms.
async fn pays(house: &House, time: Duration) -> Result<f64> {
    let (agent, mut took, start) = (handle(0)?, Vec::new(), instant());
    while start.elapsed() < time {
        let began = instant();
        house.pay(&agent, None).await?;
        took.push(micros(began.elapsed()) / 1e3);
    }
    Ok(percentile(&mut took, 0.99))
}

pub(crate) async fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let floor = format!(
        "The worst quote there is; the floor is a payment's p99 without it, and beside it {ASKING} \
         are asked for at once, again and again."
    );
    table.part("Quote", &floor, &["", "ms", "target"]);
    let place = Place::new()?;
    let house = Arc::new(House::open(place.path()).await?);
    house.furnish(1).await?;
    let asked = serde_json::from_value(json!({"policy": policy()}))?;
    house.engine.apply_policy(asked, None).await?;
    let (mut alone, mut beside, mut worst) =
        (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..scale.rounds {
        worst.push(quote(&house).await?);
        alone.push(pays(&house, scale.stretch).await?);
        let over = Arc::new(AtomicBool::new(false));
        let mut asking = JoinSet::new();
        for _ in 0..ASKING {
            let (house, over) = (Arc::clone(&house), Arc::clone(&over));
            asking.spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    quote(&house).await?;
                }
                anyhow::Ok(())
            });
        }
        beside.push(pays(&house, scale.stretch).await?);
        over.store(true, Ordering::SeqCst);
        while let Some(done) = asking.join_next().await {
            done??;
        }
    }
    house.engine.close().await;
    let judged = table.judge("ms of a quote", worst.median(), Target::AtMost(QUOTE_MS));
    table.row(&["one quote".to_owned(), worst.spread(1), judged]);
    table.row(&["p99 of a payment without".to_owned(), alone.spread(1), String::new()]);
    let judged = table.judge("ms of a payment", beside.median(), Target::AtMost(PAYMENT_MS));
    table.row(&["p99 of a payment beside them".to_owned(), beside.spread(1), judged]);
    Ok(())
}
