//! Requests that have a name, and those that have none.

use serde_json::json;

use super::{Gate, answer, answering, refusals::problem};
use crate::{
    rails::proxy::upstream::{Peer, Upstream},
    support::served::until,
};

#[test]
fn two_equal_requests_are_two_payments() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let upstream = Upstream::start(move |mut peer: Peer| {
        let mut wait = wait.clone();
        async move {
            peer.request().await;
            let _ = wait.wait_for(|go| *go).await;
            peer.write(answer(200, "text/plain", "ok").as_bytes()).await;
        }
    });
    let gate = Gate::open(upstream, "5.00/day", "");
    let mut both = [gate.posted("{}"), gate.posted("{}")];
    until("both are sent", || gate.upstream.requests().len() == 2);
    go.send_replace(true);
    let payments = both.each_mut().map(|wire| {
        let reply = wire.reply();
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.headers["pettycash-payment"].clone()
    });
    assert_ne!(payments[0], payments[1]);
    assert_eq!(gate.used(), "0.04");
}

#[test]
fn a_request_with_a_key_is_made_once_and_answered_again() {
    let body = "{ \"text\": \"a\\u0000b\",  \"n\": 1e400 }";
    let gate = Gate::saying(&answer(201, "application/json; charset=x", body));
    let key = ["Idempotency-Key: k1", "X-Stainless-Retry-Count: 0"];
    let first = gate.post(&key, "{}");
    assert_eq!((first.status, &*first.body), (201, body));
    assert_eq!(first.headers.get("idempotent-replayed"), None);
    let again = gate.post(&["Idempotency-Key: k1", "X-Stainless-Retry-Count: 1"], "{}");
    assert_eq!((again.status, &again.body), (201, &first.body), "byte for byte");
    assert_eq!(again.headers["content-type"], "application/json; charset=x");
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.headers["pettycash-payment"], first.headers["pettycash-payment"]);
    let other = gate.post(&["Idempotency-Key: k1"], "{\"other\": 1}");
    assert_eq!((other.status, &other.json()["code"]), (422, &json!("idempotency_key_reused")));
    assert_eq!(other.headers["x-should-retry"], "false");
    assert_eq!(gate.upstream.requests().len(), 1);
    assert_eq!(gate.used(), "0.02");
    let sent = gate.upstream.requests().pop().unwrap();
    assert!(!sent.to_lowercase().contains("idempotency-key"), "{sent}");
    let bad = gate.post(&[&format!("Idempotency-Key: {}", "k".repeat(300))], "{}");
    assert_eq!((bad.status, &bad.json()["field"]), (400, &json!("idempotency-key")), "{bad:?}");
}

#[test]
fn a_name_that_comes_twice_or_is_no_text_is_refused() {
    let gate = Gate::saying(&answer(200, "text/plain", "ok"));
    for name in ["idempotency-key", "pettycash-task"] {
        for second in ["one", "other"] {
            let both = [format!("{name}: one"), format!("{name}: {second}")];
            let reply = gate.post(&both.each_ref().map(String::as_str), "{}");
            let told = problem(&reply);
            assert_eq!((reply.status, &told["code"]), (400, &json!("invalid_request")), "{told}");
            let message = format!(
                "the headers show more than one `{name}`; send it once. Nothing was charged."
            );
            assert_eq!(told["message"], json!(message));
        }
        let mut wire = gate.web.connect();
        let (host, headers) = (gate.web.host(), gate.headers(&[]).join("\r\n"));
        let line = "POST /gateway/acme/v1/messages HTTP/1.1";
        let head = format!("{line}\r\nHost: {host}\r\n{headers}\r\nContent-Length: 2\r\n{name}: ");
        wire.send(&[head.as_bytes(), b"k\xff\r\n\r\n{}"].concat());
        let reply = wire.reply();
        let told = problem(&reply);
        assert_eq!((reply.status, &told["code"]), (400, &json!("invalid_request")), "{told}");
        assert!(told["message"].as_str().unwrap().contains(name), "{told}");
    }
    assert!(gate.upstream.requests().is_empty());
    assert_eq!(gate.used(), "0.00");
}

#[test]
fn what_is_not_paid_for_is_answered_again_as_it_was_and_not_to_be_tried() {
    let gate = Gate::saying(&answer(429, "application/json", "{\"error\":{}}"));
    let first = gate.post(&["Idempotency-Key: k1"], "{}");
    assert_eq!((first.status, first.headers.get("x-should-retry")), (429, None));
    let again = gate.post(&["Idempotency-Key: k1"], "{}");
    assert_eq!((again.status, &*again.body), (429, "{\"error\":{}}"));
    assert_eq!(again.headers["x-should-retry"], "false");
    assert_eq!(gate.upstream.requests().len(), 1);
    assert_eq!(gate.used(), "0.00");
}

#[test]
fn a_key_whose_answer_is_on_its_way_or_gone_is_a_conflict() {
    let long = "x".repeat(5 * 1024 * 1024);
    let (go, wait) = tokio::sync::watch::channel(false);
    let upstream = Upstream::start(move |mut peer: Peer| {
        let (mut wait, long) = (wait.clone(), long.clone());
        async move {
            peer.request().await;
            let _ = wait.wait_for(|go| *go).await;
            peer.write(answer(200, "text/plain", &long).as_bytes()).await;
        }
    });
    let gate = Gate::open(upstream, "5.00/day", "");
    let mut wire = gate.posted_with(&["Idempotency-Key: k1", "Content-Length: 2"], "{}");
    until("it is sent", || gate.upstream.requests().len() == 1);
    let early = gate.post(&["Idempotency-Key: k1"], "{}");
    assert_eq!((early.status, &early.json()["code"]), (409, &json!("payment_in_progress")));
    assert_eq!(early.headers["x-should-retry"], "false");
    go.send_replace(true);
    assert_eq!(wire.reply().body.len(), 5 * 1024 * 1024);
    let late = gate.post(&["Idempotency-Key: k1"], "{}");
    assert_eq!((late.status, &late.json()["code"]), (409, &json!("answer_gone")), "too long");
    assert_eq!(gate.upstream.requests().len(), 1);
    assert_eq!(gate.used(), "0.02");
}

#[test]
fn a_request_may_name_the_task_it_belongs_to() {
    let gate = Gate::open(answering(&answer(200, "text/plain", "ok")), "5.00/day", "");
    let opened = gate.web.house.operator_json("task open scout --type research --cap 0.03");
    let task = opened["task_id"].as_str().unwrap();
    let header = format!("pettycash-task: {task}");
    assert_eq!(gate.post(&[&header], "{}").status, 200);
    let sent = gate.upstream.requests().pop().unwrap();
    assert!(!sent.contains(task), "{sent}");
    let over = gate.post(&[&header], "{}");
    assert_eq!((over.status, &over.json()["code"]), (402, &json!("task_failed")), "{over:?}");
    let odd = gate.post(&["pettycash-task: mine"], "{}");
    assert_eq!((odd.status, &odd.json()["field"]), (400, &json!("pettycash-task")), "{odd:?}");
    let unknown = gate.post(&["pettycash-task: task_00000000000000ff"], "{}");
    assert_eq!((unknown.status, &unknown.json()["code"]), (400, &json!("task_unknown")));
}
