//! What is held for a call of a language model is an estimate: what becomes of those that are too
//! small, and of those that are too large.

use pettycash::policy::terms::Settlement;
use serde_json::{Value, json};

use super::{
    metered::{asked, held, house, question, stream, whole},
    upstream::Upstream,
};
use crate::support::house::House;

const SONNET: &str = "claude-sonnet-4-5";

/// A stream that ends before it tells what it used, after so many tokens of input.
async fn breaking_off() -> Upstream {
    let message = json!({"model": SONNET, "usage": {"input_tokens": 100, "output_tokens": 1}});
    Upstream::saying(stream(&[json!({"type": "message_start", "message": message})])).await
}

async fn doubtful(house: &House) -> Value {
    let mut body = question(SONNET);
    body["stream"] = json!(true);
    let told = house.pay("scout", asked("messages", &body)).await;
    assert_eq!(told["outcome"], "in_doubt", "{told}");
    told
}

/// Has the mandate of the agent say this, too.
async fn say(house: &House, patch: Value) {
    let patch = serde_json::from_value(patch).unwrap();
    house.engine.change_mandate(&"scout".parse().unwrap(), patch, None).await.unwrap();
}

#[tokio::test]
async fn an_operator_settles_what_is_metered_at_what_it_came_to_above_the_hold_too() {
    let upstream = breaking_off().await;
    let house = house(&upstream, json!({})).await;
    let told = doubtful(&house).await;
    assert!(held(&house).await.starts_with("0.015"));
    let payment = told["payment_id"].as_str().unwrap().parse().unwrap();
    let settlement = Settlement { charged_usd: Some("0.30".parse().unwrap()) };
    let settled = house.engine.settle(payment, settlement).await.unwrap();
    assert_eq!(
        (settled.charged_usd.decimal(), settled.released_usd.decimal()),
        ("0.30".to_owned(), "0.00".to_owned())
    );
    let line = house.lines("scout").await[0].clone();
    assert_eq!((&line["outcome"], &line["amount_usd"]), (&json!("captured"), &json!("0.30")));
    assert_eq!(line["detail"], "more than was held, for it is metered at the end");
    let balance = house.call("get_balance", "scout", json!({})).await;
    let cap = &balance["caps"][0];
    assert_eq!((&cap["used_usd"], &cap["held_usd"]), (&json!("0.30"), &json!("0.00")), "in full");
    let house = house.reopened().await;
    assert_eq!(house.call("get_balance", "scout", json!({})).await, balance);
}

#[tokio::test]
async fn an_estimate_above_what_is_left_is_no_fixed_price() {
    let answer = json!({"model": SONNET, "usage": {"input_tokens": 10, "output_tokens": 10}});
    let upstream = Upstream::saying(whole(200, &answer)).await;
    let house = house(&upstream, json!({})).await;
    let much = |tokens: u32| {
        let mut body = question(SONNET);
        body["max_tokens"] = json!(tokens);
        asked("messages", &body)
    };
    let denied = house.pay("scout", much(10_000)).await;
    assert_eq!((&denied["code"], &denied["advice"]), (&json!("cap_exceeded"), &json!("shrink")));
    assert_eq!(denied["max_affordable_usd"], "0.10");
    let message = denied["message"].as_str().unwrap();
    let hint = "A smaller max_tokens or a shorter input holds less. Nothing was charged.";
    assert!(message.ends_with(hint), "{message}");
    assert_eq!(house.pay("scout", much(1_000)).await["outcome"], "paid", "as it is told");

    say(&house, json!({"per_call_limit_usd": "0.02"})).await;
    let denied = house.pay("scout", much(2_000)).await;
    assert_eq!(
        (&denied["code"], &denied["advice"], &denied["max_affordable_usd"]),
        (&json!("per_call_limit_exceeded"), &json!("shrink"), &json!("0.02"))
    );
    let explained = denied["payment_id"].as_str().unwrap().parse().unwrap();
    let explained = house.engine.explain(explained).await.unwrap();
    let explained = serde_json::to_value(&explained).unwrap();
    assert!(!explained.to_string().contains("it is allowed"), "{explained}");
}

#[tokio::test]
async fn an_estimate_that_is_too_large_fails_no_task() {
    let answer = json!({"model": SONNET, "usage": {"input_tokens": 10, "output_tokens": 1_000}});
    let upstream = Upstream::saying(whole(200, &answer)).await;
    let house = house(&upstream, json!({})).await;
    house
        .agent(json!({"handle": "worker", "funding": "allowance", "tasks": "agent", "caps":
            [{"period": "day", "cap_usd": "5.00"}, {"period": "task", "cap_usd": "0.05"}]}))
        .await;
    let opened = house.call("open_task", "worker", json!({"task_type": "research"})).await;
    let task = &opened["task_id"];
    let much = |tokens: u32| {
        let mut body = question(SONNET);
        body["max_tokens"] = json!(tokens);
        let mut call = asked("messages", &body);
        call["task_id"] = task.clone();
        call
    };
    for (tokens, outcome) in [(2_000, "paid"), (3_300, "denied"), (2_000, "paid")] {
        let told = house.pay("worker", much(tokens)).await;
        assert_eq!(told["outcome"], outcome, "{told}");
        assert_ne!(told["code"], "task_failed", "{told}");
    }
}
