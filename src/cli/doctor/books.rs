//! What the operator has set up: agents, what they may spend, and for what.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::Check;
use crate::{
    cli::words::names,
    client::{ClientError, Operator},
    clock::Clock,
    policy::{
        mandate::Service,
        money::Usd,
        names::{Handle, ServiceId},
        terms::{AgentView, LedgerAsked, LedgerPage, ServiceEntry, Services},
    },
};

/// How far the record may be ahead of the clock before it is said.
const AHEAD: SignedDuration = SignedDuration::from_secs(5);

pub(super) async fn checks(operator: &Operator) -> Vec<Check> {
    let now = Clock::System.now();
    let catalogue = operator.services().await;
    let known = catalogue.as_ref().map(in_catalogue).unwrap_or_default();
    let newest = operator.ledger(&LedgerAsked::page(None, None, Some(1))).await;
    let mut checks = vec![
        or_failed("clock", newest, |page| clock(&page, now)),
        or_failed("services", catalogue, |catalogue| services(&catalogue)),
    ];
    match operator.agents().await {
        Ok(agents) => {
            checks.extend(of_agents(&agents.agents, now));
            checks.extend(number(&agents.agents, &known));
        }
        Err(error) => checks.push(Check::failed("agents", error, "see `pettycash agent list`")),
    }
    checks
}

fn or_failed<T>(
    check: &'static str,
    read: Result<T, ClientError>,
    look: impl FnOnce(T) -> Check,
) -> Check {
    read.map_or_else(|error| Check::failed(check, error, "see `pettycash verify`"), look)
}

fn clock(newest: &LedgerPage, now: Timestamp) -> Check {
    let ahead = newest.entries.first().map(|entry| entry.line.at.duration_since(now));
    match ahead.filter(|ahead| *ahead > AHEAD) {
        None => Check::ok("clock", "not behind the record"),
        Some(ahead) => {
            let ahead = SignedDuration::from_secs(ahead.as_secs());
            let found = format!("{ahead:#} behind the record, whose windows do not go back");
            Check::warn("clock", found, "set the machine's clock; caps wait until it is there")
        }
    }
}

fn services(catalogue: &Services) -> Check {
    match catalogue.services.len() {
        0 => Check::warn(
            "services",
            "none: there is nothing to pay for",
            "pettycash service add search --payee \"Acme Search\" --price 0.02",
        ),
        1 => Check::ok("services", "1 in the catalogue"),
        some => Check::ok("services", format!("{some} in the catalogue")),
    }
}

fn in_catalogue(catalogue: &Services) -> BTreeMap<ServiceId, Service> {
    let services = catalogue.services.iter().filter_map(ServiceEntry::service);
    services.map(|service| (service.id.clone(), service)).collect()
}

/// Agents that may pay next to nothing as often as they like.
fn number(agents: &[AgentView], services: &BTreeMap<ServiceId, Service>) -> Option<Check> {
    let active = |agent: &&AgentView| agent.balance.standing.as_deref() == Some("active");
    let endless = agents.iter().filter(active).filter_map(|agent| {
        Some((agent.handle().parse::<Handle>().ok()?, agent.endless(services)?))
    });
    let (who, what): (Vec<Handle>, Vec<&Service>) = endless.unzip();
    let (first, service) = who.first().zip(what.first())?;
    let found = format!(
        "`{}` has no price, and nothing bounds how many payments are made: {}",
        service.id,
        names(&who)
    );
    Some(Check::warn("number", found, format!("pettycash mandate set {first} --rate 20/min")))
}

/// What is wrong with agents, of all of one kind in one line.
fn of_agents(agents: &[AgentView], now: Timestamp) -> Vec<Check> {
    let who = |which: &dyn Fn(&AgentView) -> bool| -> Vec<Handle> {
        let those = agents.iter().filter(|agent| which(agent));
        those.filter_map(|agent| agent.handle().parse().ok()).collect()
    };
    let stands = |agent: &AgentView, standing: &str| {
        agent.balance.standing.as_deref().is_some_and(|stands| stands == standing)
    };
    let active = who(&|agent| stands(agent, "active"));
    let mut checks = vec![if agents.is_empty() {
        Check::warn("agents", "none: nobody can pay", "pettycash init")
    } else {
        Check::ok("agents", format!("{} active of {}", active.len(), agents.len()))
    }];
    let over = |agent: &AgentView| agent.balance.expires_at.is_some_and(|at| at <= now);
    let frozen = who(&|agent| stands(agent, "frozen"));
    if let [first, rest @ ..] = frozen.as_slice() {
        let whom = if rest.is_empty() { first.as_str() } else { "--all" };
        let fix = format!("pettycash agent unfreeze {whom}");
        checks.push(Check::warn("frozen", names(&frozen), fix));
    }
    let expired = who(&|agent| stands(agent, "active") && over(agent));
    if let Some(first) = expired.first() {
        let found = format!("the mandate is over: {}", names(&expired));
        let fix = format!("pettycash mandate set {first} --expires 30d");
        checks.push(Check::warn("expired", found, fix));
    }
    let empty = who(&|agent| {
        let nothing = agent.balance.balance_usd.is_some_and(Usd::is_zero);
        stands(agent, "active") && !over(agent) && nothing
    });
    if let Some(first) = empty.first() {
        let found = format!("prepaid, and no balance: {}", names(&empty));
        checks.push(Check::warn("empty", found, format!("pettycash top-up {first} 2.00")));
    }
    let unbounded = who(&|agent| {
        let balance = &agent.balance;
        let capped = balance.caps.as_ref().is_some_and(|caps| !caps.is_empty());
        let some = balance.balance_usd.is_some_and(|balance| !balance.is_zero());
        stands(agent, "active") && some && !capped && balance.per_call_limit_usd.is_none()
    });
    if let Some(first) = unbounded.first() {
        let found = format!("no cap and no limit but the balance: {}", names(&unbounded));
        let fix = format!("pettycash mandate set {first} --per-call 0.25");
        checks.push(Check::warn("bounds", found, fix));
    }
    checks
}
