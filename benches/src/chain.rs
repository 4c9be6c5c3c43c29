//! What many caps cost a durable payment: the same payments with ten and with one.

use std::sync::Arc;

use anyhow::{Context, Result};
use pettycash::policy::terms::PolicyAsked;
use serde_json::json;

use crate::{
    Scale,
    house::{House, PRICE, SERVICE, handle},
    payments::{Load, Payer, callers},
    place::Place,
    stats::{Rounds, count},
    table::{Table, Target},
};

/// How many pay at once.
const CALLERS: usize = 16;
/// How much longer a payment may take, ten caps and a chain of four beside one cap.
const MOST: f64 = 1.3;

/// The caps of an agent; with the first alone it has the single cap of the comparison.
const CAPS: [&str; 6] = [
    "1000000.00/day",
    "1000000.00/hour",
    "1000000.00/month",
    "100000000x/day",
    "1000000.00/day service=search",
    "100000000x/hour category=web",
];
/// One of each group in a chain of four.
const SHARED: [&str; 4] =
    ["2000000.00/day", "3000000.00/day", "400000000x/day", "4000000.00/month category=web"];

pub(crate) async fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let floor = format!(
        "{CALLERS} callers pay as one agent through `Engine::call`, each payment durable: with six \
         caps of its own and one of each of four groups above it, and with one cap. {} rounds of \
         {:?} each, one after the other; medians, least and most.",
        scale.rounds, scale.stretch
    );
    let columns = ["bounds", "payments/s", "p50 µs", "time of a payment", "target"];
    table.part("Payments under many caps", &floor, &columns);
    let (mut one, mut all) = ((Rounds::default(), Rounds::default()), Default::default());
    for round in 0..scale.rounds {
        // Each round begins with another, for a disk that was just busy may be slower.
        for turn in 0..2 {
            let many = (round + turn) % 2 == 1;
            let (rate, p50): &mut (Rounds, Rounds) = if many { &mut all } else { &mut one };
            let run = measured(many, scale).await?;
            rate.push(run.0);
            p50.push(run.1);
        }
    }
    // Twice the payments a second is half the time of each.
    let times = one.0.over(&all.0);
    let judged = table.judge("a payment under ten caps", times.median(), Target::AtMost(MOST));
    let ((one_rate, one_p50), (all_rate, all_p50)) = (one, all);
    let p50 = |rounds: &Rounds| format!("{:.0}", rounds.median());
    let (single, many) = ("one cap".to_owned(), "ten caps, a chain of four".to_owned());
    table.row(&[single, count(one_rate.median()), p50(&one_p50), "1".to_owned(), "-".to_owned()]);
    table.row(&[many, count(all_rate.median()), p50(&all_p50), times.spread(2), judged]);
    Ok(())
}

/// Payments a second, and how long the middle one took.
async fn measured(many: bool, scale: &Scale) -> Result<(f64, f64)> {
    let place = Place::new()?;
    let house = House::open(place.path()).await?;
    let agent = handle(0)?;
    let mut terms = json!({"funding": "allowance", "caps": CAPS[..1]});
    let mut groups = json!({});
    if many {
        terms = json!({"funding": "allowance", "caps": CAPS, "group": "group-0"});
        for (number, cap) in SHARED.iter().enumerate() {
            let mut group = json!({"caps": [cap]});
            if number + 1 < SHARED.len() {
                group["parent"] = json!(format!("group-{}", number + 1));
            }
            groups[format!("group-{number}")] = group;
        }
    }
    let policy = json!({
        "schema": 1,
        "services": {SERVICE: {"payee": "Acme", "price": PRICE, "category": "web"}},
        "groups": groups,
        "agents": {agent.as_str(): terms},
    });
    let asked: PolicyAsked = serde_json::from_value(json!({"policy": policy}))?;
    house.engine.apply_policy(asked, None).await?;
    let payer = Arc::new(Payer::House { house, agents: vec![agent] });
    let load = Load { callers: CALLERS, agents: 1, time: scale.stretch };
    let run = callers(load, &payer).await;
    let payer = Arc::into_inner(payer).context("a caller is still there")?;
    payer.close().await?;
    let run = run?;
    Ok((run.rate, run.p50))
}
