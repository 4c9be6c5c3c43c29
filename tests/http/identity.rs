//! An agent's identity beyond its machine: each thing that is said of a token, over HTTP.

use std::{thread, time::Duration};

use jiff::{SignedDuration, Timestamp};
use pettycash::clock::Clock;
use serde_json::{Value, json};

use crate::support::{
    mcp_house::House,
    web::{Web, initialize},
};

/// A house that serves, where an agent may spend $0.03 a run.
fn web() -> Web {
    let house = House::furnished();
    house.operator("agent create runner --cap 0.03/run --cap 5.00/day --funding allowance");
    Web::open(house, &[])
}

fn given(web: &Web, line: &str) -> (String, String) {
    let given = web.house.operator_json(line);
    let text = |field: &str| given[field].as_str().unwrap().to_owned();
    (text("token"), text("token_id"))
}

/// How a payment by a token in a session of its own came out; nothing where it is not let in.
fn paid(web: &Web, token: &str) -> Option<Value> {
    let mut wire = web.connect();
    if wire.post(token, None, initialize("2025-11-25").as_bytes()).status == 401 {
        return None;
    }
    let session = wire.initialize(token);
    let reply = wire.call(token, &session, "pay_for_api_call", json!({"service_id": "search"}));
    Some(reply.answer())
}

fn outcome(web: &Web, token: &str) -> Option<String> {
    paid(web, token).map(|answer| answer["outcome"].as_str().unwrap().to_owned())
}

fn listed(web: &Web, agent: &str) -> Vec<Value> {
    let listed = web.house.operator_json(&format!("agent tokens {agent}"));
    listed["tokens"].as_array().unwrap().clone()
}

#[test]
fn a_token_with_a_run_fixes_the_run_of_all_it_lets_in() {
    let web = web();
    let (nightly, _) = given(&web, "agent token runner --run nightly-7");
    let (weekly, _) = given(&web, "agent token runner --run weekly");
    assert_eq!(outcome(&web, &nightly).unwrap(), "paid");
    let more = paid(&web, &nightly).unwrap();
    assert_eq!(
        (&more["code"], &more["breached"][0]["period"]),
        (&json!("cap_exceeded"), &json!("run"))
    );
    // Whatever the model says of a run, it is the token's.
    let mut wire = web.connect();
    let session = wire.initialize(&nightly);
    let arguments = json!({"service_id": "search", "run": "weekly"});
    let other = wire.call(&nightly, &session, "pay_for_api_call", arguments).answer();
    assert_eq!(other["outcome"], "denied", "{other}");
    assert_eq!(outcome(&web, &weekly).unwrap(), "paid");
    let lines = web.house.operator_json("ledger runner");
    let paid = lines["entries"].as_array().unwrap().iter().filter(|line| line["outcome"] == "paid");
    assert_eq!(paid.map(|line| line["run"].clone()).collect::<Vec<_>>(), ["weekly", "nightly-7"]);
}

#[test]
fn a_token_is_listed_with_its_last_use_and_rotated_with_overlap() {
    let web = web();
    let (old, id) = given(&web, "agent token scout --label laptop");
    let (other, _) = given(&web, "agent token scout --label desktop");
    assert!(listed(&web, "scout").iter().all(|token| token["last_used_at"].is_null()));
    let before = Clock::System.now();
    assert_eq!(outcome(&web, &old).unwrap(), "paid");
    let used = &listed(&web, "scout")[0];
    assert_eq!((used["label"].as_str(), used["token_id"].as_str()), (Some("laptop"), Some(&*id)));
    let at: Timestamp = used["last_used_at"].as_str().unwrap().parse().unwrap();
    let since = at.duration_since(before);
    assert!(since > SignedDuration::from_secs(-2) && since < SignedDuration::from_mins(2), "{at}");
    assert!(listed(&web, "scout")[1]["last_used_at"].is_null(), "the other was not used");
    let table = web.house.operator("agent tokens scout");
    let row = |label: &str| table.lines().find(|line| line.contains(label)).unwrap().to_owned();
    // Neither ever ends, and one was never used.
    let never = ["laptop", "desktop"].map(|label| row(label).matches("never").count());
    assert_eq!(never, [1, 2], "{table}");

    let (new, new_id) = given(&web, &format!("agent token-rotate {id} --overlap 1h"));
    for token in [&old, &new] {
        assert_eq!(outcome(&web, token).unwrap(), "paid", "both, for as long as they overlap");
    }
    let (newest, _) = given(&web, &format!("agent token-rotate {new_id} --overlap 0"));
    assert_eq!(outcome(&web, &new), None, "without overlap it is over at once");
    for token in [&old, &newest, &other] {
        assert_eq!(outcome(&web, token).unwrap(), "paid");
    }
    web.house.operator(&format!("agent token-revoke {id}"));
    assert_eq!(outcome(&web, &old), None, "alone");
    assert_eq!(outcome(&web, &other).unwrap(), "paid");
    web.house.operator("agent revoke scout --reason theft");
    assert_eq!([&newest, &other].map(|token| outcome(&web, token)), [None, None]);
    assert_eq!(listed(&web, "scout"), [Value::Null; 0]);
}

#[test]
fn a_token_that_ends_lets_nobody_in_and_its_session_and_stream_are_over() {
    let web = web();
    let end = Clock::System.now().checked_add(SignedDuration::from_secs(3)).unwrap();
    let (token, _) = given(&web, &format!("agent token scout --expires {end}"));
    let mut wire = web.connect();
    let session = wire.initialize(&token);
    let mut stream = web.connect();
    stream.open_sse(&token);
    assert_eq!(outcome(&web, &token).unwrap(), "paid");
    while Clock::System.now() < end {
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(outcome(&web, &token), None);
    let late = wire.call(&token, &session, "pay_for_api_call", json!({"service_id": "search"}));
    assert_eq!((late.status, &late.json()["code"]), (401, &json!("token_unknown")));
    assert!(stream.ends(), "nobody is told anything more");
    assert_eq!(listed(&web, "scout")[0]["expired"], true);
}
