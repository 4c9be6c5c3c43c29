//! What it takes to apply a policy of the most agents that one names, and what those who pay
//! meanwhile feel of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use pettycash::{clock::instant, policy::terms::PolicyPlan};
use serde_json::{Map, Value, json};

use crate::{
    Scale,
    house::{House, handle},
    place::Place,
    stats::{micros, percentile},
    table::{Table, Target},
};

/// The longest that it may take, in s: the issue says so.
const APPLY_S: f64 = 5.0;

/// A policy of so many agents, each with caps of its own and a list of services.
fn policy(agents: usize, cap: &str) -> Value {
    let caps = [format!("{cap}/day"), format!("{cap}0/month")];
    let services = ["ads", "mail", "maps", "news"];
    let terms = json!({"funding": "allowance", "per_call": "0.25", "caps": caps,
        "timezone": "Europe/Paris", "deny": services});
    let mut named = Map::new();
    for agent in 0..agents {
        named.insert(format!("policed-{agent}"), terms.clone());
    }
    let service = |name: &str| (name.to_owned(), json!({"payee": "Acme"}));
    let services: Map<_, _> = services.into_iter().map(service).collect();
    json!({"schema": 1, "services": services, "agents": named})
}

async fn apply(house: &House, policy: &Value, dry_run: bool) -> Result<(PolicyPlan, f64)> {
    let asked = serde_json::from_value(json!({"policy": policy, "dry_run": dry_run}))?;
    let began = instant();
    let plan = house.engine.apply_policy(asked, None).await?;
    Ok((plan, micros(began.elapsed()) / 1e6))
}

/// Pays one after the other until it is told to end; how long each took, in ms.
async fn pays(house: Arc<House>, ends: Arc<AtomicBool>) -> Result<Vec<f64>> {
    let (agent, mut took) = (handle(0)?, Vec::new());
    while !ends.load(Ordering::Relaxed) {
        let began = instant();
        house.pay(&agent, None).await?;
        took.push(micros(began.elapsed()) / 1e3);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(took)
}

pub(crate) async fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let floor = "A policy that gives so many agents two caps, a limit and a list of services, on \
                 a new store with its anchor: planned, recorded in one step, synced and named by \
                 the anchor. One agent pays every millisecond meanwhile; the last column is the \
                 longest that it waited.";
    let columns = ["agents", "what", "s", "target", "payments meanwhile", "longest ms"];
    table.part("Apply", floor, &columns);
    let place = Place::new()?;
    let house = Arc::new(House::open(place.path()).await?);
    house.furnish(1).await?;
    let agents = scale.policed;
    let (new, tighter) = (policy(agents, "5.00"), policy(agents, "4.00"));
    let steps = [
        ("what would change", &new, true),
        ("all of them new", &new, false),
        ("all of them tighter", &tighter, false),
        ("nothing differs", &tighter, false),
    ];
    for (what, policy, dry_run) in steps {
        let ends = Arc::new(AtomicBool::new(false));
        let payer = tokio::spawn(pays(Arc::clone(&house), Arc::clone(&ends)));
        let (plan, took) = apply(&house, policy, dry_run).await?;
        ends.store(true, Ordering::Relaxed);
        let mut waits = payer.await??;
        let named = plan.agents.len() + usize::try_from(plan.unchanged)?;
        ensure!(named >= agents, "{named} agents, not {agents}");
        let target = table.judge(&format!("apply, {what}, s"), took, Target::AtMost(APPLY_S));
        let row = [
            agents.to_string(),
            what.to_owned(),
            format!("{took:.2}"),
            target,
            waits.len().to_string(),
            format!("{:.1}", percentile(&mut waits, 1.0)),
        ];
        table.row(&row);
    }
    house.engine.close().await;
    Ok(())
}
