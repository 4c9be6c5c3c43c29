//! `pettycash mcp` when the engine is killed under it: its session goes on, and what it was asked
//! is paid once.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use pettycash::{clock::instant, home::Home};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{mcp_house::House, mcp_raw::Raw};

/// How many calls are under way when the engine is killed: as many as go to it at once.
const CALLS: usize = 16;
/// How long a call may take to end after that.
const RESUMED_WITHIN: Duration = Duration::from_secs(5);
/// How long a call has tried, if it does not know how it ended.
const TRIED_FOR: Duration = Duration::from_secs(4);

/// The process that says it serves this house.
fn serve_of(house: &House) -> Pid {
    let serving = Home::at(&house.home()).unwrap().serving().unwrap();
    Pid::from_raw(i32::try_from(serving.pid).unwrap()).unwrap()
}

/// The calls that are under way, by the ids of their requests, and when each was sent.
type Sent = BTreeMap<u64, Instant>;

fn send_payments(client: &mut Raw, count: usize) -> Sent {
    let pay = json!({"name": "pay_for_api_call", "arguments": {"service_id": "search"}});
    (0..count).map(|_| (client.send("tools/call", pay.clone()), instant())).collect()
}

/// The answers to what was sent, in whatever order they come, with the time each took since the
/// engine was killed.
fn answers(client: &mut Raw, mut sent: Sent, killed: Instant) -> Vec<(Value, Duration)> {
    let mut answers = Vec::new();
    while !sent.is_empty() {
        let message: Value = serde_json::from_str(&client.line()).unwrap();
        let start = message["id"].as_u64().and_then(|id| sent.remove(&id)).expect("a call of ours");
        let took = instant() - start.max(killed);
        answers.push((message["result"]["structuredContent"].clone(), took));
    }
    answers
}

/// The id of the payment that an answer comes to; one that the engine never gave is asked for.
fn payment(client: &mut Raw, answer: &Value, took: Duration) -> String {
    assert!(took < RESUMED_WITHIN, "it took {took:?}: {answer}");
    let paid = match answer["outcome"].as_str() {
        Some("paid") => answer.clone(),
        Some("in_progress") => {
            assert!(took > TRIED_FOR, "it gave up after {took:?}: {answer}");
            let key = &answer["idempotency_key"];
            client.pay(json!({"service_id": "search", "idempotency_key": key}))
        }
        _ => panic!("{answer}"),
    };
    assert_eq!(paid["outcome"], "paid", "{paid}");
    paid["payment_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_session_outlives_every_engine_that_is_killed_and_each_call_pays_once() {
    let house = House::furnished();
    house.operator("agent create rich --cap 1000.00/day --funding allowance");
    let mut client = house.client("rich");
    assert_eq!(client.pay(json!({"service_id": "search"}))["outcome"], "paid");
    let mut payments = BTreeSet::new();
    let mut calls = 1;
    // Frozen, the engine has been sent everything and has answered nothing; otherwise it dies
    // somewhere in its work.
    for (frozen, after) in [(true, 0), (false, 0), (false, 3), (true, 20), (false, 10), (false, 40)]
    {
        let serve = serve_of(&house);
        if frozen {
            kill_process(serve, Signal::STOP).unwrap();
        }
        let sent = send_payments(&mut client, CALLS);
        thread::sleep(Duration::from_millis(after));
        kill_process(serve, Signal::KILL).unwrap();
        let killed = instant();
        calls += CALLS;
        for (answer, took) in answers(&mut client, sent, killed) {
            payments.insert(payment(&mut client, &answer, took));
        }
        // The session is the one it was: it lists, reads and pays, by another engine.
        assert_eq!(client.tools().len(), 4);
        assert_eq!(client.call("get_balance", json!({}))["handle"], "rich");
        assert_ne!(serve_of(&house), serve, "another engine serves");
    }
    assert_eq!(payments.len(), calls - 1, "each call is a payment of its own");
    assert_eq!(in_ledger(&house), calls, "and is in the ledger once");
    let (status, _) = client.end();
    assert!(status.success());
    assert_eq!(house.operator("verify"), "");
}

/// How many payments the ledger has.
fn in_ledger(house: &House) -> usize {
    let page = house.operator_json("ledger --limit 500");
    assert_eq!(page.get("next_cursor"), None, "all of it is on the page");
    let entries = page["entries"].as_array().unwrap();
    entries.iter().filter(|entry| entry["outcome"] == "paid").count()
}
