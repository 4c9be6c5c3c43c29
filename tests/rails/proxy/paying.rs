//! Payments of APIs that are called: what reaches them, what comes back, and what is charged.

use std::{sync::Arc, time::Duration};

use pettycash::{
    policy::terms::Settlement,
    rails::{Rails, proxy::Proxy},
};
use serde_json::{Value, json};

use super::upstream::{Peer, Upstream};
use crate::support::{
    canary::{KEY, keep},
    house::House,
};

/// A house whose service `acme` is at this upstream, with more said of it.
pub(super) async fn house(upstream: &Upstream, more: Value) -> House {
    let house = House::with(Rails::default().with(Arc::new(Proxy::default()))).await;
    house.scout().await;
    let key = house.dir.path().join("acme.key");
    keep(&format!("{KEY}\n"), &key);
    let mut service = json!({
        "id": "acme", "payee": "Acme", "price_usd": "0.02", "rail": "proxy",
        "base_url": format!("http://{}/v1", upstream.address),
        "secret": {"file": key}, "headers": {"authorization": "Bearer {secret}"}, "timeout": "2s",
        "operations": [
            {"name": "find", "method": "GET", "path": "/find/{place}"},
            {"name": "report", "method": "POST", "path": "/reports", "price": "0.10"},
        ],
    });
    service.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    house.service(service).await;
    house
}

pub(super) fn answer(status: u16, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn find() -> Value {
    json!({"service_id": "acme", "request": {"operation": "find", "params": {"place": "tea"}}})
}

fn report(body: &Value) -> Value {
    json!({"service_id": "acme", "request": {"operation": "report", "body": body}})
}

#[tokio::test]
async fn a_call_is_made_with_the_key_and_answered_without_it() {
    let body = format!("{{\"found\": 3, \"key\": \"{KEY}\"}}");
    let upstream = Upstream::saying(answer(200, "application/json", &body)).await;
    let house = house(&upstream, json!({})).await;
    let asked = json!({"service_id": "acme", "request": {"operation": "find",
        "params": {"place": "b c"}, "query": {"q": ["x", "y z"], "n": 2}}});
    let paid = house.pay("scout", asked).await;
    assert_eq!((&paid["outcome"], &paid["charged_usd"]), (&json!("paid"), &json!("0.02")));
    let response = json!({"status": 200, "content_type": "application/json", "untrusted": true,
        "body": {"found": 3, "key": "[redacted]"}});
    assert_eq!(paid["response"], response);
    let [request] = upstream.requests().try_into().unwrap();
    assert!(request.starts_with("GET /v1/find/b%20c?q=x&q=y%20z&n=2 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("authorization: Bearer {KEY}\r\n")), "{request}");

    let posted = house.pay("scout", report(&json!({"of": "June"}))).await;
    assert_eq!(posted["charged_usd"], "0.10", "the operation's own price");
    let [_, request] = upstream.requests().try_into().unwrap();
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"of\":\"June\"}"), "{request}");
    for told in [paid, posted, house.call("ledger", "scout", json!({})).await] {
        assert!(!told.to_string().contains(KEY), "{told}");
    }
}

#[tokio::test]
async fn what_a_status_says_decides_what_is_charged() {
    let hold = json!({});
    let capture = json!({"on_unknown": "capture"});
    let own = json!({"charge_on": ["200", "404"], "free_on": ["5xx"]});
    for (status, more, outcome, held) in [
        (201, &hold, "paid", "0.00"),
        (404, &hold, "failed", "0.00"),
        (429, &hold, "failed", "0.00"),
        (500, &hold, "in_doubt", "0.02"),
        (302, &hold, "in_doubt", "0.02"),
        (500, &capture, "paid", "0.00"),
        (404, &own, "paid", "0.00"),
        (503, &own, "failed", "0.00"),
        (201, &own, "in_doubt", "0.02"),
    ] {
        let upstream = Upstream::saying(answer(status, "text/plain", "so it is")).await;
        let house = house(&upstream, more.clone()).await;
        let told = house.pay("scout", find()).await;
        assert_eq!(told["outcome"], outcome, "{status} {more}");
        assert_eq!(told["response"]["status"], status);
        assert_eq!(told["response"]["body"], "so it is");
        assert_eq!(told["response"].get("truncated"), None, "all of it came");
        assert!(!told["message"].to_string().contains("so it is"));
        let balance = house.call("get_balance", "scout", json!({})).await;
        assert_eq!(balance["held_usd"], held, "{status} {more}");
        assert_eq!(upstream.requests().len(), 1, "nothing is asked twice");
    }
}

#[tokio::test]
async fn what_was_not_sent_is_free_and_what_was_not_answered_is_in_doubt() {
    let upstream = Upstream::saying("").await;
    let address = upstream.address;
    let broken = house(&upstream, json!({})).await;
    assert_eq!(broken.pay("scout", find()).await["outcome"], "in_doubt", "it closes");
    drop(upstream);
    let hanging = Upstream::start(|mut peer: Peer| async move {
        peer.request().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
    });
    let hanging = hanging.await;
    let hung = house(&hanging, json!({"timeout": "1s"})).await;
    assert_eq!(hung.pay("scout", find()).await["outcome"], "in_doubt", "it hangs");
    let closed = house(&hanging, json!({"base_url": format!("http://{address}")})).await;
    let told = closed.pay("scout", find()).await;
    assert_eq!((&told["outcome"], &told["code"]), (&json!("failed"), &json!("payment_failed")));
    assert!(told["message"].as_str().unwrap().contains("could not be reached"), "{told}");
    let balance = closed.call("get_balance", "scout", json!({})).await;
    assert_eq!((&balance["held_usd"], &balance["available_usd"]), (&json!("0.00"), &json!("5.00")));
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_sends_nothing() {
    let upstream = Upstream::saying(answer(200, "text/plain", "ok")).await;
    let secret = json!({"secret": {"env": "PETTYCASH_TEST_NO_SUCH_KEY"}});
    let house = house(&upstream, secret).await;
    let told = house.pay("scout", find()).await;
    assert_eq!(told["outcome"], "failed", "{told}");
    assert_eq!(told["advice"], "ask_operator", "to wait would not help: {told}");
    assert!(told["message"].as_str().unwrap().contains("`pettycash service test`"), "{told}");
    let lines = house.lines("scout").await;
    let why = lines.iter().find_map(|line| line["detail"].as_str()).unwrap_or_default();
    assert!(why.contains("not set up here"), "{lines:?}");
    assert_eq!(super::metered::held(&house).await, "0.00");
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn a_price_is_read_from_the_answer_up_to_its_ceiling() {
    let header = json!({"header": "x-price", "at_most": "0.10"});
    let pointer = json!({"json": "/usage/cost", "at_most": "0.10"});
    for (from, extra, body, outcome, charged) in [
        (&header, "x-price: 0.03\r\n", "{}", "paid", Some("0.03")),
        (&header, "x-price: 0\r\n", "{}", "paid", Some("0.00")),
        (&header, "x-price: 7\r\n", "{}", "paid", Some("0.10")),
        (&header, "x-price: lots\r\n", "{}", "in_doubt", None),
        (&header, "", "{}", "in_doubt", None),
        (&pointer, "", "{\"usage\":{\"cost\":0.015}}", "paid", Some("0.015")),
        (&pointer, "", "{\"usage\":{\"cost\":\"0.1\"}}", "paid", Some("0.10")),
        (&pointer, "", "{\"usage\":{\"cost\":1e9}}", "paid", Some("0.10")),
        (&pointer, "", "{\"usage\":{\"cost\":-1}}", "in_doubt", None),
        (&pointer, "", "{\"usage\":", "in_doubt", None),
    ] {
        let said = answer(200, "application/json", body);
        let said = said.replace("content-type", &format!("{extra}content-type"));
        let upstream = Upstream::saying(said).await;
        let operations = json!({"operations": [{"name": "find", "method": "GET",
            "path": "/find/{place}", "price_from": from}]});
        let house = house(&upstream, operations).await;
        let told = house.pay("scout", find()).await;
        assert_eq!(told["outcome"], outcome, "{extra}{body}: {told}");
        assert_eq!(told.get("charged_usd").and_then(Value::as_str), charged, "{extra}{body}");
        let balance = house.call("get_balance", "scout", json!({})).await;
        let held = if charged.is_some() { "0.00" } else { "0.10" };
        assert_eq!(balance["held_usd"], held, "{extra}{body}");
        let above = extra.contains('7') || body.contains("1e9");
        let told = above.then(|| json!("the answer said more than its ceiling, which was taken"));
        let detail = house.lines("scout").await[0].get("detail").cloned();
        assert_eq!(detail.filter(|_| charged.is_some()), told, "{extra}{body}");
    }
}

#[tokio::test]
async fn what_is_free_is_never_in_doubt() {
    let hanging = |mut peer: Peer| async move {
        peer.request().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
    };
    let free = json!({"timeout": "1s", "operations": [{"name": "find", "method": "GET",
        "path": "/find/{place}", "price": "0.00"}]});
    let unsure = Upstream::saying(answer(500, "text/plain", "oh")).await;
    for upstream in [Upstream::start(hanging).await, unsure] {
        let house = house(&upstream, free.clone()).await;
        let told = house.pay("scout", find()).await;
        assert_eq!((&told["outcome"], &told["charged_usd"]), (&json!("paid"), &json!("0.00")));
        let lines = house.lines("scout").await;
        assert!(lines.iter().all(|line| line["outcome"] != "in_doubt"), "{lines:?}");
        let tested = json!({"operation": "find", "request": "{\"params\": {\"place\": \"tea\"}}"});
        let tested = serde_json::from_value(tested).unwrap();
        let tested = house.engine.test_service(&"acme".parse().unwrap(), tested).await.unwrap();
        assert_eq!(
            tested.would_charge_usd.map(pettycash::policy::money::Usd::decimal),
            Some("0.00".into())
        );
    }
}

#[tokio::test]
async fn a_key_stands_for_one_request_and_requests_that_differ_are_no_duplicates() {
    let upstream = Upstream::start(|mut peer: Peer| async move {
        peer.request().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        peer.write(answer(200, "text/plain", "ok").as_bytes()).await;
    });
    let upstream = upstream.await;
    let house = Arc::new(house(&upstream, json!({})).await);
    let keyed = |place: &str| {
        json!({"service_id": "acme", "idempotency_key": "k",
            "request": {"operation": "find", "params": {"place": place}}})
    };
    let paid = house.pay("scout", keyed("tea")).await;
    let again = house.pay("scout", keyed("tea")).await;
    assert_eq!((&again["replayed"], &again["payment_id"]), (&json!(true), &paid["payment_id"]));
    assert_eq!(again["response"], paid["response"]);
    let other = house.pay("scout", keyed("coffee")).await;
    assert_eq!(other["code"], "idempotency_key_reused", "{other}");
    assert_eq!(upstream.requests().len(), 1);

    let first = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.pay("scout", report(&json!({"of": 1}))).await }
    });
    while upstream.requests().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let newest = house.call("ledger", "scout", json!({"limit": 1})).await["entries"][0].clone();
    let under_way = newest["payment_id"].as_str().unwrap().parse().unwrap();
    let settled = house.engine.settle(under_way, Settlement::default()).await;
    assert_eq!(settled.unwrap_err().problem().code, "payment_not_in_doubt", "it goes on");
    let twice = house.pay("scout", report(&json!({"of": 1}))).await;
    assert_eq!(twice["code"], "possible_duplicate", "{twice}");
    let other = house.pay("scout", report(&json!({"of": 2}))).await;
    assert_eq!(other["outcome"], "paid", "{other}");
    assert_eq!(first.await.unwrap()["outcome"], "paid");
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn a_request_that_is_none_reaches_nobody() {
    let upstream = Upstream::saying(answer(200, "text/plain", "ok")).await;
    let house = house(&upstream, json!({})).await;
    house.service(json!({"id": "plain", "payee": "Acme", "price_usd": "0.02"})).await;
    let at = |service: &str, request: Value| json!({"service_id": service, "request": request});
    for (arguments, field) in [
        (json!({"service_id": "acme"}), "request"),
        (at("acme", json!("find")), "request"),
        (at("acme", json!({})), "request.operation"),
        (at("acme", json!({"operation": "steal"})), "request.operation"),
        (at("acme", json!({"operation": "find"})), "request.params.place"),
        (
            at("acme", json!({"operation": "find", "params": {"place": ".."}})),
            "request.params.place",
        ),
        (at("acme", json!({"operation": "find", "params": {"place": {}}})), "request.params"),
        (at("acme", json!({"operation": "find", "url": "http://x"})), "request.url"),
        (at("acme", json!({"method": "GET", "path": "/v1/../admin"})), "request.path"),
        (
            at("acme", json!({"operation": "report", "headers": {"Authorization": "x"}})),
            "request.headers",
        ),
        (at("plain", json!({"operation": "find"})), "request"),
    ] {
        let told = house.pay("scout", arguments.clone()).await;
        let code = told["code"].as_str().unwrap();
        assert!(["invalid_request", "loop_detected"].contains(&code), "{arguments}: {told}");
        let message = told["message"].as_str().unwrap();
        assert!(
            code == "loop_detected" || message.contains(&format!("`{field}`")),
            "{field}: {told}"
        );
    }
    assert_eq!(upstream.accepted(), 0);
    let dry = json!({"service_id": "acme", "dry_run": true, "request": {"operation": "report"}});
    let dry = house.pay("scout", dry).await;
    assert_eq!((&dry["outcome"], &dry["price_usd"]), (&json!("allowed"), &json!("0.10")));
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn what_is_in_doubt_stays_held_until_an_operator_says_how_it_ended() {
    let upstream = Upstream::saying(answer(500, "text/plain", "oh")).await;
    let house = house(&upstream, json!({})).await;
    let settle = |told: &Value, charged: Option<&str>| {
        let payment = told["payment_id"].as_str().unwrap().parse().unwrap();
        let charged_usd = charged.map(|charged| charged.parse().unwrap());
        house.engine.settle(payment, Settlement { charged_usd })
    };
    for (charged, outcome, taken, free) in [
        (None, "paid", "0.02", "0.00"),
        (Some("0.005"), "paid", "0.005", "0.015"),
        (Some("0"), "failed", "0.00", "0.02"),
    ] {
        let doubtful = house.pay("scout", find()).await;
        assert_eq!(doubtful["outcome"], "in_doubt");
        let more = settle(&doubtful, Some("0.03")).await.unwrap_err().problem();
        assert_eq!((more.status, more.code.as_str()), (422, "settlement_too_large"));
        let settled = settle(&doubtful, charged).await.unwrap();
        assert_eq!(
            (settled.charged_usd.decimal(), settled.released_usd.decimal()),
            (taken.into(), free.into())
        );
        assert_eq!(json!(settled.agent)["held_usd"], "0.00");
        let fetched = house.pay("scout", json!({"payment_id": doubtful["payment_id"]})).await;
        assert_eq!(fetched["outcome"], outcome, "{fetched}");
        let again = settle(&doubtful, None).await.unwrap_err().problem();
        assert_eq!((again.status, again.code.as_str()), (409, "payment_not_in_doubt"));
    }
    let used = house.call("get_balance", "scout", json!({})).await["available_usd"].clone();
    assert_eq!(used, "4.975", "0.02 and 0.005 of 5.00");
}
