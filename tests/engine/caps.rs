//! Caps on some payments and on how many, as agents and operators meet them.

use pettycash::policy::{
    entry::Fact,
    mandate::{Cap, Mandate},
    terms::{CapTerms, MandatePatch},
};
use serde_json::{Value, json};

use crate::support::house::House;

async fn patch(house: &House, patch: Value) -> Value {
    let patch: MandatePatch = serde_json::from_value(patch).unwrap();
    let agent = "capped".parse().unwrap();
    match house.engine.change_mandate(&agent, patch, None).await {
        Ok(changed) => serde_json::to_value(changed).unwrap(),
        Err(error) => json!({"code": error.problem().code, "detail": error.to_string()}),
    }
}

/// An agent with $5.00 a day and with these caps.
async fn house(caps: &[Value]) -> House {
    let house = House::new().await;
    house.service(json!({"id": "brain", "payee": "Acme Brain", "category": "llm"})).await;
    let day = json!({"period": "day", "cap_usd": "5.00"});
    let caps: Vec<&Value> = [&day].into_iter().chain(caps).collect();
    house.agent(json!({"handle": "capped", "funding": "allowance", "caps": caps})).await;
    house
}

#[tokio::test]
async fn answers_tell_a_cap_by_what_it_counts() {
    let house = house(&[
        json!({"period": "day", "cap_usd": "1.00", "category": "llm"}),
        json!({"period": "hour", "cap_count": 2, "service_id": "search"}),
        json!({"period": "day", "cap_count": 3}),
    ])
    .await;
    let brain = |amount: &str| json!({"service_id": "brain", "amount_usd": amount});
    house.pay("capped", brain("0.80")).await;
    let denied = house.pay("capped", brain("0.30")).await;
    assert_eq!(denied["advice"], "shrink");
    assert_eq!(denied["max_affordable_usd"], "0.20");
    assert_eq!(
        denied["breached"],
        json!([{"code": "cap_exceeded", "scope": "agent", "period": "day", "cap_usd": "1.00",
            "used_usd": "0.80", "held_usd": "0.00", "asked_usd": "0.30", "category": "llm"}])
    );
    for _ in 0..2 {
        house.pay("capped", json!({"service_id": "search"})).await;
    }
    let denied = house.pay("capped", json!({"service_id": "search"})).await;
    assert_eq!(denied["advice"], "wait");
    assert_eq!(denied["max_affordable_usd"], Value::Null);
    assert_eq!(
        denied["breached"],
        json!([
            {"code": "cap_exceeded", "scope": "agent", "period": "hour", "asked_usd": "0.02",
             "cap_count": 2, "used_count": 2, "held_count": 0, "service_id": "search"},
            {"code": "cap_exceeded", "scope": "agent", "period": "day", "asked_usd": "0.02",
             "cap_count": 3, "used_count": 3, "held_count": 0}])
    );
    let balance = house.call("get_balance", "capped", json!({})).await;
    assert_eq!(balance["available_usd"], "0.00", "no further payment fits");
    assert_eq!(
        balance["caps"],
        json!([
            {"scope": "agent", "period": "day", "cap_usd": "5.00", "used_usd": "0.84",
             "held_usd": "0.00", "resets_at": "2026-11-22T00:00:00Z"},
            {"scope": "agent", "period": "day", "cap_usd": "1.00", "used_usd": "0.80",
             "held_usd": "0.00", "resets_at": "2026-11-22T00:00:00Z", "category": "llm"},
            {"scope": "agent", "period": "hour", "resets_at": "2026-11-21T13:00:00Z",
             "cap_count": 2, "used_count": 2, "held_count": 0, "service_id": "search"},
            {"scope": "agent", "period": "day", "resets_at": "2026-11-22T00:00:00Z",
             "cap_count": 3, "used_count": 3, "held_count": 0}])
    );
    let services = house.call("list_services", "capped", json!({})).await;
    let categories: Vec<&Value> =
        services["services"].as_array().unwrap().iter().map(|one| &one["category"]).collect();
    assert_eq!(categories, [&json!("llm"), &Value::Null, &Value::Null]);
}

#[tokio::test]
async fn a_cap_is_set_and_taken_away_by_its_kind() {
    let house = house(&[]).await;
    let caps = json!([{"period": "day", "cap_usd": "1.00", "service_id": "search"},
        {"period": "day", "cap_count": 9},
        {"period": "day", "cap_usd": "2.00", "payee": "Nobody"}]);
    let changed = patch(&house, json!({"caps": caps})).await;
    let what = |changed: &Value| -> Vec<String> {
        let all = changed["changes"].as_array().unwrap().iter();
        all.map(|change| format!("{} {}", change["what"], change["loosens"])).collect()
    };
    assert_eq!(
        what(&changed),
        [
            "\"cap on payments per day\" false",
            "\"cap per day service=search\" false",
            "\"cap per day payee=Nobody\" false"
        ]
    );
    assert_eq!(
        changed["remarks"],
        json!([
            "the new cap per day service=search counts from now on",
            "the new cap per day payee=Nobody counts from now on",
            "the catalogue has nothing that is `payee=Nobody`"
        ])
    );
    let gone = json!({"no_caps": ["day service=search", "x/day"]});
    assert_eq!(
        what(&patch(&house, gone).await),
        ["\"cap on payments per day\" true", "\"cap per day service=search\" true"]
    );
    let view = house.engine.mandate(&"capped".parse().unwrap()).await.unwrap();
    assert_eq!(
        serde_json::to_value(view.caps).unwrap(),
        json!([{"period": "day", "cap_usd": "5.00"},
            {"period": "day", "cap_usd": "2.00", "payee": "Nobody"}])
    );
    let torn = json!({"caps": [{"period": "day", "cap_count": 3}], "no_caps": ["x/day"]});
    assert_eq!(patch(&house, torn).await["code"], "mandate_invalid");
    let typed = json!({"caps": [{"period": "day", "cap_usd": "1.00", "task_type": "research"}]});
    let remarks = patch(&house, typed).await["remarks"].clone();
    let needed = "whatever is paid belongs to an open task from now on";
    assert!(remarks.as_array().unwrap().contains(&json!(needed)), "{remarks}");
    assert!(!remarks.to_string().contains("the catalogue"), "a type is no service's: {remarks}");
}

#[test]
fn terms_that_are_no_cap_are_refused() {
    for (wrong, why) in [
        (json!({"period": "day"}), "an amount or a count"),
        (json!({"period": "day", "cap_usd": "1", "cap_count": 1}), "an amount or a count"),
        (
            json!({"period": "day", "cap_usd": "1", "service_id": "a", "payee": "b"}),
            "one of service_id, category, payee and task_type",
        ),
        (json!({"period": "day", "cap_usd": "1", "tasks": "a"}), "unknown field"),
        (json!({"period": "day", "cap_count": -1}), "expected u32"),
    ] {
        let error = serde_json::from_value::<CapTerms>(wrong).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn records_of_before_there_were_kinds_of_caps_are_read() {
    let mandate = r#"{"funding":"allowance","caps":[{"period":"day","amount":5000000000}],
        "zone":"UTC"}"#;
    let mandate: Mandate = serde_json::from_str(mandate).unwrap();
    assert_eq!(mandate.caps, ["5.00/day".parse::<Cap>().unwrap()]);
    let cap = serde_json::to_string(&mandate.caps).unwrap();
    assert_eq!(cap, r#"[{"period":"day","amount":5000000000}]"#, "and written as they were");
    let refunded = r#"{"refunded":{"payment":"pay_0000000000010000","amount":5,
        "windows":{"hour":0,"day":0,"week":0,"month":0}}}"#;
    let Fact::Refunded { by: None, .. } = serde_json::from_str(refunded).unwrap() else {
        panic!("it says what it was counted by")
    };
    let denied = r#"{"denied":{"payment":"pay_0000000000010000","refusal":{"denials":[
        {"cap_exceeded":{"cap":{"period":"day","amount":1},"used":1,"held":0}}],
        "asked":1,"affordable":0,"fixed_price":true}}}"#;
    let Fact::Denied(denied) = serde_json::from_str(denied).unwrap() else { panic!("no denial") };
    assert_eq!(denied.fingerprint(), "- - - cap_exceededday");
    let unknown = r#"{"period":"day","amount":1,"on":"moon=full"}"#;
    assert!(serde_json::from_str::<Cap>(unknown).is_err(), "what it is on is never ignored");
    let later = r#"{"period":"day","amount":1,"colour":"red"}"#;
    assert!(serde_json::from_str::<Cap>(later).is_err(), "nor is what a later version says of it");
}

#[tokio::test]
async fn sums_and_counts_are_there_after_a_restart() {
    let house = house(&[
        json!({"period": "day", "cap_usd": "0.05", "service_id": "search"}),
        json!({"period": "rolling_24h", "cap_count": 3}),
    ])
    .await;
    for _ in 0..2 {
        let paid = house.pay("capped", json!({"service_id": "search"})).await;
        assert_eq!(paid["outcome"], "paid");
    }
    let before = house.call("get_balance", "capped", json!({})).await;
    let house = house.reopened().await;
    assert_eq!(house.call("get_balance", "capped", json!({})).await, before);
    let denied = house.pay("capped", json!({"service_id": "search"})).await;
    assert_eq!(denied["code"], "cap_exceeded");
}
