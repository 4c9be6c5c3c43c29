//! What a mandate says of language models: how much one puts out, and the cheaper one near a cap.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use pettycash::{
    policy::{denial::BadField, endpoint::Asking, mandate::Service, names::RailName},
    rails::{
        Bounded, Dispatch, Order, Rail, Reply, Terms, Verdict,
        meter::{Prices, Shared},
        proxy::Proxy,
    },
};
use serde_json::{Value, json};

use super::{
    metered::{asked, house, house_with, question, sent, whole},
    upstream::{Peer, Upstream},
};
use crate::support::house::House;

const SONNET: &str = "claude-sonnet-4-5";
const HAIKU: &str = "claude-haiku-4-5";

/// A vendor that says it used 100 tokens of input and 10 of output of whatever model it is asked
/// for.
async fn vendor() -> Upstream {
    let answering = Upstream::start(|mut peer: Peer| async move {
        let request = peer.request().await.unwrap();
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let usage = json!({"input_tokens": 100, "output_tokens": 10, "prompt_tokens": 100,
            "completion_tokens": 10});
        let answer = json!({"model": body["model"], "usage": usage, "choices": [], "output": []});
        peer.write(whole(200, &answer).as_bytes()).await;
    });
    answering.await
}

/// Has the mandate of the agent say this, too.
async fn say(house: &House, patch: Value) {
    let patch = serde_json::from_value(patch).unwrap();
    house.engine.change_mandate(&"scout".parse().unwrap(), patch, None).await.unwrap();
}

/// Spends so much on something else.
async fn spend(house: &House, amount: &str) {
    let paid = house.pay("scout", json!({"service_id": "report", "amount_usd": amount})).await;
    assert_eq!(paid["outcome"], "paid", "{paid}");
}

/// The model that was asked for, the one that was used, and what was charged.
fn told(paid: &Value) -> [&str; 3] {
    ["model_requested", "model_used", "charged_usd"]
        .map(|field| paid[field].as_str().unwrap_or_else(|| panic!("{field} of {paid}")))
}

#[tokio::test]
async fn up_to_79_percent_the_model_asked_for_is_used_and_from_80_on_the_cheaper() {
    let upstream = vendor().await;
    let house = house(&upstream, json!({})).await;
    say(&house, json!({"downgrade_at": 80, "downgrade_to": HAIKU})).await;
    let call = asked("messages", &question(SONNET));
    let dry = json!({"service_id": "models", "dry_run": true, "request": call["request"]});
    // Of 0.10 a day.
    spend(&house, "0.078").await;
    let keyed = json!({"service_id": "models", "idempotency_key": "k", "request": call["request"]});
    let paid = house.pay("scout", keyed.clone()).await;
    assert_eq!(told(&paid), [SONNET, SONNET, "0.00045"], "100 at 3 and 10 at 15 in a million");
    assert_eq!(sent(&upstream), question(SONNET).to_string());
    spend(&house, "0.001549999").await;
    assert_eq!(house.pay("scout", dry.clone()).await["model_used"], SONNET, "one nano-dollar less");
    spend(&house, "0.000000001").await;

    let would = house.pay("scout", dry).await;
    let tokens = question(HAIKU).to_string().len().div_ceil(3);
    let held = format!("0.{:09}", tokens * 1_000 + 5_000_000).trim_end_matches('0').to_owned();
    let models = [&would["model_requested"], &would["model_used"], &would["price_usd"]];
    assert_eq!(models, [&json!(SONNET), &json!(HAIKU), &json!(held)], "held by its prices");
    let paid = house.pay("scout", call.clone()).await;
    assert_eq!(told(&paid), [SONNET, HAIKU, "0.00015"], "100 at 1 and 10 at 5 in a million");
    assert_eq!(sent(&upstream), question(SONNET).to_string().replace(SONNET, HAIKU));
    let lines = house.lines("scout").await;
    let captured = lines.iter().find(|line| line["outcome"] == "captured").unwrap();
    assert!(captured["model"].to_string().contains(HAIKU), "{captured}");

    // The key stands for the request as it was asked for.
    let again = house.pay("scout", keyed).await;
    assert_eq!((&again["replayed"], told(&again)), (&json!(true), [SONNET, SONNET, "0.00045"]));
    assert_eq!(upstream.requests().len(), 2);
    house.pass(jiff::SignedDuration::from_hours(24));
    assert_eq!(told(&house.pay("scout", call).await), [SONNET, SONNET, "0.00045"], "another day");
}

#[tokio::test]
async fn a_model_that_is_dearer_the_same_unknown_or_anothers_is_never_used_in_place() {
    let upstream = vendor().await;
    let house = house(&upstream, json!({})).await;
    spend(&house, "0.05").await;
    let chat = json!({"model": "gpt-4o", "messages": [], "max_tokens": 100});
    for (to, operation, body, used) in [
        ("claude-opus-4-8", "messages", question(SONNET), SONNET),
        (SONNET, "messages", question(SONNET), SONNET),
        // As dear, and shorter to say: a byte more of a request would be held for.
        (SONNET, "messages", question("claude-sonnet-4-5-20250929"), SONNET),
        ("claude-of-tomorrow", "messages", question(SONNET), SONNET),
        // Cheaper, and no model of whom is asked.
        ("gpt-5-nano", "messages", question(SONNET), SONNET),
        (HAIKU, "chat", chat.clone(), "gpt-4o"),
        ("gpt-4o-mini", "chat", chat, "gpt-4o-mini"),
        // By itself it costs less, and more may come out of it than of the one asked for.
        ("gpt-5-mini", "chat", json!({"model": "gpt-4o-mini", "messages": []}), "gpt-4o-mini"),
    ] {
        say(&house, json!({"downgrade_at": 1, "downgrade_to": to})).await;
        let paid = house.pay("scout", asked(operation, &body)).await;
        assert_eq!(told(&paid)[..2], [body["model"].as_str().unwrap(), used], "{to}: {paid}");
        let body: Value = serde_json::from_str(&sent(&upstream)).unwrap();
        assert_eq!(body["model"], used, "{to}");
    }
}

#[tokio::test]
async fn how_much_may_come_out_is_said_where_it_was_not_and_lowered_where_it_was_more() {
    let upstream = vendor().await;
    let house = house(&upstream, json!({})).await;
    say(&house, json!({"max_output_tokens": 256})).await;
    let claude = |more: Value| (question(SONNET), more, "messages", "max_tokens");
    let chat = json!({"model": "gpt-4o-mini", "messages": []});
    let responses = json!({"model": "gpt-5-mini", "input": "Hi"});
    for ((body, more, operation, field), most) in [
        (claude(json!({"max_tokens": 4000})), 256),
        (claude(json!({"max_tokens": 257})), 256),
        (claude(json!({"max_tokens": 255})), 255),
        (claude(json!({"max_tokens": null})), 256),
        ((chat.clone(), json!({}), "chat", "max_completion_tokens"), 256),
        ((chat.clone(), json!({"max_tokens": 9000}), "chat", "max_tokens"), 256),
        ((chat, json!({"max_completion_tokens": 9}), "chat", "max_completion_tokens"), 9),
        ((responses.clone(), json!({}), "responses", "max_output_tokens"), 256),
        ((responses, json!({"max_output_tokens": 300}), "responses", "max_output_tokens"), 256),
    ] {
        let mut body = body;
        for (field, value) in more.as_object().unwrap() {
            body[field] = value.clone();
            if value.is_null() {
                body.as_object_mut().unwrap().remove(field);
            }
        }
        let paid = house.pay("scout", asked(operation, &body)).await;
        assert_eq!(paid["outcome"], "paid", "{paid}");
        body[field] = json!(most);
        assert_eq!(sent(&upstream), body.to_string());
    }
    let mut thinking = question(SONNET);
    thinking["thinking"] = json!({"type": "enabled", "budget_tokens": 512});
    let refused = house.pay("scout", asked("messages", &thinking)).await;
    assert_eq!(refused["field"], "request.body.thinking.budget_tokens", "{refused}");
    say(&house, json!({"max_output_tokens": null})).await;
    house.pay("scout", asked("messages", &question(SONNET))).await;
    assert_eq!(sent(&upstream), question(SONNET).to_string());
}

#[tokio::test]
async fn a_model_without_a_maximum_of_its_own_is_bounded_by_the_mandate() {
    let upstream = vendor().await;
    let model = r#"{"models": {"acme-1": {"rates": {"standard": {"input": "0.000001",
        "output": "0.000005"}}}}}"#;
    let prices = Shared::new(Prices::parse(model).unwrap());
    let proxy = Proxy::default().metering_by(prices);
    let house = house_with(Arc::new(proxy), &upstream, json!({})).await;
    let body = json!({"model": "acme-1", "messages": []});
    let refused = house.pay("scout", asked("chat", &body)).await;
    assert_eq!(refused["field"], "request.body.max_completion_tokens", "{refused}");
    say(&house, json!({"max_output_tokens": 100})).await;
    let paid = house.pay("scout", asked("chat", &body)).await;
    assert_eq!(paid["charged_usd"], "0.00015", "{paid}");
    assert!(sent(&upstream).contains("\"max_completion_tokens\":100"));
}

#[tokio::test]
async fn a_request_in_doubt_is_no_other_with_another_model() {
    let upstream = Upstream::saying(whole(302, &json!({}))).await;
    let house = house(&upstream, json!({})).await;
    say(&house, json!({"downgrade_at": 50, "downgrade_to": HAIKU})).await;
    let call = asked("messages", &question(SONNET));
    let first = house.pay("scout", call.clone()).await;
    assert_eq!((&first["outcome"], &first["model_used"]), (&json!("in_doubt"), &json!(SONNET)));
    spend(&house, "0.05").await;
    let again = house.pay("scout", call).await;
    assert_eq!(again["code"], "possible_duplicate", "{again}");
    let other = house.pay("scout", asked("messages", &question("claude-opus-4-8"))).await;
    assert_eq!(other["model_used"], HAIKU, "{other}");
}

/// The proxy, that says when it was asked for a bound and gives it when it is told to.
struct Paused {
    proxy: Proxy,
    asked: SyncSender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Rail for Paused {
    fn name(&self) -> RailName {
        self.proxy.name()
    }

    fn dispatch(&self, service: &Service) -> Dispatch {
        self.proxy.dispatch(service)
    }

    fn bound(&self, service: &Service, call: Asking, terms: Terms) -> Result<Bounded, BadField> {
        let bounded = self.proxy.bound(service, call, terms);
        let _ = self.asked.try_send(());
        let _ = self.go_on.lock().unwrap().recv_timeout(Duration::from_secs(9));
        bounded
    }

    fn pay<'a>(&'a self, order: &'a Order, reply: Reply) -> BoxFuture<'a, Verdict> {
        self.proxy.pay(order, reply)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mandate_that_changes_after_a_call_was_read_is_kept_to() {
    for (change, kept) in [
        (json!({"max_output_tokens": 10}), true),
        (json!({"downgrade_at": 90, "downgrade_to": HAIKU}), true),
        (json!({"per_call_limit_usd": "0.09"}), false),
    ] {
        let upstream = vendor().await;
        let ((asked_for, bounds), (go, go_on)) = (sync_channel(9), sync_channel(9));
        let paused = Paused { proxy: Proxy::default(), asked: asked_for, go_on: Mutex::new(go_on) };
        let house = Arc::new(house_with(Arc::new(paused), &upstream, json!({})).await);
        let paying = tokio::spawn({
            let house = Arc::clone(&house);
            async move { house.pay("scout", asked("messages", &question(SONNET))).await }
        });
        tokio::task::spawn_blocking(move || bounds.recv().unwrap()).await.unwrap();
        say(&house, change.clone()).await;
        go.send(()).unwrap();
        let told = paying.await.unwrap();
        assert_eq!(upstream.requests().is_empty(), kept, "{change}: {told}");
        if kept {
            let message = told["message"].as_str().unwrap();
            assert!(message.contains("was changed while you called"), "{told}");
            assert_eq!(told["advice"], "wait");
        }
    }
}
