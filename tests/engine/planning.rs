//! What an agent learns before it pays: quotes, dry runs, and the line that says a cap is near.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::SignedDuration;
use pettycash::{
    engine::Call,
    policy::{
        came::Came,
        terms::{PaymentTerms, PolicyAsked},
    },
};
use serde_json::{Value, json};

use crate::support::{
    house::House,
    scripted::{Act, Scripted},
};

async fn quote(house: &House, agent: &str, arguments: Value) -> Value {
    let answer = house.call("get_balance", agent, arguments).await;
    assert_eq!(answer["handle"], agent, "{answer}");
    answer["quote"].clone()
}

/// The fields of an answer in one line.
fn of(answer: &Value, fields: &str) -> String {
    let shown = |field: &str| match &answer[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    fields.split(' ').map(shown).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_quote_counts_what_fits_and_names_what_comes_first() {
    let house = House::new().await;
    house.scout().await;
    house.pay("scout", json!({"service_id": "report", "amount_usd": "0.11"})).await;
    let told = quote(&house, "scout", json!({"service_id": "search"})).await;
    assert_eq!(of(&told, "service_id price_usd fits"), "search 0.02 244");
    let limit = json!({"code": "cap_exceeded", "scope": "agent", "period": "day",
        "cap_usd": "5.00", "used_usd": "0.11", "held_usd": "0.00", "asked_usd": "0.02"});
    assert_eq!(told["limit"], limit);
    assert_eq!(told["frees_at"], "2026-11-22T00:00:00Z");
    assert_eq!(told.get("by"), None);
    // As many as it says are paid, and one more is refused for the reason that it told.
    for _ in 0..244 {
        assert_eq!(house.pay("scout", json!({"service_id": "search"})).await["outcome"], "paid");
    }
    let refused = house.pay("scout", json!({"service_id": "search"})).await;
    assert_eq!(of(&refused, "code resets_at"), "cap_exceeded 2026-11-22T00:00:00Z");
    let told = quote(&house, "scout", json!({"service_id": "search", "calls": 3})).await;
    assert_eq!(of(&told, "fits frees_at"), "0 2026-11-22T00:00:00Z");
}

#[tokio::test]
async fn a_quote_counts_the_windows_that_open_until_then() {
    let house = House::new().await;
    house
        .agent(json!({"handle": "scout", "funding": "allowance", "timezone": "Europe/Paris",
        "caps": [{"period": "hour", "cap_usd": "0.10"}, {"period": "day", "cap_usd": "0.25"}]}))
        .await;
    // It is 13:00 there.
    let by = async |by: &str| {
        let asked = json!({"service_id": "search", "by": by});
        let told = quote(&house, "scout", asked).await;
        of(&told, "fits fits_by by")
    };
    assert_eq!(by("30m").await, "5 5 2026-11-21T12:30:00Z");
    assert_eq!(by("14:00").await, "5 5 2026-11-21T13:00:00Z", "what opens then is not until then");
    assert_eq!(by("14:01").await, "5 10 2026-11-21T13:01:00Z");
    assert_eq!(by("20:00").await, "5 12 2026-11-21T19:00:00Z", "the day's cap");
    assert_eq!(by("2026-11-22T00:30:00+01:00").await, "5 17 2026-11-21T23:30:00Z");
    let wanted = json!({"service_id": "search", "by": "20:00", "calls": 7});
    let told = quote(&house, "scout", wanted).await;
    assert_eq!(of(&told, "fits fits_by"), "5 7");
    let wanted = json!({"service_id": "search", "by": "20:00", "calls": "4"});
    let told = quote(&house, "scout", wanted).await;
    assert_eq!(of(&told, "fits fits_by limit frees_at"), "4 4 null null");
    for wrong in ["11:61", "soon", "32d", "2026-11-21T12:00:00Z", "2020-01-01", "0s"] {
        let asked = json!({"service_id": "search", "by": wrong});
        let told = house.call("get_balance", "scout", asked).await;
        assert_eq!(of(&told, "code field"), "invalid_request by", "{wrong}: {told}");
        let expected = told["expected"].as_str().unwrap();
        let said = expected.contains("within 31 days") && expected.contains("18:00");
        assert!(said, "{wrong}: {told}");
    }
}

#[tokio::test]
async fn a_quote_says_why_nothing_fits() {
    let house = House::new().await;
    house.scout().await;
    house.agent(json!({"handle": "broke", "funding": "prepaid"})).await;
    let why = async |agent: &str, asked: Value| {
        let told = quote(&house, agent, asked).await;
        assert_eq!(told["fits"], 0, "{told}");
        of(&told["limit"], "code")
    };
    let report = |amount: &str| json!({"service_id": "report", "amount_usd": amount});
    assert_eq!(why("scout", report("0.26")).await, "per_call_limit_exceeded");
    assert_eq!(why("scout", json!({"service_id": "serch"})).await, "service_unknown");
    house
        .agent(json!({"handle": "clerk", "funding": "allowance", "deny": ["search"],
        "caps": [{"period": "day", "cap_usd": "5.00"}]}))
        .await;
    assert_eq!(why("clerk", json!({"service_id": "search"})).await, "service_not_allowed");
    for (agent, service) in [("scout", "serch"), ("clerk", "search")] {
        for asked in
            [json!({"service_id": service}), json!({"service_id": service, "amount_usd": "0.01"})]
        {
            let told = quote(&house, agent, asked).await;
            assert_eq!(told.get("price_usd"), None, "what may not be paid has no price: {told}");
        }
    }
    let low = json!({"service_id": "search", "amount_usd": "0.01"});
    assert_eq!(why("scout", low).await, "price_above_maximum");
    assert_eq!(why("broke", json!({"service_id": "search"})).await, "insufficient_balance");
    house.revoke("broke").await;
    assert_eq!(why("broke", json!({"service_id": "search"})).await, "agent_revoked");

    for (asked, field) in [
        (json!({"service_id": "report"}), "amount_usd"),
        (json!({"calls": 3}), "service_id"),
        (json!({"service_id": "search", "calls": 0}), "calls"),
        (json!({"service_id": "search", "calls": 1_000_001}), "calls"),
        (json!({"service_id": "search", "for": "me"}), "for"),
    ] {
        let told = house.call("get_balance", "scout", asked).await;
        assert_eq!(of(&told, "outcome code field"), format!("denied invalid_request {field}"));
    }
}

/// Everything a dry run could leave behind: the record's head, and what the agent can spend.
async fn traces(house: &House, agent: &str) -> (String, Value) {
    let head = house.engine.books().await.unwrap().head;
    (format!("{head:?}"), house.call("get_balance", agent, json!({})).await)
}

#[tokio::test]
async fn a_dry_run_says_what_a_payment_would_and_leaves_no_trace() {
    let house = House::new().await;
    house.scout().await;
    let keyed = json!({"service_id": "search", "idempotency_key": "first"});
    house.pay("scout", keyed.clone()).await;
    let before = traces(&house, "scout").await;
    let asked = [
        json!({"service_id": "search"}),
        json!({"service_id": "search", "amount_usd": "0.05", "idempotency_key": "new"}),
        json!({"service_id": "report", "amount_usd": "0.26"}),
        json!({"service_id": "report"}),
        json!({"service_id": "serch"}),
        json!({}),
        json!({"service_id": "search", "idempotency_key": "first", "amount_usd": "1"}),
        keyed.clone(),
    ];
    let mut dry = Vec::new();
    for arguments in &asked {
        for said in [json!(true), json!("true")] {
            let mut arguments = arguments.clone();
            arguments["dry_run"] = said;
            let answer = house.call_as("pay_for_api_call", "scout", Some("c1"), arguments).await;
            assert_eq!(answer["dry_run"], true, "{answer}");
            dry.push(answer);
        }
    }
    assert_eq!(traces(&house, "scout").await, before);
    for (pair, arguments) in dry.chunks(2).zip(&asked) {
        assert_eq!(pair[0], pair[1]);
        let paid = house.pay("scout", arguments.clone()).await;
        let told = &pair[0];
        match paid["outcome"].as_str().unwrap() {
            "paid" if paid.get("replayed").is_none() => {
                assert_eq!(of(told, "outcome price_usd"), "allowed 0.02");
                assert!(told["message"].as_str().unwrap().contains("Nothing was charged"));
                assert_eq!(told.get("payment_id"), None);
            }
            "paid" => {
                assert_eq!(told["payment_id"], paid["payment_id"]);
                assert_eq!(told["replayed"], true);
            }
            _ => {
                let fields = "outcome code message advice max_affordable_usd breached nearest";
                assert_eq!(of(told, fields), of(&paid, fields));
                assert_eq!(told.get("payment_id"), None, "nothing is recorded by it");
            }
        }
    }
    let odd = json!({"service_id": "search", "dry_run": "perhaps"});
    assert_eq!(of(&house.pay("scout", odd).await, "code field"), "invalid_request dry_run");
}

#[tokio::test]
async fn a_dry_run_calls_no_rail_and_counts_towards_no_row_of_denials() {
    let rail = Scripted::new([Act::Take]);
    let house = House::with(rail.rails()).await;
    house.scout().await;
    let maps = json!({"id": "maps", "payee": "Acme", "price_usd": "0.10", "rail": "scripted"});
    house.service(maps).await;
    let dry = json!({"service_id": "maps", "dry_run": true});
    let told = house.pay("scout", dry).await;
    assert_eq!(of(&told, "outcome price_usd available_usd"), "allowed 0.10 5.00");
    assert!(rail.calls().is_empty());
    let dear = json!({"service_id": "report", "amount_usd": "0.40"});
    let first = house.pay("scout", dear.clone()).await;
    for _ in 0..5 {
        let mut dry = dear.clone();
        dry["dry_run"] = json!(true);
        assert_eq!(of(&house.pay("scout", dry).await, "outcome code"), of(&first, "outcome code"));
    }
    house.pay("scout", json!({"service_id": "search"})).await;
    assert_eq!(house.outcomes("scout").await, ["paid", "denied", "created"]);
    // An operator's dry run is one as well, and it needs no proof.
    let terms = PaymentTerms {
        service_id: "search".parse().unwrap(),
        amount_usd: None,
        idempotency_key: None,
        call_id: None,
        dry_run: true,
        task_id: None,
        request: None,
    };
    let told = house.engine.pay_as(&"scout".parse().unwrap(), terms).await.unwrap();
    assert_eq!(told.dry_run, Some(true));
    assert_eq!(house.outcomes("scout").await.len(), 3);
}

#[tokio::test]
async fn from_four_fifths_of_a_cap_on_a_paid_answer_says_so() {
    let house = House::new().await;
    house
        .agent(json!({"handle": "scout", "funding": "allowance", "caps": [
        {"period": "day", "cap_usd": "0.50"}, {"period": "run", "cap_usd": "0.30"}]}))
        .await;
    let pay = async |run: Option<&str>, amount: &str| {
        let call = Call {
            agent: "scout".parse().unwrap(),
            run: run.map(|run| run.parse().unwrap()),
            call_id: None,
            arguments: json!({"service_id": "report", "amount_usd": amount,
                "idempotency_key": format!("{}-{amount}", run.unwrap())}),
            came: Came::Local,
            via: None,
        };
        let answer = house.engine.call("pay_for_api_call", call).await.unwrap();
        assert_eq!(answer["outcome"], "paid", "{answer}");
        answer.get("note").map(|note| note.as_str().unwrap().to_owned())
    };
    assert_eq!(pay(Some("a"), "0.239999999").await, None);
    let run = "$0.24 of this run's cap of $0.30 is spent: finish the essential part first.";
    assert_eq!(pay(Some("a"), "0.000000001").await.as_deref(), Some(run));
    assert_eq!(pay(Some("b"), "0.159999999").await, None);
    let day = "$0.40 of today's cap of $0.50 is spent: finish the essential part first.";
    assert_eq!(pay(Some("b"), "0.000000001").await.as_deref(), Some(day));
    // The same payment told again says how it is now.
    assert_eq!(pay(Some("b"), "0.000000001").await.as_deref(), Some(day));
    house.pass(SignedDuration::from_hours(24));
    assert_eq!(pay(Some("c"), "0.10").await, None, "another day");
}

/// A mandate whose quotes take as long as any: it opens again every second, under as many caps as
/// there may be.
fn slow() -> Value {
    let services = (0..30).map(|number| format!("{}.00/24h service=s{number}", 100 + number));
    let caps: Vec<String> = services.collect();
    let above =
        |parent: Option<String>| json!({"caps": ["9000.00/24h", "9000x/744h"], "parent": parent});
    let groups = (0..8).map(|number| {
        let parent = (number > 0).then(|| format!("g{}", number - 1));
        (format!("g{number}"), above(parent))
    });
    let groups: serde_json::Map<String, Value> = groups.collect();
    let mut own = vec!["5000.00/24h".to_owned(), "8000x/744h".to_owned()];
    own.extend(caps.iter().map(|cap| cap.replace("/24h", "/day")));
    let slow = json!({"funding": "allowance", "caps": own, "cooldown": "1s", "group": "g7"});
    let services = (0..30).map(|number| (format!("s{number}"), json!({"payee": "Acme"})));
    let services: serde_json::Map<String, Value> = services.collect();
    json!({"schema": 1, "groups": groups, "services": services, "agents": {"slow": slow}})
}

#[tokio::test]
async fn while_quotes_are_counted_the_others_pay_and_are_frozen() {
    let house = House::new().await;
    house.scout().await;
    let asked: PolicyAsked = serde_json::from_value(json!({"policy": slow()})).unwrap();
    house.engine.apply_policy(asked, None).await.unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let call = Call {
        agent: "slow".parse().unwrap(),
        run: None,
        call_id: None,
        arguments: json!({"service_id": "search", "by": "31d"}),
        came: Came::Local,
        via: None,
    };
    for _ in 0..64 {
        let (engine, call, told) = (house.engine.clone(), call.clone(), Arc::clone(&told));
        tokio::spawn(async move {
            let answer = engine.call("get_balance", call).await.unwrap();
            assert_eq!(answer["quote"]["fits"], 1, "{answer}");
            told.fetch_add(1, Ordering::SeqCst);
        });
    }
    let engine = house.engine.clone();
    let groups = tokio::spawn(async move { engine.groups().await });
    tokio::task::yield_now().await;
    let paid = house.pay("scout", json!({"service_id": "search"})).await;
    assert_eq!(paid["outcome"], "paid");
    let freeze = serde_json::from_value(json!({"reason": "misbehaving"})).unwrap();
    house.engine.freeze(&"slow".parse().unwrap(), freeze).await.unwrap();
    let before = told.load(Ordering::SeqCst);
    assert!(before < 32, "both waited for {before} quotes");
    assert_eq!(groups.await.unwrap().unwrap().groups.len(), 8);
    let before = told.load(Ordering::SeqCst);
    assert!(before < 48, "the list of the groups waited for {before} quotes");
}

#[tokio::test]
async fn a_million_payments_under_a_rate_are_counted_at_once() {
    let house = House::new().await;
    for (handle, stops, fits) in [
        ("rated", json!({"rates": ["999999/24h", "1000000/min"]}), 999_999),
        ("flagged", json!({"burst": "2/min:flag"}), 1_000_000),
        ("throttled", json!({"burst": "900000/min:throttle", "rates": ["1000000/hour"]}), 900_000),
        ("frozen", json!({"burst": "800000/24h:freeze"}), 800_000),
    ] {
        let periods = ["hour", "day", "week", "month", "lifetime"];
        let caps = periods.iter().flat_map(|period| {
            ["search", "report"].map(
                |service| json!({"period": period, "cap_usd": "1000000.00", "service_id": service}),
            )
        });
        let all = periods.iter().chain(&["rolling_24h", "rolling_744h"]);
        let all = all.map(|period| json!({"period": period, "cap_usd": "1000000.00"}));
        let caps: Vec<Value> = caps.chain(all).collect();
        let mut new = json!({"handle": handle, "funding": "allowance", "caps": caps});
        new.as_object_mut().unwrap().extend(stops.as_object().unwrap().clone());
        house.agent(new).await;
        house.pay(handle, json!({"service_id": "report", "amount_usd": "0.01"})).await;
        // One by one it took many times as long.
        let counted = quote(&house, handle, json!({"service_id": "search"}));
        let told = tokio::time::timeout(Duration::from_secs(10), counted).await.unwrap();
        let before = i32::from(handle == "rated");
        assert_eq!(told["fits"], fits - before, "{told}");
    }
}

#[tokio::test]
async fn a_quote_of_what_opens_too_often_says_until_when_it_counts() {
    let house = House::new().await;
    house
        .agent(json!({"handle": "scout", "funding": "allowance", "cooldown": "1s",
        "caps": [{"period": "day", "cap_usd": "5000.00"}]}))
        .await;
    let told = quote(&house, "scout", json!({"service_id": "search", "by": "31d"})).await;
    assert_eq!(of(&told, "fits fits_by by"), "1 1001 2026-11-21T12:16:41Z");
    let told = quote(&house, "scout", json!({"service_id": "search", "by": "16m"})).await;
    assert_eq!(of(&told, "fits fits_by by"), "1 960 2026-11-21T12:16:00Z");
}
