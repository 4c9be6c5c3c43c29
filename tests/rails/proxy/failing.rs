//! Calls that fail again and again: when the same is not sent once more, and what ends that.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    paying::{answer, house},
    upstream::{Peer, Upstream},
};
use crate::support::house::House;

/// An upstream that answers with the status that stands at the end of the path.
async fn obeying() -> Upstream {
    Upstream::start(|mut peer: Peer| async move {
        while let Some(request) = peer.request().await {
            let path = request.split(' ').nth(1).unwrap();
            let status = path.rsplit('/').next().unwrap().parse().unwrap();
            if !peer.write(answer(status, "text/plain", "so").as_bytes()).await {
                break;
            }
        }
    })
    .await
}

async fn ask(house: &House, status: u16) -> Value {
    let request = json!({"operation": "find", "params": {"place": status.to_string()}});
    house.pay("scout", json!({"service_id": "acme", "request": request})).await
}

/// How often of so many times it was sent, until it is a loop.
async fn sent(house: &House, upstream: &Upstream, status: u16, times: usize) -> usize {
    let before = upstream.requests().len();
    for _ in 0..times {
        let told = ask(house, status).await;
        let stopped = told["code"] == "loop_detected";
        assert_eq!(stopped, told["outcome"] == "denied", "{told}");
        assert_eq!(stopped, told["advice"] == "stop", "{told}");
    }
    upstream.requests().len() - before
}

fn free() -> Value {
    json!({"free_on": ["4xx", "5xx"]})
}

#[tokio::test]
async fn a_call_that_is_refused_twice_is_not_sent_a_third_time() {
    let upstream = obeying().await;
    let house = house(&upstream, free()).await;
    for status in [400, 401, 404, 422] {
        assert_eq!(sent(&house, &upstream, status, 20).await, 2, "{status}");
    }
    let told = ask(&house, 422).await;
    assert!(told.get("retry_after_s").is_none() && told.get("breached").is_none(), "{told}");
    let message = told["message"].as_str().unwrap();
    assert!(message.starts_with("Stop: the payee's side refused this same call"), "{message}");
    assert!(message.ends_with("Nothing was charged."), "{message}");
    let stopped = told["payment_id"].as_str().unwrap().parse().unwrap();
    let explained = serde_json::to_value(house.engine.explain(stopped).await.unwrap()).unwrap();
    assert_eq!(explained.get("differs"), None, "{explained}");
    assert_eq!((&explained["outcome"], &explained["advice"]), (&json!("denied"), &json!("stop")));
    let first = ask(&house, 418).await;
    let told = ["outcome", "code", "advice"].map(|field| &first[field]);
    assert_eq!(told, ["failed", "payment_failed", "fix_request"], "{first}");
}

#[tokio::test]
async fn a_key_says_of_a_call_that_failed_what_it_said_at_first() {
    let upstream = obeying().await;
    let mut house = house(&upstream, free()).await;
    let wanted = [(404, "fix_request", Value::Null), (503, "wait", json!(5))];
    for reopened in [false, true] {
        for (status, advice, waits) in &wanted {
            let request = json!({"operation": "find", "params": {"place": status.to_string()}});
            let call = json!({"service_id": "acme", "request": request,
                "idempotency_key": status.to_string()});
            for _ in 0..3 {
                let told = house.pay("scout", call.clone()).await;
                let (code, outcome) = (&told["code"], &told["outcome"]);
                assert_eq!((code, outcome), (&json!("payment_failed"), &json!("failed")), "{told}");
                assert_eq!((&told["advice"], &told["retry_after_s"]), (&json!(advice), waits));
            }
        }
        assert_eq!(upstream.requests().len(), wanted.len(), "{reopened}");
        house = house.reopened().await;
    }
}

#[tokio::test]
async fn what_may_be_different_in_a_moment_is_tried_ten_times() {
    let upstream = obeying().await;
    let house = house(&upstream, free()).await;
    for status in [408, 425, 429, 500, 503, 529] {
        assert_eq!(sent(&house, &upstream, status, 20).await, 10, "{status}");
    }
    let first = ask(&house, 502).await;
    assert_eq!((&first["advice"], &first["retry_after_s"]), (&json!("wait"), &json!(5)));
}

#[tokio::test]
async fn after_a_minute_one_more_is_sent_and_then_after_twice_as_long() {
    let upstream = obeying().await;
    let house = house(&upstream, free()).await;
    assert_eq!(sent(&house, &upstream, 400, 3).await, 2);
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        house.pass(SignedDuration::from_mins(minutes) - SignedDuration::from_secs(1));
        assert_eq!(sent(&house, &upstream, 400, 3).await, 0, "{minutes}");
        house.pass(SignedDuration::from_secs(1));
        assert_eq!(sent(&house, &upstream, 400, 3).await, 1, "{minutes}");
    }
    // Also over a restart, and the record says the same as the desk.
    let rails = pettycash::rails::Rails::default()
        .with(std::sync::Arc::new(pettycash::rails::proxy::Proxy::default()));
    let house = house.reopened_with(rails).await;
    assert_eq!(sent(&house, &upstream, 400, 3).await, 0);
}

#[tokio::test]
async fn whatever_else_is_paid_or_fails_ends_it() {
    let upstream = obeying().await;
    let house = house(&upstream, free()).await;
    for other in [200, 404, 503] {
        assert_eq!(sent(&house, &upstream, 400, 4).await, 2, "{other}");
        assert_eq!(sent(&house, &upstream, other, 1).await, 1);
    }
    // Another agent has its own.
    house
        .agent(json!({"handle": "other", "funding": "allowance",
            "caps": [{"period": "day", "cap_usd": "5.00"}]}))
        .await;
    assert_eq!(sent(&house, &upstream, 400, 4).await, 2);
    let request = json!({"operation": "find", "params": {"place": "400"}});
    let told = house.pay("other", json!({"service_id": "acme", "request": request})).await;
    assert_eq!(told["outcome"], "failed");
}
