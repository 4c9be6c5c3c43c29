//! The ledger as agents and operators look things up in it.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use jiff::SignedDuration;
use pettycash::{
    clock::instant,
    engine::Call,
    policy::{
        came::Came,
        terms::{LedgerAsked, Refund},
    },
    rails::{Rails, Verdict},
    store::{MAX_LOOKED, SEGMENT_BYTES},
};
use serde_json::{Value, json};

use super::rails::house_on;
use crate::support::{
    house::House,
    scripted::{Act, Scripted},
    sim_disk::SimDisk,
};

async fn pay_in(house: &House, agent: &str, run: &str, arguments: Value) -> Value {
    let call = Call {
        agent: agent.parse().unwrap(),
        run: Some(run.parse().unwrap()),
        call_id: None,
        arguments,
        came: Came::Local,
        via: None,
    };
    house.engine.call("pay_for_api_call", call).await.unwrap()
}

/// What the agent finds, a line in words: outcome, service, run.
async fn found(house: &House, agent: &str, arguments: Value) -> Vec<String> {
    let answer = house.call("ledger", agent, arguments).await;
    let entries = answer["entries"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let of = |line: &Value, field| line[field].as_str().unwrap_or("-").to_owned();
    let line = |line| ["outcome", "service_id", "run"].map(|field| of(line, field)).join(" ");
    entries.iter().map(line).collect()
}

/// A house whose agent took, was refused by the rail, did not get through, and was denied.
async fn eventful() -> House {
    let (no, unsent) = (Act::Say(Verdict::Failed), Act::Say(Verdict::NotSent));
    let rail = Scripted::new([Act::Take, no, unsent, Act::Take]);
    let house = House::with(rail.rails()).await;
    house.scout().await;
    let maps = json!({"id": "maps", "payee": "Acme", "price_usd": "0.10", "rail": "scripted"});
    house.service(maps).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(pay_in(&house, "scout", "nightly", json!({"service_id": "maps"})).await);
    }
    house.pay("scout", json!({"service_id": "search"})).await;
    for _ in 0..2 {
        house.pay("scout", json!({"service_id": "report", "amount_usd": "0.40"})).await;
    }
    let taken = ids[0]["payment_id"].as_str().unwrap().parse().unwrap();
    house.engine.refund(taken, Refund::default()).await.unwrap();
    house
}

#[tokio::test]
async fn a_line_says_what_its_payment_was_for_and_in_which_run() {
    let house = eventful().await;
    let all = [
        "refunded maps nightly",
        "denied_again report -",
        "denied report -",
        "paid search -",
        "voided maps nightly",
        "sent maps nightly",
        "held maps nightly",
        "failed maps nightly",
        "sent maps nightly",
        "held maps nightly",
        "captured maps nightly",
        "sent maps nightly",
        "held maps nightly",
        "created - -",
    ];
    assert_eq!(found(&house, "scout", json!({})).await, all);
    for (filter, word) in [
        (json!({"service_id": "maps"}), "maps"),
        (json!({"run": "nightly"}), "nightly"),
        (json!({"service_id": "report"}), "report"),
        (json!({"outcome": "voided"}), "voided"),
    ] {
        let some: Vec<_> = all.iter().copied().filter(|line| line.contains(word)).collect();
        assert_eq!(found(&house, "scout", filter.clone()).await, some.as_slice(), "{filter}");
        // The same a line at a time.
        let (mut paged, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let mut asked = filter.clone();
            (asked["limit"], asked["cursor"]) = (json!(1), cursor);
            paged.extend(found(&house, "scout", asked.clone()).await);
            cursor = house.call("ledger", "scout", asked).await["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(paged, some.as_slice(), "{filter}");
    }
    let both = json!({"service_id": "maps", "run": "nightly", "outcome": "captured"});
    assert_eq!(found(&house, "scout", both).await, ["captured maps nightly"]);
}

#[tokio::test]
async fn what_was_paid_is_found_whichever_way_it_went() {
    let house = eventful().await;
    let paid = ["paid search -", "captured maps nightly"];
    assert_eq!(found(&house, "scout", json!({"outcome": "paid"})).await, paid);
    let denied = ["denied_again report -", "denied report -"];
    assert_eq!(found(&house, "scout", json!({"outcome": "denied"})).await, denied);
    // A word that no line has would look as if nothing had been paid.
    let told = house.call("ledger", "scout", json!({"outcome": "succeeded"})).await;
    assert_eq!((&told["code"], &told["field"]), (&json!("invalid_request"), &json!("outcome")));
    assert!(told["expected"].as_str().unwrap().contains("paid, denied, failed"), "{told}");
    let every = house.call("ledger", "scout", json!({"limit": 100})).await;
    for line in every["entries"].as_array().unwrap() {
        let same = house.call("ledger", "scout", json!({"outcome": line["outcome"]})).await;
        assert!(same["entries"].as_array().unwrap().contains(line), "{line}");
    }
}

#[tokio::test]
async fn a_stretch_of_time_takes_its_beginning_and_leaves_its_end() {
    let house = House::new().await;
    house
        .agent(json!({"handle": "scout", "funding": "allowance", "timezone": "Asia/Kolkata",
        "caps": [{"period": "day", "cap_usd": "5.00"}]}))
        .await;
    // 12:00 UTC is 17:30 there; the next day begins at 18:30 UTC.
    for _ in 0..3 {
        house.pay("scout", json!({"service_id": "search"})).await;
        house.pass(SignedDuration::from_mins(195));
    }
    let times = async |filter: Value| {
        let answer = house.call("ledger", "scout", filter).await;
        let lines = answer["entries"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        let paid = lines.iter().filter(|line| line["outcome"] == "paid");
        paid.map(|line| line["at"].as_str().unwrap()[11..16].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(times(json!({})).await, ["18:30", "15:15", "12:00"]);
    assert_eq!(times(json!({"since": "2026-11-22"})).await, ["18:30"]);
    assert_eq!(times(json!({"until": "2026-11-22"})).await, ["15:15", "12:00"]);
    let stretch = json!({"since": "2026-11-21T15:15:00Z", "until": "2026-11-21T18:30:00Z"});
    assert_eq!(times(stretch).await, ["15:15"]);
    // Now it is 21:45.
    assert_eq!(times(json!({"since": "195m"})).await, ["18:30"]);
    assert_eq!(times(json!({"since": "196m", "until": "1h"})).await, ["18:30"]);
    assert_eq!(times(json!({"since": "2026-11-22", "until": "2026-11-22"})).await, [""; 0]);
    for (field, got) in [("since", "18:00"), ("until", "soon"), ("since", "2026-11-21T15:15")] {
        let told = house.call("ledger", "scout", json!({field: got})).await;
        assert_eq!((&told["code"], &told["field"]), (&json!("invalid_request"), &json!(field)));
    }
    let asked = LedgerAsked { since: "2026-11-22".parse().ok(), ..LedgerAsked::default() };
    let of_all = house.engine.ledger(asked.clone()).await.unwrap();
    assert!(of_all.entries.is_empty(), "everybody's days are those of UTC");
    let his = LedgerAsked { agent: "scout".parse().ok(), ..asked };
    assert_eq!(house.engine.ledger(his).await.unwrap().entries.len(), 1);
}

#[tokio::test]
async fn what_is_another_agents_is_found_as_little_as_what_there_is_not() {
    let house = House::new().await;
    house.scout().await;
    house
        .agent(json!({"handle": "other", "funding": "allowance", "caps": [
        {"period": "day", "cap_usd": "5.00"}]}))
        .await;
    let paid = pay_in(&house, "other", "theirs", json!({"service_id": "search"})).await;
    let at = |answer: &Value| answer["next_cursor"].clone();
    for (theirs, nobodys) in [
        (json!({"run": "theirs"}), json!({"run": "nobodys"})),
        (json!({"service_id": "search"}), json!({"service_id": "no-such"})),
    ] {
        let theirs = house.call("ledger", "scout", theirs).await;
        assert_eq!(theirs, house.call("ledger", "scout", nobodys).await);
        assert_eq!((&theirs["entries"], at(&theirs)), (&json!([]), Value::Null));
    }
    // Their cursor leads nowhere, as one that was made up.
    let page = house.call("ledger", "other", json!({"limit": 1})).await;
    assert_eq!(page["entries"][0]["payment_id"], paid["payment_id"]);
    let refused = async |cursor: Value| {
        let told = house.call("ledger", "scout", json!({"cursor": cursor})).await;
        (told["code"].clone(), told["field"].clone(), told["expected"].clone())
    };
    let theirs = refused(at(&page)).await;
    assert_eq!(theirs.0, "invalid_request");
    for made_up in ["1-1", "zzz", "", "0-0", "ffffffffffffffff-1"] {
        assert_eq!(refused(json!(made_up)).await, theirs, "{made_up}");
    }
}

#[tokio::test]
async fn pages_that_were_begun_show_each_older_line_once_whatever_is_written_meanwhile() {
    let house = House::new().await;
    house.scout().await;
    for number in 0..10 {
        let service = if number % 2 == 0 { "search" } else { "report" };
        house.pay("scout", json!({"service_id": service, "amount_usd": "0.02"})).await;
    }
    let before = house.call("ledger", "scout", json!({"service_id": "search"})).await;
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let asked = json!({"service_id": "search", "limit": 2, "cursor": cursor});
        let page = house.call("ledger", "scout", asked).await;
        seen.extend(page["entries"].as_array().unwrap().clone());
        house.pay("scout", json!({"service_id": "search"})).await;
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(Value::from(seen), before["entries"]);
}

#[tokio::test]
async fn columns_say_what_lines_say_in_fewer_bytes() {
    let house = eventful().await;
    let lines = house.call("ledger", "scout", json!({"limit": 100})).await;
    let table = house.call("ledger", "scout", json!({"limit": 100, "format": "columns"})).await;
    let names = table["columns"].as_array().unwrap();
    assert!(table.get("entries").is_none());
    let rows = table["rows"].as_array().unwrap();
    let entries = lines["entries"].as_array().unwrap();
    assert_eq!(rows.len(), entries.len());
    for (row, line) in rows.iter().zip(entries) {
        let told = names.iter().zip(row.as_array().unwrap());
        let told = told.filter(|(_, value)| **value != "");
        let told: serde_json::Map<_, _> =
            told.map(|(name, value)| (name.as_str().unwrap().to_owned(), value.clone())).collect();
        let mut line = line.clone();
        if let Some(times) = line.get_mut("times") {
            *times = times.to_string().into();
        }
        assert_eq!(Value::Object(told), line);
    }
    assert!(table.to_string().len() < lines.to_string().len());
    let odd = house.call("ledger", "scout", json!({"format": "csv"})).await;
    assert_eq!((&odd["code"], &odd["field"]), (&json!("invalid_request"), &json!("format")));
}

#[tokio::test]
async fn a_hundred_payments_take_fewer_bytes_in_columns_by_two_fifths() {
    let house = House::new().await;
    house.scout().await;
    for _ in 0..100 {
        house.pay("scout", json!({"service_id": "search"})).await;
        house.pass(SignedDuration::from_millis(1_234));
    }
    let bytes = async |format: &str| {
        let asked = json!({"limit": 100, "outcome": "paid", "format": format});
        house.call("ledger", "scout", asked).await.to_string().len()
    };
    let (lines, columns) = (bytes("lines").await, bytes("columns").await);
    eprintln!("100 payments: {lines} bytes in lines, {columns} in columns");
    assert!(columns * 5 < lines * 3, "{columns} of {lines} bytes");
}

/// A record that holds ten thousand agents is not read whole for the one line of one of them.
#[tokio::test(flavor = "multi_thread")]
async fn many_read_their_ledgers_after_a_policy_of_ten_thousand_agents() {
    const READERS: usize = 40;
    let house = House::new().await;
    let agent = |number| {
        (
            format!("agent-{number:05}"),
            json!({"funding": "allowance",
        "caps": ["5.00/day", "20.00/week", "60.00/month"], "per_call": "0.25"}),
        )
    };
    let agents: serde_json::Map<_, _> = (0..10_000).map(agent).collect();
    let policy = json!({"policy": {"schema": 1, "agents": agents}});
    let policy = serde_json::from_value(policy).unwrap();
    house.engine.apply_policy(policy, None).await.unwrap();
    let began = instant();
    let read = (0..READERS).map(|number| {
        let (engine, agent) = (house.engine.clone(), format!("agent-{:05}", number * 251));
        tokio::spawn(async move {
            let page =
                engine.ledger(LedgerAsked::page(agent.parse().ok(), None, None)).await.unwrap();
            page.entries.into_iter().map(|entry| entry.line.outcome).collect::<Vec<_>>()
        })
    });
    for read in join_all(read).await {
        assert_eq!(read.unwrap(), ["created"]);
    }
    let took = began.elapsed();
    eprintln!("{READERS} pages: {took:.1?}");
    assert!(took < Duration::from_secs(25), "{took:.1?}: nobody waits so long for an answer");
}

#[tokio::test]
async fn a_page_that_is_searched_for_long_answers_with_what_it_found() {
    let house = house_on(&SimDisk::default(), Rails::default(), SEGMENT_BYTES).await;
    for service in ["search", "report"] {
        house.service(json!({"id": service, "payee": "Acme", "price_usd": "0.01"})).await;
    }
    house
        .agent(json!({"handle": "scout", "funding": "allowance", "caps": [
        {"period": "day", "cap_usd": "5000.00"}]}))
        .await;
    house.pay("scout", json!({"service_id": "report"})).await;
    for _ in 0..MAX_LOOKED + 10 {
        house.pay("scout", json!({"service_id": "search"})).await;
    }
    let first = house.call("ledger", "scout", json!({"service_id": "report"})).await;
    assert_eq!(first["entries"], json!([]), "nothing among so many");
    let cursor = &first["next_cursor"];
    let rest = json!({"service_id": "report", "cursor": cursor});
    assert_eq!(found(&house, "scout", rest).await, ["paid report -"]);
    // Who asks for a time that is over need not look any further.
    house.pass(SignedDuration::from_hours(2));
    house.pay("scout", json!({"service_id": "search"})).await;
    let recent = house.call("ledger", "scout", json!({"since": "1h"})).await;
    assert_eq!(recent["entries"].as_array().unwrap().len(), 1);
    assert_eq!(recent.get("next_cursor"), None);
}

#[tokio::test]
async fn every_outcome_that_a_line_has_can_be_asked_for_and_no_other() {
    let asked = LedgerAsked { outcome: Some("nothing".to_owned()), ..LedgerAsked::default() };
    let house = House::new().await;
    let refused = house.engine.ledger(asked).await.unwrap_err().to_string();
    let (_, known) = refused.split_once("there are ").unwrap();
    let known: BTreeSet<&str> = known.split(", ").collect();
    // The words stand where the lines are made, between these two, and nothing else does in quotes.
    let source = include_str!("../../src/engine/report.rs");
    let (_, source) = source.split_once("fn line(entry: &Entry)").unwrap();
    let (source, rest) = source.split_once("fn hold_line(").unwrap();
    let (_, tasks) = rest.split_once("fn task_word(").unwrap();
    let quoted = |text: &'static str| text.split('"').skip(1).step_by(2);
    let written: BTreeSet<&str> = quoted(source).chain(quoted(tasks)).collect();
    assert!(written.len() > 30, "{written:?}");
    assert_eq!(known, written);
}
