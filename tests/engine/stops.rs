//! What ends the loops of an agent.

use std::{path::Path, time::Duration};

use jiff::SignedDuration;
use serde_json::{Value, json};

use pettycash::policy::{entry::Fact, row::DenialRow};

use crate::support::{bench::Bench, house::House};

/// What the agent of these tests gets wrong, time after time.
fn malformed() -> Value {
    json!({"service_id": "report", "amount_usd": "1e3"})
}

fn bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let size = |file: std::fs::DirEntry| {
        let is_dir = file.file_type().unwrap().is_dir();
        if is_dir { bytes(&file.path()) } else { file.metadata().unwrap().len() }
    };
    files.map(size).sum()
}

#[tokio::test]
async fn the_third_identical_denial_in_a_row_says_stop_and_what_would_change_it() {
    let house = House::new().await;
    house.scout().await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(house.pay("scout", malformed()).await);
    }
    let codes: Vec<_> = answers.iter().map(|answer| answer["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["invalid_request", "invalid_request", "loop_detected", "loop_detected"]);
    let stop = &answers[2];
    assert_eq!(stop["outcome"], "denied");
    assert_eq!(stop["advice"], "stop");
    assert_eq!(stop["breached"], json!([{"code": "invalid_request"}]));
    assert_eq!(stop["field"], "amount_usd");
    assert_eq!(
        stop["message"],
        "Stop: the same call was refused at least 3 times in a row, and only other arguments can \
         change that. Nothing was charged."
    );
    assert_eq!(answers[3], *stop);
    assert!(stop.get("retry_after_s").is_none());
    assert_eq!(house.lines("scout").await[0]["code"], "loop_detected", "operators see it");
}

#[tokio::test]
async fn a_paid_call_or_another_one_ends_the_row() {
    let house = House::new().await;
    house.scout().await;
    let code = async |ask: Value| house.pay("scout", ask).await["code"].clone();
    let (dear, search) =
        (json!({"service_id": "report", "amount_usd": "0.40"}), json!({"service_id": "search"}));
    for between in [search, json!({"service_id": "nope"})] {
        for _ in 0..2 {
            assert_eq!(code(dear.clone()).await, "per_call_limit_exceeded");
        }
        house.pay("scout", between).await;
        for _ in 0..2 {
            assert_eq!(code(dear.clone()).await, "per_call_limit_exceeded");
        }
        assert_eq!(code(dear.clone()).await, "loop_detected");
        house.pay("scout", json!({"service_id": "search"})).await;
    }
}

#[tokio::test]
async fn a_restart_does_not_forget_a_loop() {
    let house = House::new().await;
    house.scout().await;
    for _ in 0..2 {
        house.pay("scout", malformed()).await;
    }
    let house = house.reopened().await;
    assert_eq!(house.pay("scout", malformed()).await["code"], "loop_detected");
    let house = house.reopened().await;
    assert_eq!(house.pay("scout", malformed()).await["code"], "loop_detected");
}

#[tokio::test]
async fn a_denial_that_says_to_stop_keeps_its_own_code() {
    let house = House::new().await;
    house.scout().await;
    house.revoke("scout").await;
    for _ in 0..5 {
        let answer = house.pay("scout", json!({"service_id": "search"})).await;
        assert_eq!((&answer["code"], &answer["advice"]), (&json!("agent_revoked"), &json!("stop")));
    }
}

/// A loop that runs all night must cost neither money nor disk, nor anybody else anything.
#[tokio::test]
async fn a_malformed_call_made_4200_times_costs_no_money_next_to_no_disk_and_nobody_else() {
    let house = House::new().await;
    house.scout().await;
    house
        .agent(json!({"handle": "calm", "funding": "allowance",
            "caps": [{"period": "lifetime", "cap_usd": "2.00"}]}))
        .await;
    let house = house.reopened().await;
    // The room that the journal makes ahead of itself is no growth: its end is.
    let end = async |house: &House| house.engine.books().await.unwrap().head.position.unwrap();
    let desk = house.dir.path().join("desk");
    let (record, kept) = (end(&house).await, bytes(&desk));
    for nth in 1..=4_200 {
        let answer = house.pay("scout", malformed()).await;
        let stop = (&json!("loop_detected"), &json!("stop"));
        let wrong = (&json!("invalid_request"), &json!("fix_request"));
        let expected = if nth < 3 { wrong } else { stop };
        assert_eq!((&answer["code"], &answer["advice"]), expected, "the {nth}th");
        house.pass(SignedDuration::from_secs(8));
        if nth % 42 == 0 {
            let calm = house.pay("calm", json!({"service_id": "search"})).await;
            assert_eq!(calm["outcome"], "paid", "beside the {nth}th");
        }
        if nth % 1_400 == 0 {
            // The writer writes down what it counted once a second.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
    }
    let house = house.reopened().await;
    let lines = house.lines("scout").await;
    let again: u64 = lines.iter().filter_map(|line| line["times"].as_u64()).sum();
    assert_eq!(again + 2, 4_200, "every one is counted");
    let spent = async |agent: &str| {
        let agents = house.engine.agents().await.unwrap().agents;
        agents.iter().find(|view| view.handle() == agent).unwrap().spent_usd.decimal()
    };
    assert_eq!((spent("scout").await, spent("calm").await), ("0.00".into(), "2.00".into()));
    let denied = house.pay("calm", json!({"service_id": "search"})).await;
    assert_eq!(denied["code"], "cap_exceeded", "to the cap, and not beyond");
    let (record, kept) = (end(&house).await - record, bytes(&desk).saturating_sub(kept));
    // The hundred payments of the other are in it.
    assert!(record < 96 * 1024, "the record grew by {record} bytes");
    assert!(record + kept < 1024 * 1024, "record and desk grew by {record} and {kept} bytes");
}

#[tokio::test]
async fn nobody_else_is_disturbed_by_a_loop() {
    let house = House::new().await;
    house.scout().await;
    house
        .agent(json!({"handle": "calm", "funding": "allowance",
            "caps": [{"period": "day", "cap_usd": "0.20"}]}))
        .await;
    for nth in 1..=100 {
        assert_eq!(house.pay("scout", malformed()).await["outcome"], "denied");
        if nth % 10 == 0 {
            let calm = house.pay("calm", json!({"service_id": "search"})).await;
            assert_eq!(calm["outcome"], "paid");
        }
    }
    // Its own two denials are its own: the others' make no loop of them.
    for _ in 0..2 {
        let denied = house.pay("calm", json!({"service_id": "search"})).await;
        assert_eq!(denied["code"], "cap_exceeded");
        house.pay("scout", malformed()).await;
    }
    let lines = house.lines("calm").await;
    let of = |outcome| lines.iter().filter(|line| line["outcome"] == outcome).count();
    assert_eq!((of("paid"), of("denied"), of("created")), (10, 1, 1));
    assert_eq!(house.outcomes("scout").await.iter().filter(|o| *o == "paid").count(), 0);
}

/// The same at the pace of a patient loop, where every denial sees a tick of the writer.
#[test]
fn a_loop_all_night_is_told_in_few_entries() {
    let mut bench = Bench::at("2026-11-21T22:00:00Z");
    let agent = "scout".parse().unwrap();
    bench.open_allowance(&agent);
    for _ in 0..4_200 {
        let payment = bench.payment("nope", None, None);
        let counted = bench.ask_unwritten(&agent, &payment);
        assert!(counted.is_err());
        for _ in 0..8 {
            let due = bench.state.take_due_repeats();
            bench.write(due);
            bench.pass(1);
        }
    }
    assert!(bench.entries.len() < 650, "{} entries", bench.entries.len());
    let size: usize =
        bench.entries.iter().map(|(e, ..)| serde_json::to_vec(e).unwrap().len()).sum();
    // Each has a frame of some sixty bytes, and a hundred are a generous frame.
    assert!(size + 100 * bench.entries.len() < 384 * 1024, "{size} bytes");
    bench.write_counted();
    let row = bench.state.book(&agent).unwrap().row.clone().unwrap();
    assert_eq!(row.all, Some(4_200));
    assert_eq!(bench.state, bench.refold());
}

/// What was counted at the end of a long row must not wait for more that never comes.
#[test]
fn what_was_counted_is_written_within_a_minute_though_nothing_follows() {
    let mut bench = Bench::at("2026-11-21T22:00:00Z");
    let agent = "scout".parse().unwrap();
    bench.open_allowance(&agent);
    let payment = bench.payment("nope", None, None);
    for _ in 0..100 {
        bench.ask_unwritten(&agent, &payment).unwrap_err();
    }
    bench.write_counted();
    bench.ask_unwritten(&agent, &payment).unwrap_err();
    let looks = (1..=100).find(|_| !bench.state.take_due_repeats().is_empty());
    assert_eq!(looks, Some(60), "the writer looks once a second");
    assert!(!bench.state.counts_repeats());
}

#[tokio::test]
async fn three_calls_that_are_wrong_in_one_way_each_for_another_service_or_amount_are_no_loop() {
    let house = House::new().await;
    house.scout().await;
    let wrong = |service: &str, amount: &str| json!({"service_id": service, "amount_usd": amount});
    let code = async |ask: Value| house.pay("scout", ask).await["code"].clone();
    for service in ["report", "search", "nope"] {
        assert_eq!(code(wrong(service, "1e3")).await, "invalid_request");
    }
    for amount in ["0.10", "0.20", "0.30"] {
        assert_eq!(code(wrong("No Name", amount)).await, "invalid_request");
    }
    for _ in 0..2 {
        assert_eq!(code(wrong("report", "1e3")).await, "invalid_request");
    }
    assert_eq!(code(wrong("report", "1e3")).await, "loop_detected");
    let line = &house.lines("scout").await[0];
    assert_eq!(line["service_id"], "report", "operators see what was named");
}

#[tokio::test]
async fn three_keys_that_stand_for_other_payments_are_no_loop() {
    let house = House::new().await;
    house.scout().await;
    let ask = |amount: &str, key: &str| {
        json!({"service_id": "report",
            "amount_usd": amount, "idempotency_key": key})
    };
    for key in ["a", "b", "c"] {
        assert_eq!(house.pay("scout", ask("0.01", key)).await["outcome"], "paid");
    }
    for key in ["a", "b", "c"] {
        assert_eq!(house.pay("scout", ask("0.02", key)).await["code"], "idempotency_key_reused");
    }
    house.pay("scout", ask("0.02", "c")).await;
    assert_eq!(house.pay("scout", ask("0.02", "c")).await["code"], "loop_detected");
}

#[tokio::test]
async fn a_call_that_its_transport_sends_again_is_counted_once_also_after_a_restart() {
    let mut house = House::new().await;
    house.scout().await;
    let mut codes = Vec::new();
    for call in ["one", "one", "two", "two", "two", "three", "three"] {
        let answer = house.call_as("pay_for_api_call", "scout", Some(call), malformed()).await;
        codes.push(answer["code"].as_str().unwrap().to_owned());
        house = house.reopened().await;
    }
    let (wrong, stop) = ("invalid_request", "loop_detected");
    assert_eq!(codes, [wrong, wrong, wrong, wrong, wrong, stop, stop]);
    let lines = house.lines("scout").await;
    let denied = lines.iter().filter(|line| line["outcome"] == "denied").count() as u64;
    let again: u64 = lines.iter().filter_map(|line| line["times"].as_u64()).sum();
    assert_eq!(denied + again, 3);
}

#[tokio::test]
async fn to_ask_for_a_payment_that_is_not_there_again_and_again_is_a_loop() {
    let house = House::new().await;
    house.scout().await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        let answer = house.pay("scout", json!({"payment_id": "pay_00000000000fffff"})).await;
        codes.push(answer["code"].as_str().unwrap().to_owned());
    }
    assert_eq!(codes, ["invalid_request", "invalid_request", "loop_detected"]);
}

#[tokio::test]
async fn a_loop_still_says_what_would_be_paid_and_when() {
    let house = House::new().await;
    house.scout().await;
    let dear = json!({"service_id": "report", "amount_usd": "0.40"});
    let again = async |ask: &Value| {
        for _ in 0..2 {
            house.pay("scout", ask.clone()).await;
        }
        house.pay("scout", ask.clone()).await
    };
    let told = again(&dear).await;
    assert_eq!((&told["code"], &told["advice"]), (&json!("loop_detected"), &json!("stop")));
    assert_eq!(told["max_affordable_usd"], "0.25");
    house
        .agent(json!({"handle": "daily", "funding": "allowance",
            "caps": [{"period": "day", "cap_usd": "0.02"}]}))
        .await;
    house.pay("daily", json!({"service_id": "search"})).await;
    for _ in 0..2 {
        house.pay("daily", json!({"service_id": "search"})).await;
    }
    let told = house.pay("daily", json!({"service_id": "search"})).await;
    assert_eq!((&told["code"], &told["advice"]), (&json!("loop_detected"), &json!("stop")));
    assert_eq!(told["resets_at"], "2026-11-22T00:00:00Z");
    assert!(told.get("retry_after_s").is_none(), "whoever is to stop is not told to come back");
}

/// Rows and facts as they were written before loops were known, and before calls were kept.
#[test]
fn what_was_written_of_denials_before_still_reads() {
    let row = json!({"fingerprint": "search - - cap_exceededday", "payment": "pay_0000000000000005",
        "times": 4, "written": 1, "codes": ["cap_exceeded"]});
    let row: DenialRow = serde_json::from_value(row).unwrap();
    assert_eq!(
        (row.all, row.tripped, row.alike, row.throttles, row.call),
        (None, 0, None, 0, None)
    );
    for fact in [
        json!({"denied_again": {"payment": "pay_0000000000000005", "times": 3}}),
        json!({"denied_again": {"payment": "pay_0000000000000005", "times": 3, "others": 1}}),
        json!({"tripped": {"stop": "identical-burst"}}),
        json!({"denied": {"payment": "pay_0000000000000005", "refusal": {"denials":
            ["loop_detected", {"insufficient_balance": {"funds": 0}}], "asked": 5,
            "affordable": 0, "fixed_price": true}}}),
        json!({"mandate_set": {"mandate": {"funding": "prepaid", "caps": [], "zone": "UTC"}}}),
    ] {
        let read: Fact = serde_json::from_value(fact.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), fact, "and is written as it was");
    }
}

#[tokio::test]
async fn other_calls_that_share_a_call_id_are_each_refused_and_counted() {
    let house = House::new().await;
    house.scout().await;
    house
        .agent(json!({"handle": "calm", "funding": "allowance", "denials": "6:freeze",
            "caps": [{"period": "day", "cap_usd": "5.00"}]}))
        .await;
    let call = async |agent: &str, service: &str| {
        let asked = json!({"service_id": service, "amount_usd": "0.10"});
        let answer = house.call_as("pay_for_api_call", agent, Some("always"), asked).await;
        answer["code"].as_str().unwrap().to_owned()
    };
    let nowhere = ["a", "b", "c", "d", "e", "f"];
    for service in &nowhere[..5] {
        assert_eq!(call("calm", service).await, "service_unknown");
    }
    assert_eq!(call("calm", "f").await, "agent_frozen", "the sixth in a row");
    let lines = house.lines("calm").await;
    let denied = lines.iter().filter(|line| line["outcome"] == "denied").count();
    assert_eq!(denied, 6, "each has its line");
    // In turns they are no loop; and the same once more is the same call sent again.
    for service in ["a", "a", "b", "b", "a"] {
        assert_eq!(call("scout", service).await, "service_unknown");
    }
    let lines = house.lines("scout").await;
    let denied = lines.iter().filter(|line| line["outcome"] == "denied").count();
    assert_eq!(denied, 3);
}
