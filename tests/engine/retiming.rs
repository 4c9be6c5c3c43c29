//! What is planned before midnight and written down after it.

use pettycash::policy::{
    entry::Fact,
    money::Usd,
    operate::{self, Existing},
    plan::{Around, Ground, retimed},
    terms::PolicyTerms,
};
use serde_json::{Value, json};

use crate::support::bench::Bench;

fn policy(text: Value) -> PolicyTerms {
    serde_json::from_value(text).unwrap()
}

const AROUND: Around = Around { rails: Vec::new(), distance: |_, _| usize::MAX };

/// Writes down what was planned on `ground`, at whatever time it is by now.
fn apply(bench: &mut Bench, ground: &Ground, policy: &PolicyTerms) {
    let planned = ground.plan(policy, &AROUND);
    assert!(!planned.plan.is_refused(), "{:?}", planned.plan.faults);
    let drafts = retimed(&bench.state, planned.drafts, bench.engine_now());
    bench.write(drafts);
}

/// Pays $10.00 shortly before midnight, changes the zone then, and tries $10.00 whenever a window
/// could have opened; says when they were paid.
fn paid_around_a_midnight(before: &Value, after: &Value) -> Vec<String> {
    let mut bench = Bench::at("2026-11-21T23:00:00Z");
    let search = json!({"id": "search", "payee": "Acme"});
    let set =
        operate::set_service(&bench.state, serde_json::from_value(search).unwrap(), Existing::Keep);
    bench.act(set).unwrap();
    let before = policy(before.clone());
    let ground = Ground::of(&bench.state, &before, bench.engine_now());
    apply(&mut bench, &ground, &before);
    let mut paid = Vec::new();
    let agent = "scout".parse().unwrap();
    let mut pay = |bench: &mut Bench, at: &str| {
        bench.now = at.parse().unwrap();
        let ten: Usd = "10.00".parse().unwrap();
        let payment = bench.payment("search", Some(ten), None);
        if bench.ask(&agent, &payment, Fact::Paid).is_ok() {
            paid.push(at.to_owned());
        }
    };
    pay(&mut bench, "2026-11-21T23:30:00Z");
    bench.now = "2026-11-21T23:59:59Z".parse().unwrap();
    let after = policy(after.clone());
    let ground = Ground::of(&bench.state, &after, bench.engine_now());
    pay(&mut bench, "2026-11-22T00:00:01Z");
    bench.pass(1);
    apply(&mut bench, &ground, &after);
    for at in ["00:00:03", "07:59:59", "08:00:01", "23:59:59"] {
        pay(&mut bench, &format!("2026-11-22T{at}Z"));
    }
    pay(&mut bench, "2026-11-23T08:00:01Z");
    assert_eq!(bench.state, bench.refold());
    paid
}

/// The window of the 22nd, which was open when it was written down, lasts until that day ends in
/// Los Angeles: none opens at eight, when the 21st ends there.
const PAID: [&str; 3] = ["2026-11-21T23:30:00Z", "2026-11-22T00:00:01Z", "2026-11-23T08:00:01Z"];

#[test]
fn a_zone_of_an_agent_planned_before_midnight_opens_no_window_more_after_it() {
    let with = |zone: &str| {
        json!({"schema": 1, "agents": {"scout": {"funding": "allowance",
            "caps": ["10.00/day"], "timezone": zone}}})
    };
    assert_eq!(paid_around_a_midnight(&with("UTC"), &with("America/Los_Angeles")), PAID);
}

#[test]
fn a_zone_of_a_group_planned_before_midnight_opens_no_window_more_after_it() {
    let with = |zone: &str| {
        json!({"schema": 1, "groups": {"team": {"caps": ["10.00/day"], "timezone": zone}},
            "agents": {"scout": {"funding": "allowance", "caps": ["99.00/day"], "group": "team"}}})
    };
    assert_eq!(paid_around_a_midnight(&with("UTC"), &with("America/Los_Angeles")), PAID);
}
