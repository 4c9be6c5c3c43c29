//! What APIs answer to what is paid: how a model gets it, and for how long.

use std::time::Duration;

use pettycash::rails::Verdict;
use serde_json::{Value, json};

use crate::support::{
    house::House,
    scripted::{Act, Scripted},
};

const TEN_CENTS: i64 = 100_000_000;

fn taken() -> Verdict {
    Verdict::Captured(TEN_CENTS.try_into().unwrap())
}

/// A house whose service `maps` answers so.
async fn house(acts: impl IntoIterator<Item = Act>) -> (House, Scripted) {
    let rail = Scripted::within(Duration::from_secs(2), acts);
    let house = House::with(rail.rails()).await;
    house.scout().await;
    let maps = json!({"id": "maps", "payee": "Acme", "price_usd": "0.10", "rail": "scripted"});
    house.service(maps).await;
    (house, rail)
}

fn maps() -> Value {
    json!({"service_id": "maps"})
}

#[tokio::test]
async fn what_was_answered_comes_with_the_payment_marked_as_not_ours() {
    let cases: [(u16, &str, &[u8], Value); 13] = [
        (200, "application/json", b"{\"a\":[1,\"two\"]}", json!({"body": {"a": [1, "two"]}})),
        (200, "text/plain", b"{\"a\": 1}", json!({"body": {"a": 1}})),
        (201, "text/html", b"<p>hi</p>\n\tyou", json!({"body": "<p>hi</p>\n\tyou"})),
        (200, "application/json", b"\"just text\"", json!({"body": "\"just text\""})),
        (200, "application/json", b"{broken", json!({"body": "{broken"})),
        (204, "text/plain", b"", json!({})),
        (200, "image/png", b"\x89PNG\r\n\x1a\n", json!({"bytes": 8})),
        (200, "image/png", b"plain", json!({"bytes": 5})),
        (200, "application/pdf", b"%PDF-1.4", json!({"bytes": 8})),
        (200, "", b"\xff\xfe", json!({"bytes": 2})),
        (200, "text/plain", b"a\0b", json!({"bytes": 3})),
        // Neither a terminal nor a reader is led by what shows nothing of itself.
        (
            200,
            "text/\x1b[31mplain",
            "a\u{1b}[31m\u{202e}b\u{200b}\u{e0041}".as_bytes(),
            json!({"body": "a\u{fffd}[31m\u{fffd}b\u{fffd}\u{fffd}",
                "content_type": "text/?[31mplain"}),
        ),
        // What cannot be told exactly as a number stays as it was written.
        (
            200,
            "application/json",
            b"{\"id\":98765432109876543210}",
            json!({"body": "{\"id\":98765432109876543210}"}),
        ),
    ];
    for (status, kind, body, told) in cases {
        let (house, _) = house([Act::Answer(status, kind, body, taken())]).await;
        let paid = house.pay("scout", maps()).await;
        assert_eq!((&paid["outcome"], &paid["charged_usd"]), (&json!("paid"), &json!("0.10")));
        let mut expected = json!({"status": status, "content_type": kind, "untrusted": true});
        expected.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
        if told.get("bytes").is_some() {
            let payment = paid["payment_id"].as_str().unwrap();
            expected["resource"] = format!("pettycash://responses/{payment}").into();
        }
        assert_eq!(paid["response"], expected, "{paid}");
        assert_eq!(paid.get("message"), None);
    }
}

#[tokio::test]
async fn a_long_body_is_cut_and_that_is_said() {
    let long: &'static [u8] = Vec::leak("é".repeat(200_000).into_bytes());
    let (house, _) = house([Act::Answer(200, "text/plain", long, taken())]).await;
    let response = &house.pay("scout", maps()).await["response"];
    let body = response["body"].as_str().unwrap();
    assert_eq!((body.len(), &response["truncated"]), (256 * 1024, &json!(true)));
    let half: &'static [u8] = Vec::leak(format!("x{}", "é".repeat(200_000)).into_bytes());
    let (house, _) = self::house([Act::Answer(200, "text/plain", half, taken())]).await;
    let response = &house.pay("scout", maps()).await["response"];
    assert_eq!(response["body"].as_str().unwrap().len(), 256 * 1024 - 1, "no half characters");
}

#[tokio::test]
async fn what_was_answered_is_fetched_again_by_its_own_agent_for_a_quarter_of_an_hour() {
    let (house, rail) = house([Act::Answer(200, "text/plain", b"the map", taken())]).await;
    house
        .agent(json!({"handle": "other", "funding": "allowance", "caps": [
        {"period": "day", "cap_usd": "5.00"}]}))
        .await;
    let keyed = json!({"service_id": "maps", "idempotency_key": "k"});
    let paid = house.pay("scout", keyed.clone()).await;
    let fetch = json!({"payment_id": paid["payment_id"]});
    for again in [&keyed, &fetch] {
        let again = house.pay("scout", again.clone()).await;
        assert_eq!((&again["replayed"], &again["response"]), (&json!(true), &paid["response"]));
    }
    let foreign = house.pay("other", fetch.clone()).await;
    assert_eq!((&foreign["code"], foreign.get("response")), (&json!("invalid_request"), None));
    assert_eq!(rail.calls().len(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(15 * 60 - 60)).await;
    tokio::time::resume();
    assert_eq!(house.pay("scout", fetch.clone()).await["response"], paid["response"]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    let later = house.pay("scout", fetch).await;
    assert_eq!((&later["outcome"], later.get("response")), (&json!("paid"), None));
}

#[tokio::test]
async fn what_went_wrong_is_told_as_it_was_answered() {
    let no = Act::Answer(404, "application/json", b"{\"error\":\"no such map\"}", Verdict::Failed);
    let (house, _) = house([no, Act::HangAnswering]).await;
    let failed = house.pay("scout", maps()).await;
    assert_eq!(failed["outcome"], "failed");
    assert_eq!(failed["response"]["status"], 404);
    assert_eq!(failed["response"]["body"]["error"], "no such map");
    assert!(!failed["message"].as_str().unwrap().contains("no such map"), "{failed}");
    let doubtful = house.pay("scout", maps()).await;
    assert_eq!(doubtful["outcome"], "in_doubt");
    let expected = json!({"status": 200, "content_type": "text/plain", "body": "so far",
        "truncated": true, "untrusted": true});
    assert_eq!(doubtful["response"], expected);
}

#[tokio::test]
async fn what_is_kept_of_answers_is_bounded_and_the_oldest_goes_first() {
    let big: &'static [u8] = Vec::leak("x".repeat(256 * 1024).into_bytes());
    let (house, _) = house([Act::Answer(200, "text/plain", big, taken())]).await;
    house
        .agent(json!({"handle": "other", "funding": "allowance", "caps": [
        {"period": "day", "cap_usd": "50.00"}]}))
        .await;
    let first = house.pay("scout", maps()).await;
    let mut others = Vec::new();
    for _ in 0..70 {
        others.push(house.pay("other", maps()).await["payment_id"].clone());
    }
    let mut kept = 0;
    for id in &others {
        let told = house.pay("other", json!({"payment_id": id})).await;
        kept += usize::from(told.get("response").is_some());
    }
    assert!((60..64).contains(&kept), "16 MiB of each agent, and {kept} were kept");
    let last = json!({"payment_id": others.last()});
    assert!(house.pay("other", last).await.get("response").is_some());
    let scouts = house.pay("scout", json!({"payment_id": first["payment_id"]})).await;
    assert_eq!(scouts["response"], first["response"], "another's answers push nobody's out");
}
