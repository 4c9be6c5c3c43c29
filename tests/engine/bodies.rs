//! Bodies that are neither JSON nor text: who may read them, for how long, and what is said after.

use std::{sync::Arc, time::Duration};

use base64ct::{Base64, Encoding};
use pettycash::{
    policy::{
        answer::{ApiBody, Waiting},
        came::Came,
        names::PaymentId,
        terms::NewToken,
    },
    rails::{Rails, Verdict},
};
use serde_json::{Value, json};

use super::endpoints::Proxy;
use crate::support::{
    house::House,
    scripted::{Act, Scripted},
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
const TEN_CENTS: i64 = 100_000_000;

fn taken() -> Verdict {
    Verdict::Captured(TEN_CENTS.try_into().unwrap())
}

fn image(body: &'static [u8]) -> Act {
    Act::Answer(200, "image/png", body, taken())
}

/// The rail that APIs are called by, which answers so.
fn rails(acts: impl IntoIterator<Item = Act>) -> Rails {
    let rail = Scripted::within(Duration::from_secs(60), acts);
    Rails::default().with(Arc::new(Proxy(rail)))
}

/// A house whose service `maps` answers so, and two agents that may pay it.
async fn house(acts: impl IntoIterator<Item = Act>) -> House {
    let house = House::with(rails(acts)).await;
    house.scout().await;
    house
        .agent(json!({"handle": "other", "funding": "allowance", "caps": [
        {"period": "day", "cap_usd": "50.00"}]}))
        .await;
    let maps = json!({"id": "maps", "payee": "Acme", "price_usd": "0.10", "rail": "proxy",
        "base_url": "http://127.0.0.1:9/v1", "operations": [
        {"name": "tile", "method": "GET", "path": "/tile"}]});
    house.service(maps).await;
    house
}

fn tile(key: &str) -> Value {
    json!({"service_id": "maps", "idempotency_key": key, "request": {"operation": "tile"}})
}

fn id(paid: &Value) -> PaymentId {
    assert_eq!(paid["outcome"], "paid", "{paid}");
    paid["payment_id"].as_str().unwrap().parse().unwrap()
}

async fn read(house: &House, agent: &str, payment: PaymentId) -> Waiting<ApiBody> {
    house.engine.body(&agent.parse().unwrap(), Came::Local, payment).await
}

fn bytes(read: Waiting<ApiBody>) -> Vec<u8> {
    match read {
        Waiting::Here(body) => Base64::decode_vec(&body.base64).unwrap(),
        other => panic!("no body: {other:?}"),
    }
}

/// What waits for an agent: each payment with its type and size.
async fn waiting(house: &House, agent: &str) -> Vec<(PaymentId, String, u64)> {
    match house.engine.bodies(&agent.parse().unwrap(), Came::Local, None).await {
        Waiting::Here(page) => page
            .bodies
            .into_iter()
            .map(|body| (body.payment_id, body.content_type.unwrap(), body.bytes))
            .collect(),
        other => panic!("no list: {other:?}"),
    }
}

async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_body_that_is_no_text_is_kept_whole_and_read_by_its_own_agent_alone() {
    let long: &'static [u8] = Vec::leak([PNG, &vec![0xab; 1 << 20]].concat());
    let text = Act::Answer(200, "text/plain", b"the map", taken());
    let house = house([image(PNG), image(long), text]).await;
    let (short, longer) =
        (house.pay("scout", tile("a")).await, house.pay("scout", tile("b")).await);
    let told = house.pay("scout", tile("c")).await;
    let (first, second) = (id(&short), id(&longer));
    let expected = json!({"status": 200, "content_type": "image/png", "bytes": long.len(),
        "resource": format!("pettycash://responses/{second}"), "untrusted": true});
    assert_eq!(longer["response"], expected, "more than is ever shown of a text, and all of it");
    assert_eq!((short.get("note"), longer.get("note")), (None, None));
    assert_eq!(bytes(read(&house, "scout", first).await), PNG);
    assert_eq!(bytes(read(&house, "scout", second).await), long);
    let image = |payment, bytes: &[u8]| (payment, "image/png".to_owned(), bytes.len() as u64);
    assert_eq!(waiting(&house, "scout").await, [image(second, long), image(first, PNG)]);
    assert_eq!(waiting(&house, "other").await, []);
    let never = "pay_00000000000000ff".parse().unwrap();
    for (agent, payment) in [("other", first), ("scout", never), ("scout", id(&told))] {
        assert_eq!(read(&house, agent, payment).await, Waiting::Gone, "{agent} {payment}");
    }
    // Operators read whatever is kept, as they read every ledger.
    for (payment, body) in [(first, PNG), (id(&told), b"the map")] {
        let read = house.engine.response(payment).unwrap();
        assert_eq!(Base64::decode_vec(&read.base64).unwrap(), body);
    }
    let problem = house.engine.response(never).unwrap_err().problem();
    assert_eq!((problem.status, &*problem.code), (404, "response_gone"));
}

#[tokio::test]
async fn a_body_waits_a_quarter_of_an_hour_and_then_it_is_said_that_it_is_gone() {
    let house = house([image(PNG)]).await;
    let paid = house.pay("scout", tile("k")).await;
    let (payment, fetch) = (id(&paid), json!({"payment_id": paid["payment_id"]}));
    pass(Duration::from_secs(15 * 60 - 60)).await;
    assert_eq!(bytes(read(&house, "scout", payment).await), PNG);
    assert_eq!(house.pay("scout", fetch.clone()).await["response"], paid["response"]);
    assert!(!house.engine.is_idle().await, "a `serve` that nobody uses stays for it");
    pass(Duration::from_secs(60)).await;
    assert!(house.engine.is_idle().await);
    assert_eq!(read(&house, "scout", payment).await, Waiting::Gone);
    assert_eq!(waiting(&house, "scout").await, []);
    for again in [tile("k"), fetch] {
        let told = house.pay("scout", again).await;
        assert_eq!((id(&told), told.get("response")), (payment, None), "{told}");
        let note = told["note"].as_str().unwrap();
        assert!(note.starts_with("No response of it is kept: one waits 15 minutes"), "{note}");
        assert!(note.contains("another idempotency_key"), "it says what to do: {note}");
    }
}

#[tokio::test]
async fn nothing_outlives_a_restart_and_that_is_said() {
    let refused = Act::Answer(404, "text/plain", b"no such tile", Verdict::Failed);
    let house = house([image(PNG), refused]).await;
    let paid = house.pay("scout", tile("k")).await;
    let failed = house.pay("scout", tile("f")).await;
    assert_eq!(failed["response"]["body"], "no such tile");
    let plain = json!({"service_id": "search", "idempotency_key": "iou"});
    let recorded = house.pay("scout", plain.clone()).await;
    let house = house.reopened_with(rails([Act::Hang])).await;
    assert_eq!(read(&house, "scout", id(&paid)).await, Waiting::Gone);
    let said = |told: &Value| told["note"].as_str().unwrap_or_default().contains("15 minutes");
    for (key, earlier) in [("k", &paid), ("f", &failed)] {
        for again in [tile(key), json!({"payment_id": earlier["payment_id"]})] {
            let told = house.pay("scout", again).await;
            assert_eq!(told["outcome"], earlier["outcome"], "{told}");
            assert!(told.get("response").is_none() && said(&told), "{told}");
        }
    }
    // A payment that called nothing has no response that one could miss.
    for again in [plain, json!({"payment_id": recorded["payment_id"]})] {
        let told = house.pay("scout", again).await;
        assert!(told["outcome"] == "paid" && !said(&told), "{told}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_or_broke_off_is_no_file_and_that_is_said() {
    let most = 4 << 20;
    let whole: &'static [u8] = Vec::leak(vec![0xff; most]);
    let longer: &'static [u8] = Vec::leak(vec![0xff; most + 1]);
    let house = house([image(whole), image(longer)]).await;
    let told = house.pay("scout", tile("a")).await;
    assert_eq!(bytes(read(&house, "scout", id(&told)).await).len(), most);
    let told = house.pay("scout", tile("b")).await;
    let expected = json!({"status": 200, "content_type": "image/png", "bytes": most + 1,
        "truncated": true, "untrusted": true});
    assert_eq!(told["response"], expected);
    let note = told["note"].as_str().unwrap();
    assert!(note.ends_with("is not kept: it is longer than 4 MiB, or broke off."), "{note}");
    assert_eq!(read(&house, "scout", id(&told)).await, Waiting::Gone);
    assert_eq!(waiting(&house, "scout").await.len(), 1);
}

#[tokio::test]
async fn of_texts_no_more_is_kept_than_is_shown() {
    let text: &'static [u8] = Vec::leak(vec![b'x'; 1 << 20]);
    let house = house([Act::Answer(200, "text/plain", text, taken())]).await;
    let told = house.pay("scout", tile("a")).await;
    assert_eq!(told["response"]["body"].as_str().unwrap().len(), 256 << 10);
    assert_eq!((&told["response"]["truncated"], told.get("note")), (&json!(true), None));
    let kept = house.engine.response(id(&told)).unwrap();
    assert_eq!((kept.base64.len(), kept.bytes), ((256 << 10) / 3 * 4 + 4, 1 << 20));
    assert_eq!(kept.truncated, Some(true));
}

#[tokio::test]
async fn who_may_read_the_ledger_may_read_bodies_and_nobody_else() {
    let house = house([image(PNG)]).await;
    let payment = id(&house.pay("scout", tile("a")).await);
    let scout = "scout".parse().unwrap();
    let token = house.engine.issue_token(&scout, NewToken::default()).await.unwrap();
    let came = Came::By(token.view.token_id.clone());
    let by_token = async || house.engine.body(&scout, came.clone(), payment).await;
    assert_eq!(bytes(by_token().await), PNG);
    let other = "other".parse().unwrap();
    let Waiting::Refused(refused) = house.engine.body(&other, came.clone(), payment).await else {
        panic!("a token is its own agent's")
    };
    assert!(refused.message.is_some());
    assert!(matches!(house.engine.bodies(&other, came.clone(), None).await, Waiting::Refused(_)));
    assert!(matches!(read(&house, "nobody", payment).await, Waiting::Refused(_)));
    let freezing = serde_json::from_value(json!({"reason": "odd"})).unwrap();
    house.engine.freeze(&scout, freezing).await.unwrap();
    assert_eq!(bytes(by_token().await), PNG, "it is stopped, and reads what it paid for");
    house.revoke("scout").await;
    assert_eq!(house.call("ledger", "scout", json!({})).await.get("code"), None);
    assert_eq!(bytes(read(&house, "scout", payment).await), PNG);
    assert!(matches!(by_token().await, Waiting::Refused(_)), "its tokens ended with it");
}

#[tokio::test]
async fn a_long_list_comes_in_pages_without_a_gap() {
    let house = house([image(PNG)]).await;
    let mut paid = Vec::new();
    for n in 0..205 {
        paid.push(id(&house.pay("other", tile(&n.to_string())).await));
    }
    paid.reverse();
    let (mut all, mut sizes, mut before) = (Vec::new(), Vec::new(), None);
    loop {
        let other = "other".parse().unwrap();
        let Waiting::Here(page) = house.engine.bodies(&other, Came::Local, before).await else {
            panic!("no list")
        };
        sizes.push(page.bodies.len());
        all.extend(page.bodies.into_iter().map(|body| body.payment_id));
        let Some(next) = page.next else { break };
        before = Some(next);
    }
    assert_eq!((all, sizes), (paid, vec![100, 100, 5]));
}
