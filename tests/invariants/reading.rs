//! Reading is only reading, and what is read is what was written.

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Watched, dollars, nanos, run};

/// One of all the ways to ask without paying.
fn ask() -> impl Strategy<Value = (&'static str, Value)> {
    let asks = [
        ("get_balance", json!({})),
        ("get_balance", json!({"service_id": "search", "calls": 40})),
        ("get_balance", json!({"service_id": "report", "amount_usd": "0.30"})),
        ("get_balance", json!({"service_id": "nothing"})),
        ("get_balance", json!({"calls": -1})),
        ("ledger", json!({})),
        ("ledger", json!({"limit": 2, "outcome": "paid"})),
        ("ledger", json!({"since": "2026-11-21T00:00:00Z", "service_id": "search"})),
        ("ledger", json!({"cursor": "made up"})),
        ("list_services", json!({})),
        ("pay_for_api_call", json!({"service_id": "search", "dry_run": true})),
        ("pay_for_api_call", json!({"service_id": "nothing", "dry_run": true})),
        (
            "pay_for_api_call",
            json!({"service_id": "report", "amount_usd": "9.00", "dry_run": true}),
        ),
        ("get_balance", json!({"task_id": "ours", "service_id": "report", "amount_usd": "0.05"})),
        ("pay_for_api_call", json!({"service_id": "search", "task_id": "ours", "dry_run": true})),
        (
            "pay_for_api_call",
            json!({"service_id": "report", "amount_usd": "0.30", "task_id": "ours",
                "dry_run": true}),
        ),
    ];
    proptest::sample::select(asks.to_vec())
}

/// What an agent paid, as its ledger tells it line by line.
async fn paid(watched: &Watched, agent: &str) -> i64 {
    let (mut sum, mut cursor) = (0, Value::Null);
    loop {
        let mut asked = json!({"limit": 3, "outcome": "paid"});
        if !cursor.is_null() {
            asked["cursor"] = cursor;
        }
        let page = watched.call("ledger", agent, asked).await;
        let lines = page["entries"].as_array().unwrap();
        sum += lines.iter().map(|line| nanos(line, "amount_usd")).sum::<i64>();
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            return sum;
        }
    }
}

proptest! {
    #![proptest_config(super::cases(40))]

    /// I-29: who reads, quotes or tries changes nothing at all, and the balance is what the lines
    /// of the ledger come to. I-6: no more does who is refused for good.
    #[test]
    fn reading_changes_nothing_and_tells_what_was_paid(
        steps in proptest::collection::vec((1_i64..70, 0_i64..5_000, ask()), 1..25),
    ) {
        run(async {
            let watched = Watched::new().await;
            let [task, ..] = watched.at_work().await;
            for (cents, seconds, (tool, mut asked)) in steps {
                if asked.get("task_id").is_some() {
                    asked["task_id"] = json!(task);
                }
                let payment = json!({"service_id": "report", "amount_usd": dollars(cents)});
                watched.pay("zoe", payment).await;
                watched.clock.advance(SignedDuration::from_secs(seconds));
                let before = watched.state().await;
                let first = watched.call(tool, "zoe", asked.clone()).await;
                let again = watched.call(tool, "zoe", asked.clone()).await;
                prop_assert_eq!(&first, &again, "{} {}", tool, asked);
                prop_assert_eq!(watched.state().await, before, "{} {}", tool, asked);
            }
            let sum = paid(&watched, "zoe").await;
            let (state, _) = watched.state().await;
            let book = state.book(&"zoe".parse().unwrap()).unwrap();
            prop_assert_eq!(book.captured.nanos(), sum, "the ledger and the book");
            let balance = watched.call("get_balance", "zoe", json!({})).await;
            let caps = balance["caps"].as_array().unwrap();
            let day = caps.iter().find(|cap| cap["period"] == "day").unwrap();
            let ledger = watched.call("ledger", "zoe", json!({})).await;
            prop_assert_eq!(nanos(day, "used_usd"), nanos(&ledger, "spent_today_usd"));
            Ok(())
        })?;
    }
}
