//! A loop that runs all night.

use std::fs;

use serde_json::json;

use super::{Gate, answer, answering};
use crate::support::served::until;

#[test]
fn a_night_of_equal_calls_costs_its_cap_and_a_line_of_the_ledger() {
    const CALLS: usize = 4_200;
    let gate = Gate::open(answering(&answer(200, "text/plain", "no")), "1.00/day", "");
    let journal = gate.web.house.home().join("journal");
    // The room that is made ahead of the record is no growth: its zeros are left out.
    let size = || {
        let record = fs::read(journal.join("0000000000000000.journal")).unwrap();
        record.iter().rposition(|byte| *byte != 0).unwrap_or_default()
    };
    let mut wire = gate.web.connect();
    let headers = gate.headers(&[]);
    let mut ask = || wire.ask("POST /gateway/acme/v1/messages", &headers, b"{}");
    let paid = (0..CALLS).take_while(|_| ask().status == 200).count();
    assert_eq!(paid, 50);
    let second = ask();
    assert_eq!((second.status, &second.json()["code"]), (402, &json!("cap_exceeded")));
    let third = ask();
    assert_eq!((third.status, &third.json()["code"]), (402, &json!("loop_detected")));
    assert_eq!(third.json()["advice"], "stop");
    assert_eq!(third.headers["x-should-retry"], "false");
    assert!(third.json()["message"].as_str().unwrap().starts_with("Stop: "), "{third:?}");
    let before = size();
    for _ in 0..CALLS - paid - 3 {
        assert_eq!(ask().status, 402);
    }
    let grown = size() - before;
    assert!(grown < 16 * 1024, "{grown} bytes");
    assert_eq!((gate.upstream.requests().len(), gate.used()), (paid, json!("1.00")));
    // What is counted is written down within seconds, but for a sixteenth at the most.
    let all = CALLS - paid - 2;
    until("the loop is told", || {
        let ledger = gate.web.house.operator("ledger scout --limit 10000");
        let denied: Vec<&str> = ledger.lines().filter(|line| line.contains("denied")).collect();
        let [looped, first] = denied[..] else { panic!("{denied:?}") };
        assert!(first.ends_with("cap_exceeded ×2"), "{first}");
        let (what, times) = looped.rsplit_once(" ×").unwrap();
        assert!(what.ends_with("loop_detected"), "{looped}");
        let times: usize = times.parse().unwrap();
        assert!(times <= all, "{times} of {all}");
        times >= all - all / 16
    });
}

#[test]
fn a_night_of_one_call_that_fails_is_sent_twice_and_is_a_line_of_the_ledger() {
    const CALLS: usize = 4_200;
    let said = answer(400, "application/json", "{\"error\":\"no\"}");
    let gate = Gate::open(answering(&said), "1.00/day", "");
    let mut wire = gate.web.connect();
    let headers = gate.headers(&[]);
    let mut ask = || wire.ask("POST /gateway/acme/v1/messages", &headers, b"{}");
    for _ in 0..2 {
        let failed = ask();
        assert_eq!((failed.status, &*failed.body), (400, "{\"error\":\"no\"}"));
    }
    for _ in 2..CALLS {
        let stopped = ask();
        assert_eq!((stopped.status, &stopped.json()["code"]), (402, &json!("loop_detected")));
        assert_eq!(stopped.json()["advice"], "stop");
        assert_eq!(stopped.headers["x-should-retry"], "false");
    }
    assert_eq!((gate.upstream.requests().len(), gate.used()), (2, json!("0.00")));
    let all = CALLS - 2;
    until("the loop is told", || {
        let ledger = gate.web.house.operator("ledger scout --limit 10000");
        let denied: Vec<&str> = ledger.lines().filter(|line| line.contains("denied")).collect();
        let [looped] = denied[..] else { panic!("{ledger}") };
        let times = looped.rsplit_once(" ×").map_or(1, |(_, times)| times.parse().unwrap());
        assert!(times <= all, "{times} of {all}");
        times >= all - all / 16
    });
}
