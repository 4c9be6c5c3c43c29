//! The decision alone: nothing is read, written or waited for.

use std::hint::black_box;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use pettycash::{
    clock::instant,
    policy::{
        authorize::{Payment, Wanted, authorize},
        entry::{By, Chain, Draft, Entry, Fact, Hash},
        group::{GroupFact, GroupRules},
        mandate::{Cap, Mandate, Service},
        names::{Handle, PaymentId, RailName},
        state::State,
        window::Zone,
    },
};

use crate::{
    Scale,
    stats::count,
    table::{Table, Target},
};

/// How many decisions a second one core is to make, at least.
const LEAST: f64 = 1_000_000.0;
/// How many are made in a row before the time is looked at.
const STRETCH: u64 = 10_000;

const CAPS: [&str; 6] = [
    "1000000.00/hour",
    "1000000.00/day",
    "1000000.00/month",
    "1000000x/day",
    "1000000.00/day service=search",
    "1000000x/hour category=web",
];
/// One of each group in a chain of four.
const SHARED: [&str; 4] =
    ["2000000.00/day", "3000000.00/day", "4000000x/day", "4000000.00/month category=web"];

pub(crate) fn run(scale: &Scale, table: &mut Table) -> Result<()> {
    let floor = "One core decides, nothing is read or written; the floor is an agent with one cap.";
    table.part("Decision", floor, &["bounds", "decisions/s", "target"]);
    let one = measured(&CAPS[..1], &[], scale)?;
    table.row(&["one cap".to_owned(), count(one), "-".to_owned()]);
    let all = measured(&CAPS, &SHARED, scale)?;
    let judged = table.judge("decisions with ten caps", all, Target::AtLeast(LEAST));
    table.row(&["ten caps, a chain of four".to_owned(), count(all), judged]);
    Ok(())
}

/// How many payments a second are allowed.
fn measured(caps: &[&str], shared: &[&str], scale: &Scale) -> Result<f64> {
    let now: Timestamp = "2026-11-21T12:00:00Z".parse()?;
    let agent: Handle = "scout".parse()?;
    let state = state(caps, shared, now)?;
    let service = state.service(&"search".parse()?).cloned();
    ensure!(service.is_some(), "there is no service");
    let wanted = service.map(Wanted::Known);
    let payment = Payment {
        id: PaymentId::new(1_000, 0),
        wanted: wanted.unwrap_or(Wanted::Unknown { service: "search".parse()?, nearest: vec![] }),
        amount: None,
        estimate: false,
        binding: None,
        run: None,
        task: None,
    };
    let (began, mut made) = (instant(), 0_u64);
    while began.elapsed() < scale.stretch {
        for _ in 0..STRETCH {
            let spender = black_box(&state).spender(&agent);
            let hold = spender.map(|spender| authorize(&spender, black_box(&payment), now));
            ensure!(black_box(hold).is_some_and(|hold| hold.is_ok()), "a payment is refused");
        }
        made += STRETCH;
    }
    Ok(made as f64 / began.elapsed().as_secs_f64())
}

/// A house with one agent, one service and a chain of groups, one cap each.
fn state(caps: &[&str], shared: &[&str], now: Timestamp) -> Result<State> {
    let read = |caps: &[&str]| -> Result<Vec<Cap>> {
        caps.iter().map(|cap| cap.parse().map_err(anyhow::Error::msg)).collect()
    };
    let (id, payee) = ("search".parse()?, "Acme".parse()?);
    let (price, category) = (Some("0.02".parse()?), Some("web".parse()?));
    let rail = RailName::iou();
    let service = Service { id, payee, price, rail, category, endpoint: None };
    let mut facts = vec![(None, Fact::ServiceSet(service))];
    let (mut group, mut parent) = (None, None);
    for (number, cap) in shared.iter().enumerate().rev() {
        let name: pettycash::policy::names::GroupId = format!("group-{number}").parse()?;
        let rules = GroupRules { caps: read(&[*cap])?, parent: parent.take(), zone: Zone::utc() };
        let rules = Box::new(rules);
        facts.push((None, Fact::Group(GroupFact::Set { group: name.clone(), rules, moved: None })));
        (group, parent) = (Some(name.clone()), Some(name));
    }
    let plain = serde_json::json!({"funding": "allowance", "caps": [], "zone": "UTC"});
    let plain: Mandate = serde_json::from_value(plain)?;
    let mandate = Mandate { caps: read(caps)?, group, ..plain };
    facts.push((Some("scout".parse()?), Fact::Opened { mandate: Box::new(mandate) }));
    let mut state = State::default();
    for (position, (agent, fact)) in (1..).zip(facts) {
        let Draft { agent, by, fact } = Draft { agent, by: By::Operator, fact };
        let first = Chain { n: 1, prev: None, prev_hash: Hash::default() };
        let chain = agent.as_ref().map(|_| first);
        state.apply(&Entry { at: now, agent, chain, by, fact }, position, Hash::default());
    }
    Ok(state)
}
