//! The operator's own call of a service: by the same wire as an agent's, and with nobody's money.

use pettycash::{
    engine::Engine,
    policy::{
        service_test::TestOutcome,
        terms::{LedgerAsked, ServiceTest, TestAsked},
    },
};
use serde_json::json;

use super::{
    paying::{answer, house},
    upstream::Upstream,
};
use crate::support::canary::KEY;

async fn test(engine: &Engine, operation: &str, request: &str) -> Result<ServiceTest, String> {
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let asked = TestAsked { operation: named(operation), request: named(request) };
    let tested = engine.test_service(&"acme".parse().unwrap(), asked).await;
    tested.map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_operators_call_goes_the_agents_way_and_takes_nobodys_money() {
    let body = format!("{{\"found\": 3, \"key\": \"{KEY}\", \"say\": \"a\\u202eb\"}}");
    let upstream = Upstream::saying(answer(200, "application/json", &body)).await;
    let idempotent = json!({"idempotency_header": "idempotency-key"});
    let house = house(&upstream, idempotent).await;
    let told = test(&house.engine, "find", r#"{"params": {"place": "tea"}}"#).await.unwrap();
    assert_eq!((told.outcome, told.why.as_deref()), (TestOutcome::Charged, None));
    assert_eq!(told.would_charge_usd, Some("0.02".parse().unwrap()));
    assert_eq!(
        told.size,
        Some(u64::try_from(body.len() - KEY.len() + "[redacted]".len()).unwrap())
    );
    let response = told.response.unwrap();
    assert_eq!((response.status, response.untrusted), (200, true));
    let read = json!({"found": 3, "key": "[redacted]", "say": "a\u{fffd}b"});
    assert_eq!(response.body, Some(read));
    let named = |request: &str| {
        let line = request.lines().find_map(|line| line.strip_prefix("idempotency-key: pay_"));
        u64::from_str_radix(line.unwrap(), 16).unwrap()
    };
    let [request] = upstream.requests().try_into().unwrap();
    assert!(request.starts_with("GET /v1/find/tea HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("authorization: Bearer {KEY}\r\n")), "{request}");
    assert!(named(&request) >> 63 == 1, "no payment is ever called so");
    let other = test(&house.engine, "report", r#"{"body": {"of": "June"}}"#).await.unwrap();
    assert_eq!(other.would_charge_usd, Some("0.10".parse().unwrap()), "the operation's own price");
    let [first, second] = upstream.requests().try_into().unwrap();
    assert_ne!(named(&first), named(&second));

    let balance = house.call("get_balance", "scout", json!({})).await;
    assert_eq!((&balance["available_usd"], &balance["held_usd"]), (&json!("5.00"), &json!("0.00")));
    assert_eq!(house.outcomes("scout").await, ["created"]);
    let page = house.engine.ledger(LedgerAsked::default()).await.unwrap();
    let line = serde_json::to_value(&page.entries[1]).unwrap();
    assert_eq!((&line["outcome"], &line["service_id"]), (&json!("service_tested"), &json!("acme")));
    assert_eq!(line["amount_usd"], "0.02");
    let detail = "find, answered 200, an agent would have been charged";
    assert_eq!(line["detail"], detail);
    assert!(!serde_json::to_string(&page).unwrap().contains(KEY));
}

const CUT: &str = "the answer was cut short: try again, and see whether the API or something \
                   before it breaks off";

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_look_at() {
    for (status, outcome, why) in [
        (401, TestOutcome::Free, "does not take the key"),
        (404, TestOutcome::Free, "has no such path"),
        (302, TestOutcome::Unknown, "points elsewhere"),
        (500, TestOutcome::Unknown, "does not say whether it charges"),
    ] {
        let upstream = Upstream::saying(answer(status, "text/plain", "so it is")).await;
        let house = house(&upstream, json!({})).await;
        let told = test(&house.engine, "find", r#"{"params": {"place": "x"}}"#).await.unwrap();
        assert_eq!((told.outcome, told.would_charge_usd), (outcome, None), "{status}");
        assert!(told.why.as_ref().unwrap().contains(why), "{told:?}");
    }
    let upstream = Upstream::saying(answer(200, "text/plain", "ok")).await;
    let tea = r#"{"params": {"place": "tea"}}"#;
    for (more, outcome, why) in [
        (json!({"secret": {"env": "NOBODY_SET_THIS"}}), TestOutcome::NotSent, "NOBODY_SET_THIS"),
        (json!({"base_url": "https://nobody.invalid"}), TestOutcome::NotSent, "spells it"),
        (json!({"base_url": "http://127.0.0.1:1"}), TestOutcome::NotSent, "anybody listens there"),
        (json!({"base_url": "https://127.0.0.1:1"}), TestOutcome::NotSent, ": "),
    ] {
        let house = house(&upstream, more.clone()).await;
        let told = test(&house.engine, "find", tea).await.unwrap();
        assert_eq!(told.outcome, outcome, "{more}: {told:?}");
        assert!(told.why.as_ref().unwrap().contains(why), "{more}: {told:?}");
        assert_eq!((told.response, told.size), (None, None));
    }
    let broken = Upstream::saying("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned());
    let broken = broken.await;
    let told = test(&house(&broken, json!({})).await.engine, "find", tea).await.unwrap();
    assert_eq!(told.response.unwrap().truncated, Some(true));
    assert_eq!(told.why.as_deref(), Some(CUT));
    let mute = Upstream::saying(String::new()).await;
    let told = test(&house(&mute, json!({})).await.engine, "find", tea).await.unwrap();
    let why = "the connection ended without an answer: see whether `base_url` names an API, and \
               its port";
    assert_eq!((told.outcome, told.why.as_deref()), (TestOutcome::Unknown, Some(why)));
}

#[tokio::test]
async fn of_an_answer_that_is_not_handed_on_whole_is_told_why() {
    let packed = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nhi";
    let long = answer(200, "text/plain", &"x".repeat(1_025));
    let short = json!({"max_response_bytes": 1_024});
    let twice = [(packed.to_owned(), json!({}), "came packed"), (long, short, "`max_response_")];
    for (said, more, why) in twice {
        let upstream = Upstream::saying(said).await;
        let house = house(&upstream, more).await;
        let told = test(&house.engine, "find", r#"{"params": {"place": "x"}}"#).await.unwrap();
        assert_eq!(told.outcome, TestOutcome::Charged, "{told:?}");
        assert_eq!(told.response.unwrap().truncated, Some(true));
        assert!(told.why.as_ref().unwrap().contains(why), "{:?}", told.why);
    }
}

#[tokio::test]
async fn what_is_to_be_called_is_the_plainest_or_has_to_be_said() {
    let upstream = Upstream::saying(answer(200, "text/plain", "ok")).await;
    let house = house(&upstream, json!({})).await;
    let error = test(&house.engine, "", "").await.unwrap_err();
    assert!(
        error.contains("there is `find` (GET /find/{place}), `report` (POST /reports)"),
        "{error}"
    );
    let error = test(&house.engine, "find", "").await.unwrap_err();
    assert!(error.starts_with("request.params.place is"), "{error}");
    let error = test(&house.engine, "find", "[]").await.unwrap_err();
    assert!(error.starts_with("the request is no JSON of an object"), "{error}");
    let error = test(&house.engine, "nothing", "").await.unwrap_err();
    assert!(error.contains("one of find, report"), "{error}");
    assert_eq!(upstream.requests().len(), 0, "nothing was sent");
    let none = house.engine.test_service(&"nothing".parse().unwrap(), TestAsked::default()).await;
    assert_eq!(none.unwrap_err().problem().code, "service_unknown");
    let debt = house.engine.test_service(&"search".parse().unwrap(), TestAsked::default()).await;
    let debt = debt.unwrap_err().to_string();
    assert_eq!(debt, "`search` is paid by iou, and nothing is called for it");
    let more = json!({"id": "acme", "replace": true, "payee": "Acme", "rail": "proxy",
        "price_usd": "0.03", "base_url": format!("http://{}/v1", upstream.address), "operations": [
            {"name": "post", "method": "POST", "path": "/a"},
            {"name": "status", "method": "GET", "path": "/status"}]});
    house.service(more).await;
    let told = test(&house.engine, "", "").await.unwrap();
    let price = Some("0.03".parse().unwrap());
    assert_eq!((told.operation.as_str(), told.would_hold_usd), ("status", price));
    assert_eq!(told.would_charge_usd, price);
}
