//! What is held for a call of a language model is an estimate: what becomes of those that are too
//! small, and of those that are too large.

use pettycash::policy::terms::Settlement;
use serde_json::{Value, json};

use super::{
    metered::{asked, held, house, question, stream},
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
