//! Payments and refusals: keys, names, what is shared and what is not.

use jiff::SignedDuration;
use pettycash::{engine::Call, policy::came::Came};
use serde_json::{Value, json};

use crate::support::house::House;

fn ids(answers: &[Value]) -> Vec<&str> {
    answers.iter().map(|answer| answer["payment_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_payment_is_answered_as_the_contract_says() {
    let house = House::new().await;
    house.scout().await;
    let paid = house.pay("scout", json!({"service_id": "search"})).await;
    let id = paid["payment_id"].clone();
    assert_eq!(
        paid,
        json!({"outcome": "paid", "payment_id": id, "service_id": "search",
            "charged_usd": "0.02", "available_usd": "4.98"})
    );
    let denied = house.pay("scout", json!({"service_id": "report", "amount_usd": "0.40"})).await;
    let id = denied["payment_id"].clone();
    assert_eq!(
        denied,
        json!({"outcome": "denied", "code": "per_call_limit_exceeded",
            "message": "$0.40 is over the limit of $0.25 for one payment. Nothing was charged.",
            "advice": "shrink", "payment_id": id, "max_affordable_usd": "0.25",
            "breached": [{"code": "per_call_limit_exceeded", "scope": "agent",
                "limit_usd": "0.25", "asked_usd": "0.40"}]})
    );
}

#[tokio::test]
async fn the_same_key_pays_once() {
    let house = House::new().await;
    house.scout().await;
    let ask = json!({"service_id": "search", "idempotency_key": "k1"});
    let first = house.pay("scout", ask.clone()).await;
    assert_eq!(first["outcome"], "paid");
    assert_eq!(first.get("replayed"), None);
    let again = house.pay("scout", ask.clone()).await;
    assert_eq!(again["replayed"], true);
    assert_eq!(ids(std::slice::from_ref(&first)), ids(&[again]));
    let house = house.reopened().await;
    let later = house.pay("scout", ask).await;
    assert_eq!(later["replayed"], true, "the key is forgotten by a restart");
    assert_eq!(later["payment_id"], first["payment_id"]);
    assert_eq!(house.outcomes("scout").await, ["paid", "created"]);
}

#[tokio::test]
async fn the_same_key_at_once_pays_once() {
    let house = House::new().await;
    house.scout().await;
    let ask = json!({"service_id": "search", "idempotency_key": "k1"});
    let all = (0..64).map(|_| house.pay("scout", ask.clone()));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(|answer| answer["outcome"] == "paid"));
    let fresh = answers.iter().filter(|answer| answer.get("replayed").is_none());
    assert_eq!(fresh.count(), 1);
    assert_eq!(house.outcomes("scout").await, ["paid", "created"]);
}

#[tokio::test]
async fn a_key_stands_for_one_payment_only() {
    let house = House::new().await;
    house.scout().await;
    let key = "k1";
    house.pay("scout", json!({"service_id": "search", "idempotency_key": key})).await;
    for other in [
        json!({"service_id": "report", "amount_usd": "0.02", "idempotency_key": key}),
        json!({"service_id": "search", "amount_usd": "0.05", "idempotency_key": key}),
    ] {
        let reused = house.pay("scout", other).await;
        assert_eq!(reused["code"], "idempotency_key_reused");
        assert_eq!(reused["advice"], "fix_request");
    }
    house.agent(json!({"handle": "other", "funding": "prepaid"})).await;
    house.top_up("other", "1.00").await;
    let theirs = house.pay("other", json!({"service_id": "search", "idempotency_key": key})).await;
    assert_eq!(theirs["outcome"], "paid", "keys of two agents are two keys");
    assert_eq!(theirs.get("replayed"), None);
}

#[tokio::test]
async fn a_denial_binds_no_key() {
    let house = House::new().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    let ask = json!({"service_id": "search", "idempotency_key": "k1"});
    assert_eq!(house.pay("intern", ask.clone()).await["code"], "insufficient_balance");
    house.top_up("intern", "1.00").await;
    let paid = house.pay("intern", ask).await;
    assert_eq!(paid["outcome"], "paid");
    assert_eq!(paid.get("replayed"), None);
}

#[tokio::test]
async fn a_key_is_kept_for_thirty_days() {
    let house = House::new().await;
    house.scout().await;
    let ask = json!({"service_id": "search", "idempotency_key": "k1"});
    let first = house.pay("scout", ask.clone()).await;
    house.pass(SignedDuration::from_hours(30 * 24 - 1));
    assert_eq!(house.pay("scout", ask.clone()).await["payment_id"], first["payment_id"]);
    house.pass(SignedDuration::from_hours(2));
    let anew = house.pay("scout", ask).await;
    assert_eq!(anew["outcome"], "paid");
    assert_ne!(anew["payment_id"], first["payment_id"]);
}

#[tokio::test]
async fn a_call_that_is_sent_again_is_the_same_call() {
    let house = House::new().await;
    house.scout().await;
    let ask = json!({"service_id": "search"});
    let pay = |call| house.call_as("pay_for_api_call", "scout", Some(call), ask.clone());
    let first = pay("call_a").await;
    let resent = pay("call_a").await;
    assert_eq!(first, resent, "its caller has heard nothing yet: no replay, one payment");
    let other = pay("call_b").await;
    assert_ne!(other["payment_id"], first["payment_id"]);
    // What an `in_progress` answer told the model to send.
    let told = json!({"service_id": "search", "idempotency_key": "call_a"});
    let fetched = house.call_as("pay_for_api_call", "scout", Some("call_c"), told).await;
    assert_eq!(fetched["payment_id"], first["payment_id"]);
    assert_eq!(fetched["replayed"], true);
    house.pass(SignedDuration::from_mins(16));
    assert_ne!(pay("call_a").await["payment_id"], first["payment_id"]);
}

#[tokio::test]
async fn a_payment_id_alone_fetches_the_outcome() {
    let house = House::new().await;
    house.scout().await;
    let paid = house.pay("scout", json!({"service_id": "search"})).await;
    let fetched = house.pay("scout", json!({"payment_id": paid["payment_id"]})).await;
    assert_eq!(fetched["outcome"], "paid");
    assert_eq!(fetched["charged_usd"], "0.02");
    assert_eq!(fetched["replayed"], true);
    let denied = house.pay("scout", json!({"service_id": "serch"})).await;
    let fetched = house.pay("scout", json!({"payment_id": denied["payment_id"]})).await;
    assert_eq!(fetched["code"], "service_unknown");
    assert_eq!(fetched["payment_id"], denied["payment_id"]);
}

#[tokio::test]
async fn another_agents_payment_is_as_unknown_as_one_that_never_was() {
    let house = House::new().await;
    house.scout().await;
    house.agent(json!({"handle": "other", "funding": "prepaid"})).await;
    let paid = house.pay("scout", json!({"service_id": "search"})).await;
    let id = paid["payment_id"].as_str().unwrap();
    let mut answers = Vec::new();
    for id in [id, "pay_00000000ffff0000", "pay_0000000000000000", "pay_ffffffffffffffff"] {
        let mut answer = house.pay("other", json!({"payment_id": id})).await;
        assert_eq!(answer["code"], "invalid_request");
        assert_eq!(answer["field"], "payment_id");
        for field in ["payment_id", "got"] {
            answer.as_object_mut().unwrap().remove(field);
        }
        answers.push(answer);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

#[tokio::test]
async fn an_unknown_service_is_denied_with_the_nearest_names() {
    let house = House::new().await;
    house.scout().await;
    house.service(json!({"id": "search-lite", "payee": "Acme Search", "price_usd": "0.01"})).await;
    let denied = house.pay("scout", json!({"service_id": "serch"})).await;
    assert_eq!(denied["code"], "service_unknown");
    assert_eq!(denied["nearest"], json!(["search"]));
    let nothing_near = house.pay("scout", json!({"service_id": "zzzzzzzzzzzz"})).await;
    assert_eq!(nothing_near.get("nearest"), None);
}

#[tokio::test]
async fn what_is_too_dear_is_denied_with_cheaper_kin() {
    let house = House::new().await;
    house.agent(json!({"handle": "poor", "funding": "prepaid"})).await;
    house.top_up("poor", "0.01").await;
    house.service(json!({"id": "search-lite", "payee": "Lite", "price_usd": "0.01"})).await;
    house.service(json!({"id": "acme-maps", "payee": "Acme Search", "price_usd": "0.005"})).await;
    house.service(json!({"id": "unrelated", "payee": "Other", "price_usd": "0.001"})).await;
    let denied = house.pay("poor", json!({"service_id": "search"})).await;
    assert_eq!(denied["code"], "insufficient_balance");
    assert_eq!(
        denied["alternatives"],
        json!([{"service_id": "acme-maps", "price_usd": "0.005"},
            {"service_id": "search-lite", "price_usd": "0.01"}])
    );
}

#[tokio::test]
async fn in_place_of_a_service_whose_cap_is_used_up_another_is_offered_whose_cap_is_not() {
    let house = House::new().await;
    for (id, price) in [
        ("search-lite", "0.01"),
        ("search-mini", "0.005"),
        ("search-same", "0.02"),
        ("search-pro", "0.05"),
    ] {
        house.service(json!({"id": id, "payee": "Lite", "price_usd": price})).await;
    }
    let caps = [
        ("day", json!({"cap_usd": "5.00"})),
        ("day", json!({"cap_count": 1, "service_id": "search"})),
        ("day", json!({"cap_usd": "0.004", "service_id": "search-mini"})),
    ];
    let caps = caps.map(|(period, mut cap)| {
        cap["period"] = json!(period);
        cap
    });
    house.agent(json!({"handle": "scout", "funding": "allowance", "caps": caps})).await;
    assert_eq!(house.pay("scout", json!({"service_id": "search"})).await["outcome"], "paid");
    let denied = house.pay("scout", json!({"service_id": "search"})).await;
    assert_eq!(denied["code"], "cap_exceeded");
    assert_eq!(
        denied["alternatives"],
        json!([{"service_id": "search-lite", "price_usd": "0.01"},
            {"service_id": "search-same", "price_usd": "0.02"}])
    );
    for offered in denied["alternatives"].as_array().unwrap() {
        let pay = json!({"service_id": offered["service_id"]});
        assert_eq!(house.pay("scout", pay).await["outcome"], "paid");
    }
}

#[tokio::test]
async fn a_revoked_agent_pays_nothing_and_can_still_read() {
    let house = House::new().await;
    house.scout().await;
    let ask = json!({"service_id": "search", "idempotency_key": "k1"});
    house.pay("scout", ask.clone()).await;
    house.revoke("scout").await;
    let denied = house.pay("scout", json!({"service_id": "search"})).await;
    assert_eq!(denied["code"], "agent_revoked");
    assert_eq!(denied["advice"], "stop");
    assert_eq!(house.pay("scout", ask).await["replayed"], true, "what was paid stays paid");
    for malformed in [json!({"service_id": 5}), json!({"service_id": "report"}), json!([])] {
        let answer = house.pay("scout", malformed).await;
        assert_eq!((&answer["code"], &answer["advice"]), (&json!("agent_revoked"), &json!("stop")));
    }
    let balance = house.call("get_balance", "scout", json!({})).await;
    assert_eq!(balance["standing"], "revoked");
    assert_eq!(balance["reason"], "compromised");
    assert_eq!(balance["available_usd"], "0.00");
    assert_eq!(
        house.outcomes("scout").await,
        ["denied", "denied", "denied", "denied", "revoked", "paid", "created"]
    );
    let house = house.reopened().await;
    let denied = house.pay("scout", json!({"service_id": "search"})).await;
    assert_eq!(denied["code"], "agent_revoked", "a restart brought it back");
}

#[tokio::test]
async fn nothing_is_authorised_after_a_revocation_is_answered() {
    let house = House::new().await;
    house.agent(json!({"handle": "busy", "funding": "prepaid"})).await;
    house.top_up("busy", "100.00").await;
    let pay = || house.pay("busy", json!({"service_id": "search"}));
    let before = (0..200).map(|_| pay());
    let ((), answers) =
        futures_util::join!(house.revoke("busy"), futures_util::future::join_all(before));
    let paid = answers.iter().filter(|answer| answer["outcome"] == "paid").count();
    let lines = house.lines("busy").await;
    let revoked = lines.iter().position(|line| line["outcome"] == "revoked").unwrap();
    assert!(lines[..revoked].iter().all(|line| line["outcome"] != "paid"), "paid after it");
    assert_eq!(lines.iter().filter(|line| line["outcome"] == "paid").count(), paid);
    assert_eq!(pay().await["code"], "agent_revoked");
}

#[tokio::test]
async fn sixty_four_at_once_spend_exactly_the_cap() {
    let house = House::new().await;
    house
        .agent(json!({"handle": "capped", "funding": "allowance",
        "caps": [{"period": "day", "cap_usd": "0.40"}]}))
        .await;
    let all = (0..64).map(|_| house.pay("capped", json!({"service_id": "search"})));
    let answers = futures_util::future::join_all(all).await;
    let paid = answers.iter().filter(|answer| answer["outcome"] == "paid").count();
    let denied = answers.iter().filter(|answer| answer["breached"][0]["code"] == "cap_exceeded");
    assert_eq!((paid, denied.count()), (20, 44));
    let balance = house.call("get_balance", "capped", json!({})).await;
    assert_eq!(balance["caps"][0]["used_usd"], "0.40");
}

#[tokio::test]
async fn identical_denials_share_an_id_and_one_later_entry() {
    let house = House::new().await;
    house.scout().await;
    let ask = json!({"service_id": "report", "amount_usd": "0.40"});
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(house.pay("scout", ask.clone()).await);
    }
    let told = ids(&answers);
    assert_eq!(told[0], told[1]);
    assert!(told[2] != told[0] && told[2..].iter().all(|id| *id == told[2]), "the loop is told");
    house.pay("scout", json!({"service_id": "search"})).await;
    let lines = house.lines("scout").await;
    let outcomes: Vec<_> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    let all = ["paid", "denied_again", "denied", "denied_again", "denied", "created"];
    assert_eq!(outcomes, all);
    assert_eq!((&lines[1]["times"], &lines[3]["times"]), (&json!(2), &json!(1)));
    assert_eq!(lines[1]["payment_id"], answers[2]["payment_id"]);
    assert_eq!(lines[3]["payment_id"], answers[0]["payment_id"]);
}

#[tokio::test]
async fn denials_that_differ_in_what_was_asked_are_two() {
    let house = House::new().await;
    house.scout().await;
    let mut answers = Vec::new();
    for most in ["0.01", "0.001"] {
        answers.push(house.pay("scout", json!({"service_id": "search", "amount_usd": most})).await);
        assert_eq!(answers.last().unwrap()["code"], "price_above_maximum");
    }
    for amount in ["1e3", "-1"] {
        answers
            .push(house.pay("scout", json!({"service_id": "report", "amount_usd": amount})).await);
        assert_eq!(answers.last().unwrap()["code"], "invalid_request");
    }
    let ids: std::collections::BTreeSet<_> = ids(&answers).into_iter().collect();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn denials_by_another_cap_or_in_another_run_are_two() {
    let house = House::new().await;
    house
        .agent(json!({"handle": "capped", "funding": "allowance", "caps": [
        {"period": "hour", "cap_usd": "0.02"}, {"period": "day", "cap_usd": "0.04"}]}))
        .await;
    let pay = |run: &str| {
        let run = Some(run.parse().unwrap());
        let arguments = json!({"service_id": "search"});
        let agent = "capped".parse().unwrap();
        let call = Call { agent, run, call_id: None, arguments, came: Came::Local, via: None };
        house.engine.call("pay_for_api_call", call)
    };
    assert_eq!(pay("r1").await.unwrap()["outcome"], "paid");
    let by_hour = pay("r1").await.unwrap();
    assert_eq!(pay("r1").await.unwrap()["payment_id"], by_hour["payment_id"]);
    let other_run = pay("r2").await.unwrap();
    assert_ne!(other_run["payment_id"], by_hour["payment_id"]);
    house.pass(SignedDuration::from_hours(1));
    assert_eq!(pay("r1").await.unwrap()["outcome"], "paid");
    let by_both = pay("r1").await.unwrap();
    assert_eq!(by_both["breached"].as_array().unwrap().len(), 2);
    house.pass(SignedDuration::from_hours(1));
    let by_day = pay("r1").await.unwrap();
    assert_ne!(by_day["payment_id"], by_both["payment_id"]);
    assert_eq!(by_day["breached"].as_array().unwrap().len(), 1);
    let lines = house.lines("capped").await;
    for outcome in ["paid", "denied"] {
        let line = lines.iter().find(|line| line["outcome"] == outcome).unwrap();
        assert_eq!(line["run"], "r1", "the run is not in the ledger");
    }
}

#[tokio::test]
async fn an_unknown_service_is_no_matter_of_money() {
    let house = House::new().await;
    house.scout().await;
    let denied = house.pay("scout", json!({"service_id": "serch", "amount_usd": "9.00"})).await;
    assert_eq!(denied["advice"], "fix_request");
    for field in ["retry_after_s", "resets_at", "max_affordable_usd", "breached"] {
        assert_eq!(denied.get(field), None, "{field}");
    }
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_told_to_stop() {
    let house = House::new().await;
    for tool in ["pay_for_api_call", "get_balance", "ledger", "list_services"] {
        let answer = house.call(tool, "ghost", json!({"service_id": "search"})).await;
        assert_eq!(answer["code"], "agent_unknown", "{tool}");
        assert_eq!(answer["advice"], "stop");
    }
}

#[tokio::test]
async fn what_is_repeated_of_a_wrong_value_is_short_and_plain() {
    let house = House::new().await;
    house.scout().await;
    for wrong in ["\u{10ffff}".repeat(500), "x".repeat(5_000), "\u{202e}\u{0}\n".repeat(20)] {
        let denied = house.pay("scout", json!({"service_id": wrong})).await;
        let got = denied["got"].as_str().unwrap();
        assert!(got.chars().count() <= 81, "{} long", got.len());
        assert!(got.chars().all(|c| c.is_ascii_graphic() || c == ' ' || c == '…'), "{got}");
    }
    let nameless = house.pay("scout", json!({"": 1})).await;
    assert_eq!(nameless["field"], "arguments");
}
