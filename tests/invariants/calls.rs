//! What a model may call, it may call with anything.

use pettycash::policy::{entry::By, state::State};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Watched, run};

/// What a model may make of one field.
fn value() -> impl Strategy<Value = Value> {
    let texts = [
        "search",
        "report",
        "nothing",
        "team",
        "0.02",
        "1.00",
        "-1",
        "1e9",
        "",
        "9.99",
        "pay_0000000000000001",
        "2026-11-21",
        "active",
        "true",
        "day",
        "\u{0}",
        "research",
        "success",
        "0.20",
        "3",
        "../..",
    ];
    prop_oneof![
        8 => proptest::sample::select(texts.to_vec()).prop_map(|text| json!(text)),
        2 => any::<i64>().prop_map(|number| json!(number)),
        1 => any::<f64>().prop_map(|number| json!(number)),
        2 => any::<bool>().prop_map(|flag| json!(flag)),
        1 => Just(Value::Null),
        1 => Just(json!({"cap_usd": "100.00", "period": "day"})),
        1 => Just(json!(["1000.00/day"])),
    ]
}

/// A call of a tool, with fields that it has and with what operators' routes have.
fn call() -> impl Strategy<Value = (&'static str, &'static str, Value)> {
    let tools = [
        "pay_for_api_call",
        "pay_for_api_call",
        "get_balance",
        "ledger",
        "list_services",
        "open_task",
        "finish_task",
    ];
    let fields = [
        "service_id",
        "amount_usd",
        "idempotency_key",
        "payment_id",
        "dry_run",
        "calls",
        "by",
        "limit",
        "cursor",
        "since",
        "until",
        "outcome",
        "run",
        "format",
        "task_id",
        "task_type",
        "cap_usd",
        "outcome",
        // None of these is a tool's.
        "agent",
        "handle",
        "caps",
        "per_call_limit_usd",
        "standing",
        "group",
        "policy",
        "credit",
        "approve",
        "funding",
        "expires_at",
        "service",
        "price_usd",
        "token",
    ];
    let given =
        proptest::collection::vec((proptest::sample::select(fields.to_vec()), value()), 0..4);
    let pays = (proptest::sample::select(vec!["0.01", "0.30", "0.59"]), any::<bool>());
    let (tool, agent) = (
        proptest::sample::select(tools.to_vec()),
        proptest::sample::select(vec!["zoe", "ben", "cyd"]),
    );
    let wild = given.prop_map(|given| {
        let given: Map<String, Value> =
            given.into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
        Value::Object(given)
    });
    let fair = pays.prop_map(
        |(amount, dry)| json!({"service_id": "report", "amount_usd": amount, "dry_run": dry}),
    );
    let any_of = prop_oneof![3 => wild, 1 => fair, 1 => value()];
    let wild = (tool, any_of).boxed();
    (prop_oneof![2 => wild, 1 => in_tasks()], agent)
        .prop_map(|((tool, arguments), agent)| (tool, agent, arguments))
}

/// What is opened, charged and finished: with a task that is there, that is somebody else's, or
/// that the model opened.
fn in_tasks() -> impl Strategy<Value = (&'static str, Value)> {
    let (number, amount) = (0_usize..6, proptest::sample::select(vec!["0.01", "0.30", "0.59"]));
    let outcome = proptest::sample::select(vec!["success", "failed", "abandoned"]);
    let verb = 0..4;
    (verb, number, amount, outcome).prop_map(|(verb, number, amount, outcome)| match verb {
        0 => ("open_task", json!({"task_type": "research", "cap_usd": amount})),
        1 => ("open_task", json!({"task_type": "research"})),
        2 => ("finish_task", json!({"task_id": number, "outcome": outcome})),
        _ => {
            let paid = json!({"service_id": "report", "amount_usd": amount, "task_id": number});
            ("pay_for_api_call", paid)
        }
    })
}

/// Whatever decides how much may be spent, and by whom: nothing that a payment changes.
fn authority(state: &State) -> Vec<String> {
    let books = state.books().map(|book| {
        let (mandate, standing) = (&book.mandate, &book.standing);
        // A task that an operator opened keeps its cap, whatever becomes of it.
        let tasks = book.tasks.values().filter(|task| task.by == By::Operator);
        let tasks: Vec<_> = tasks.map(|task| &task.opened).collect();
        let sums = (book.credited, book.refunded);
        let payees = &book.first_payees;
        format!("{} {mandate:?} {standing:?} {sums:?} {payees:?} {tasks:?}", book.handle)
    });
    let groups = state.groups().map(|group| format!("{} {:?}", group.name, group.rules));
    let services = state.services().map(|service| format!("{service:?}"));
    books.chain(groups).chain(services).collect()
}

proptest! {
    #![proptest_config(super::cases(48))]

    /// I-25: nothing that a model can call widens what any agent may spend. I-24: nor does an
    /// answer name another agent. I-2, I-3: nor is a cap passed on the way.
    #[test]
    fn no_call_of_a_tool_widens_anything(calls in proptest::collection::vec(call(), 1..40)) {
        run(async {
            let watched = Watched::new().await;
            let tasks = watched.at_work().await;
            let mut tasks = tasks.to_vec();
            let before = authority(&watched.state().await.0);
            for (tool, agent, mut arguments) in calls {
                let number = arguments.get("task_id").and_then(Value::as_u64);
                if let Some(task) = number.and_then(|n| tasks.get(usize::try_from(n).ok()?)) {
                    arguments["task_id"] = json!(task);
                }
                let answer = watched.call(tool, agent, arguments.clone()).await;
                let told = answer.to_string();
                tasks.extend(answer["task_id"].as_str().map(str::to_owned));
                let other = if agent == "cyd" { "zoe" } else { "cyd" };
                prop_assert!(!told.contains(other), "{tool} {arguments}: {told}");
                let (state, _) = watched.state().await;
                prop_assert_eq!(authority(&state), before.clone(), "after {} {}", tool, arguments);
                for book in state.books() {
                    let spender = state.spender_of(book);
                    for bearing in spender.caps(None, state.now()) {
                        let cap = bearing.cap;
                        let sum = bearing.room.used.plus(bearing.room.held).unwrap();
                        prop_assert!(cap.amount().is_none_or(|most| sum <= most), "{cap}: {sum}");
                    }
                }
            }
            Ok(())
        })?;
    }
}
