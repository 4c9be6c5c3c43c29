//! One session of `pettycash mcp`, whose engine is killed under it again and again while calls are
//! in flight: whenever there is one, whatever it is at.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{dice::Dice, mcp_house::House, mcp_raw::Raw};

/// How many engines are killed.
const KILLS: usize = 20;
/// How many calls are in flight all the time.
const IN_FLIGHT: usize = 8;
/// Every other engine is killed within so many milliseconds of taking the home, so that it may
/// still be opening the record; the rest within so many answers.
const LIFE_MS: usize = 100;
const ANSWERS: usize = 24;

/// The living process that has the home, even if it does not listen yet.
pub(super) fn owner(home: &Path) -> Option<i32> {
    let holder = fs::read(home.join("serve.lock")).ok()?;
    let holder: Value = serde_json::from_slice(&holder).ok()?;
    let pid = i32::try_from(holder["pid"].as_i64()?).ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    (!stat.contains(") Z ")).then_some(pid)
}

/// Waits for what comes to be within a while.
pub(super) fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let found = (0..10_000).find_map(|_| {
        thread::sleep(Duration::from_millis(2));
        look()
    });
    found.expect("an engine")
}

/// Kills one engine after the other, each a while after it has come.
fn kill_all(home: &Path, answered: &AtomicUsize) {
    let mut dice = Dice(20);
    let mut last = None;
    for nth in 0..KILLS {
        let engine = wait_for(|| owner(home).filter(|pid| Some(*pid) != last));
        if nth % 2 == 0 {
            let enough = answered.load(Ordering::Relaxed) + 1 + dice.below(ANSWERS);
            wait_for(|| (answered.load(Ordering::Relaxed) >= enough).then_some(()));
        } else {
            thread::sleep(Duration::from_millis(dice.below(LIFE_MS) as u64));
        }
        assert_eq!(owner(home), Some(engine), "the kill must hit a living process");
        kill_process(Pid::from_raw(engine).unwrap(), Signal::KILL).unwrap();
        last = Some(engine);
    }
}

fn send(client: &mut Raw, open: &mut BTreeSet<u64>) {
    let pay = json!({"name": "pay_for_api_call", "arguments": {"service_id": "search"}});
    open.insert(client.send("tools/call", pay));
}

#[test]
fn each_call_of_a_session_ends_once_and_truly_while_twenty_engines_are_killed() {
    let house = House::furnished();
    house.operator("agent create rich --cap 1000.00/day --funding allowance");
    let mut client = house.client("rich");
    let (killed, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (mut open, mut calls) = (BTreeSet::new(), 0);
    let mut answers = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            kill_all(&house.home(), &answered);
            killed.store(true, Ordering::Relaxed);
        });
        while !killed.load(Ordering::Relaxed) || !open.is_empty() {
            while open.len() < IN_FLIGHT && !killed.load(Ordering::Relaxed) {
                send(&mut client, &mut open);
                calls += 1;
            }
            let message: Value = serde_json::from_str(&client.line()).unwrap();
            let id = message["id"].as_u64().unwrap();
            assert!(open.remove(&id), "nobody waits for {message}");
            answers.push(message["result"]["structuredContent"].clone());
            answered.fetch_add(1, Ordering::Relaxed);
            // As fast as a model might call, not as fast as it goes.
            thread::sleep(Duration::from_millis(2));
        }
    });
    let (mut paid, mut unsent) = (BTreeMap::<String, u32>::new(), 0);
    for answer in answers {
        if answer["code"] == "engine_unavailable" {
            // No engine lived long enough to be sent the call: then it must have had no effect.
            unsent += 1;
            continue;
        }
        let outcome = match answer["outcome"].as_str() {
            // It tried as long as it may. The key finds what became of the call.
            Some("in_progress") => {
                let key = &answer["idempotency_key"];
                client.pay(json!({"service_id": "search", "idempotency_key": key}))
            }
            _ => answer,
        };
        assert_eq!(outcome["outcome"], "paid", "{outcome}");
        *paid.entry(outcome["payment_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(paid.values().all(|times| *times == 1), "two calls were answered with one payment");
    assert_eq!(paid.len() + unsent, calls, "each call is a payment of its own");
    assert_eq!(recorded(&house), paid, "and is in the ledger once, and nothing else is");
    assert!(paid.len() > KILLS * 2, "only {} of {calls} paid", paid.len());
    assert!(client.end().0.success());
    assert_eq!(house.operator("verify"), "");
}

/// How often each payment stands in the ledger.
fn recorded(house: &House) -> BTreeMap<String, u32> {
    let mut recorded = BTreeMap::new();
    let page = house.operator_json("ledger rich --limit 1000000");
    for entry in page["entries"].as_array().unwrap().iter().filter(|e| e["outcome"] == "paid") {
        let id = entry["payment_id"].as_str().unwrap().to_owned();
        *recorded.entry(id).or_default() += 1;
    }
    recorded
}
