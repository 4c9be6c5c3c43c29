//! Calls of language models: what is held, what is sent and what is charged, to the nano-dollar.

use std::{sync::Arc, time::Duration};

use pettycash::{
    policy::{
        endpoint::{ApiRequest, Body},
        mandate::Service,
        names::PaymentId,
    },
    rails::{Order, Rail, Rails, Reply, Terms, Verdict, proxy::Proxy},
};
use serde_json::{Value, json};

use super::upstream::{Peer, Upstream};
use crate::support::{
    canary::{KEY, keep},
    house::House,
};

/// A house whose service `models` is at this upstream, with more said of it.
pub(super) async fn house(upstream: &Upstream, more: Value) -> House {
    house_with(Arc::new(Proxy::default()), upstream, more).await
}

/// The same by this rail.
pub(super) async fn house_with(rail: Arc<dyn Rail>, upstream: &Upstream, more: Value) -> House {
    let house = House::with(Rails::default().with(rail)).await;
    house
        .agent(json!({"handle": "scout", "funding": "allowance",
        "caps": [{"period": "day", "cap_usd": "0.10"}]}))
        .await;
    let key = house.dir.path().join("models.key");
    keep(&format!("{KEY}\n"), &key);
    let mut service = json!({
        "id": "models", "payee": "Acme", "rail": "proxy",
        "base_url": format!("http://{}", upstream.address),
        "secret": {"file": key}, "headers": {"x-api-key": "{secret}"}, "timeout": "2s",
        "operations": [
            {"name": "messages", "method": "POST", "path": "/v1/messages",
                "metered": "anthropic_messages"},
            {"name": "sure", "method": "POST", "path": "/v2/messages",
                "metered": "anthropic_messages", "strict": true},
            {"name": "chat", "method": "POST", "path": "/v1/chat/completions",
                "metered": "openai_chat"},
            {"name": "responses", "method": "POST", "path": "/v1/responses",
                "metered": "openai_responses"},
        ],
    });
    service.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    house.service(service).await;
    house
}

pub(super) fn asked(operation: &str, body: &Value) -> Value {
    json!({"service_id": "models", "request": {"operation": operation, "body": body}})
}

/// A question to Claude.
pub(super) fn question(model: &str) -> Value {
    json!({"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": "Hi"}]})
}

pub(super) fn whole(status: u16, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n\
         {body}"
    )
}

/// An answer that is a stream of these events, up to where the connection ends.
pub(super) fn stream(events: &[Value]) -> String {
    let events: Vec<String> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    format!("HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n{}", events.concat())
}

/// The body of the newest request.
pub(super) fn sent(upstream: &Upstream) -> String {
    upstream.requests().last().unwrap().split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// What Claude says it used: 300, 562.5, 300, 300 and 300 micro-dollars of Sonnet 4.5's.
fn used() -> Value {
    json!({"input_tokens": 100, "cache_creation_input_tokens": 200,
        "cache_creation": {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50},
        "cache_read_input_tokens": 1000, "output_tokens": 20})
}

pub(super) async fn held(house: &House) -> String {
    let balance = house.call("get_balance", "scout", json!({})).await;
    balance["held_usd"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_answer_of_claude_is_charged_by_what_it_used_and_the_rest_is_released() {
    let upstream = Upstream::start(|mut peer: Peer| async move {
        peer.request().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let answer = json!({"type": "message", "model": "claude-sonnet-4-5", "usage": used()});
        peer.write(whole(200, &answer).as_bytes()).await;
    });
    let upstream = upstream.await;
    let house = Arc::new(house(&upstream, json!({})).await);
    let call = asked("messages", &question("claude-sonnet-4-5"));
    let dry = json!({"service_id": "models", "dry_run": true, "request": call["request"]});
    let dry = house.pay("scout", dry).await;
    assert_eq!(dry["model_used"], "claude-sonnet-4-5", "{dry}");
    let paying = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.pay("scout", call).await }
    });
    while upstream.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Three bytes a token at 3 dollars a million, and 1,000 tokens at 15.
    let tokens = sent(&upstream).len().div_ceil(3);
    let expected = format!("0.{:09}", tokens * 3_000 + 15_000_000);
    assert_eq!(held(&house).await, expected.trim_end_matches('0'));
    assert_eq!(dry["price_usd"], expected.trim_end_matches('0'));
    let paid = paying.await.unwrap();
    assert_eq!((&paid["outcome"], &paid["charged_usd"]), (&json!("paid"), &json!("0.0017625")));
    assert_eq!(paid["available_usd"], "0.0982375");
    let model = json!("claude-sonnet-4-5");
    assert_eq!((&paid["model_requested"], &paid["model_used"]), (&model, &model));
    assert_eq!(held(&house).await, "0.00");
    let fetched = house.pay("scout", json!({"payment_id": paid["payment_id"]})).await;
    assert_eq!((&fetched["model_used"], &fetched["charged_usd"]), (&model, &paid["charged_usd"]));
    let lines = house.lines("scout").await;
    let captured = lines.iter().find(|line| line["outcome"] == "captured").unwrap();
    assert_eq!((&captured["model"], captured.get("detail")), (&model, None));
}

#[tokio::test]
async fn a_stream_of_claude_is_charged_by_its_last_word() {
    let upstream = Upstream::saying(stream(&[
        json!({"type": "message_start", "message": {"model": "claude-sonnet-4-5",
            "usage": {"input_tokens": 100, "cache_creation_input_tokens": 200,
            "cache_creation": {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50},
            "cache_read_input_tokens": 1000, "output_tokens": 1}}}),
        json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 20}}),
        json!({"type": "message_stop"}),
    ]))
    .await;
    let house = house(&upstream, json!({})).await;
    let mut body = question("claude-sonnet-4-5");
    body["stream"] = json!(true);
    let call = json!({"service_id": "models", "idempotency_key": "k",
        "request": {"operation": "messages", "body": body}});
    let paid = house.pay("scout", call.clone()).await;
    assert_eq!((&paid["outcome"], &paid["charged_usd"]), (&json!("paid"), &json!("0.0017625")));
    assert_eq!(sent(&upstream), body.to_string(), "nothing is changed about it");
    let again = house.pay("scout", call).await;
    assert_eq!((&again["replayed"], &again["model_used"]), (&json!(true), &paid["model_used"]));
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_of_openai_tells_its_usage_to_us_alone_unless_it_was_asked_for() {
    let upstream = Upstream::saying(stream(&[
        json!({"choices": [{"delta": {"content": "Hi"}}], "usage": null}),
        json!({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": null}),
        json!({"choices": [], "model": "gpt-4o-mini", "usage": {"prompt_tokens": 1000,
            "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 400}}}),
    ]))
    .await;
    let house = house(&upstream, json!({})).await;
    let plain = json!({"model": "gpt-4o-mini", "messages": [], "max_tokens": 100, "stream": true});
    let paid = house.pay("scout", asked("chat", &plain)).await;
    assert_eq!(paid["charged_usd"], "0.00015", "90, 30 and 30 micro-dollars: {paid}");
    let plain = plain.to_string();
    let start = plain.strip_suffix('}').unwrap();
    let expected = format!("{start},\"stream_options\":{{\"include_usage\":true}}}}");
    assert_eq!(sent(&upstream), expected);
    let told = paid["response"]["body"].as_str().unwrap();
    assert!(told.contains("\"stop\"") && !told.contains("prompt_tokens"), "{told}");

    let asking: Value = serde_json::from_str(&expected).unwrap();
    let paid = house.pay("scout", asked("chat", &asking)).await;
    assert_eq!((&paid["charged_usd"], sent(&upstream)), (&json!("0.00015"), expected));
    assert!(paid["response"]["body"].as_str().unwrap().contains("prompt_tokens"), "{paid}");
}

#[tokio::test]
async fn a_stream_of_responses_is_charged_by_its_last_event() {
    let upstream = Upstream::saying(stream(&[
        json!({"type": "response.output_text.delta", "delta": "Hi"}),
        json!({"type": "response.completed", "response": {"model": "gpt-5-mini", "output": [],
            "usage": {"input_tokens": 2000, "input_tokens_details": {"cached_tokens": 500},
            "output_tokens": 100}}}),
    ]))
    .await;
    let house = house(&upstream, json!({})).await;
    let body = json!({"model": "gpt-5-mini", "input": "Hi", "max_output_tokens": 200,
        "stream": true});
    let paid = house.pay("scout", asked("responses", &body)).await;
    assert_eq!(paid["charged_usd"], "0.0005875", "375, 12.5 and 200 micro-dollars: {paid}");
    assert_eq!(sent(&upstream), body.to_string());
}

#[tokio::test]
async fn more_than_was_held_is_charged_and_told_and_leaves_nothing() {
    let answer = json!({"model": "claude-sonnet-4-5",
        "usage": {"input_tokens": 100, "output_tokens": 8000}});
    let upstream = Upstream::saying(whole(200, &answer)).await;
    let house = house(&upstream, json!({})).await;
    let call = asked("messages", &question("claude-sonnet-4-5"));
    let paid = house.pay("scout", call.clone()).await;
    assert_eq!((&paid["charged_usd"], &paid["available_usd"]), (&json!("0.1203"), &json!("0.00")));
    let denied = house.pay("scout", call).await;
    assert_eq!(denied["code"], "cap_exceeded", "{denied}");
    assert_eq!(upstream.requests().len(), 1);
    let lines = house.lines("scout").await;
    let captured = lines.iter().find(|line| line["outcome"] == "captured").unwrap();
    assert!(captured["detail"].as_str().unwrap().contains("more than was held"), "{captured}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_in_doubt_unless_more_is_known_than_is_held() {
    let start = |input: u32| {
        json!({"type": "message_start", "message": {"model": "claude-sonnet-4-5",
            "usage": {"input_tokens": input, "output_tokens": 1}}})
    };
    let capture = json!({"on_unknown": "capture"});
    let cut = |answer: String| answer.replace("\r\n\r\n", "\r\ncontent-length: 9999\r\n\r\n");
    for (answer, more, outcome, charged) in [
        (stream(&[start(100)]), json!({}), "in_doubt", None),
        (cut(stream(&[start(100)])), json!({}), "in_doubt", None),
        (cut(stream(&[start(100)])), capture.clone(), "paid", Some("the hold")),
        // 10,000 tokens at 3 dollars a million, and one at 15; and what may have come out.
        (cut(stream(&[start(10_000)])), json!({}), "paid", Some("0.030015 and the hold")),
        (cut(stream(&[start(10_000)])), capture, "paid", Some("0.030015 and the hold")),
    ] {
        let upstream = Upstream::saying(answer.clone()).await;
        let house = house(&upstream, more.clone()).await;
        let mut body = question("claude-sonnet-4-5");
        body["stream"] = json!(true);
        let told = house.pay("scout", asked("messages", &body)).await;
        assert_eq!(told["outcome"], outcome, "{answer} {more}: {told}");
        let nanos = sent(&upstream).len().div_ceil(3) * 3_000 + 15_000_000;
        let decimal = |nanos: usize| format!("0.{nanos:09}").trim_end_matches('0').to_owned();
        let (hold, more) = (decimal(nanos), decimal(nanos + 30_015_000));
        let charged =
            charged.map(|charged| if charged == "the hold" { hold.as_str() } else { &more });
        assert_eq!(told.get("charged_usd").and_then(Value::as_str), charged, "{answer} {more}");
        let still = if charged.is_some() { "0.00" } else { hold.as_str() };
        assert_eq!(held(&house).await, still, "{answer} {more}");
        assert_eq!(told["model_used"], "claude-sonnet-4-5");
        let lines = house.lines("scout").await;
        let ended = lines.iter().find(|line| line["outcome"] == "captured");
        let flagged = ended.map(|line| line["detail"].as_str().unwrap().contains("not all"));
        assert_eq!(flagged, charged.map(|_| true), "{lines:?}");
    }
}

#[tokio::test]
async fn what_a_vendor_could_not_do_is_free() {
    for status in [400, 429, 500, 529] {
        let refused = json!({"type": "error", "error": {"type": "overloaded_error"}});
        let upstream = Upstream::saying(whole(status, &refused)).await;
        let house = house(&upstream, json!({})).await;
        let told = house.pay("scout", asked("messages", &question("claude-sonnet-4-5"))).await;
        assert_eq!(
            (&told["outcome"], &told["response"]["status"]),
            (&json!("failed"), &json!(status))
        );
        assert_eq!(held(&house).await, "0.00");
    }
}

#[tokio::test]
async fn what_has_no_price_or_no_sure_bound_is_refused_and_says_what_would_do() {
    let upstream = Upstream::saying(whole(200, &json!({}))).await;
    let house = house(&upstream, json!({})).await;
    let mut image = question("claude-sonnet-4-5");
    image["messages"][0]["content"] =
        json!([{"type": "image", "source": {"type": "url", "url": "https://x.example"}}]);
    let mut zero = question("claude-sonnet-4-5");
    zero["max_tokens"] = json!(0);
    for (operation, body, field, says) in [
        ("sure", &image, "request.body", "no sure bound"),
        (
            "messages",
            &question("claude-of-tomorrow"),
            "request.body.model",
            "an operator adds a price with `pettycash prices update FILE`",
        ),
        ("messages", &question("claude-sonnet-4.5"), "request.body.model", "`claude-sonnet-4-5`"),
        ("messages", &zero, "request.body.max_tokens", "above zero"),
        ("messages", &json!("Hi"), "request.body", "one JSON object"),
        (
            "responses",
            &json!({"model": "gpt-5-mini", "input": "", "background": true}),
            "request.body.background",
            "false, for",
        ),
    ] {
        let told = house.pay("scout", asked(operation, body)).await;
        let message = told["message"].as_str().unwrap();
        assert!(message.contains(&format!("`{field}`")) && message.contains(says), "{told}");
    }
    assert_eq!(upstream.accepted(), 0);
}

/// A service whose model is at this address.
fn catalogued(address: std::net::SocketAddr) -> Service {
    let endpoint = json!({
        "base_url": format!("http://{address}"),
        "operations": [{"name": "messages", "method": "POST", "path": "/v1/messages",
            "metered": "anthropic_messages"}],
        "charge_on": ["2xx"], "free_on": ["4xx"], "on_unknown": "hold", "timeout_s": 2,
        "max_response_bytes": 65_536,
    });
    let service = json!({"id": "models", "payee": "Acme", "rail": "proxy", "endpoint": endpoint});
    serde_json::from_value(service).unwrap()
}

#[tokio::test]
async fn what_the_mandate_says_of_a_call_is_what_is_sent_held_and_charged() {
    let answer = json!({"model": "claude-haiku-4-5",
        "usage": {"input_tokens": 100, "output_tokens": 10}});
    let upstream = Upstream::saying(whole(200, &answer)).await;
    let (service, proxy) = (catalogued(upstream.address), Proxy::default());
    let endpoint = service.endpoint.as_deref().unwrap();
    let body =
        "{ \"model\" : \"claude-sonnet-4-5\",\n\"messages\":[ ],\"max_tokens\":4000,\"top_p\":1.0}";
    let request = ApiRequest {
        operation: Some("messages".to_owned()),
        body: Some(Body { bytes: body.into(), json: true }),
        ..ApiRequest::default()
    };
    let asking = endpoint.ask(&request).unwrap();
    let terms = Terms { max_output_tokens: Some(256), model: Some("claude-haiku-4-5") };
    let bounded = proxy.bound(&service, asking.clone(), terms).unwrap();
    let changed = body.replace("4000", "256").replace("sonnet", "haiku");
    assert_eq!(bounded.asking.body, changed.as_bytes());
    let models = bounded.model.unwrap();
    assert_eq!(models.requested().as_str(), "claude-sonnet-4-5");
    assert_eq!(models.used.as_str(), "claude-haiku-4-5");
    // Three bytes a token at 1 dollar a million, and 256 tokens at 5.
    let amount = bounded.amount.unwrap();
    assert_eq!(
        amount.nanos(),
        i64::try_from(changed.len().div_ceil(3)).unwrap() * 1_000 + 1_280_000
    );
    let order = Order {
        payment: PaymentId::new(1, 0),
        agent: "scout".parse().unwrap(),
        service: service.clone(),
        amount,
        request: Some(Arc::new(bounded.asking)),
        metering: bounded.metering,
    };
    let (reply, mut reading) = Reply::channel();
    let reading = tokio::spawn(async move { while reading.next().await.is_some() {} });
    let verdict = proxy.pay(&order, reply).await;
    assert_eq!(verdict, Verdict::Captured("0.00015".parse().unwrap()), "100 × 1 and 10 × 5");
    reading.await.unwrap();
    assert_eq!(sent(&upstream), changed);

    let plain = proxy.bound(&service, asking.clone(), Terms::default()).unwrap();
    assert_eq!((&plain.asking, plain.model.unwrap().asked), (&asking, None));
    let unknown = Terms { model: Some("claude-of-tomorrow"), ..Terms::default() };
    let why = proxy.bound(&service, asking, unknown).unwrap_err();
    assert_eq!(why.field, "request.body.model");
}

#[test]
fn a_host_of_openai_in_a_region_is_priced_as_that_region() {
    let mut service = json!({"id": "models", "payee": "OpenAI", "rail": "proxy", "endpoint": {
        "base_url": "https://eu.api.openai.com",
        "operations": [{"name": "chat", "method": "POST", "path": "/v1/chat/completions",
            "metered": "openai_chat"}],
        "charge_on": ["2xx"], "free_on": ["4xx"], "on_unknown": "hold", "timeout_s": 2,
        "max_response_bytes": 65_536,
    }});
    let held = |service: &Value| {
        let service: Service = serde_json::from_value(service.clone()).unwrap();
        let body = json!({"model": "gpt-5.4", "messages": [], "max_tokens": 100});
        let request = ApiRequest {
            operation: Some("chat".to_owned()),
            body: Some(Body { bytes: body.to_string().into(), json: true }),
            ..ApiRequest::default()
        };
        let asking = service.endpoint.as_deref().unwrap().ask(&request).unwrap();
        let bounded = Proxy::default().bound(&service, asking, Terms::default()).unwrap();
        let answer = json!({"choices": [], "usage": {"prompt_tokens": 10,
            "completion_tokens": 100}});
        let metering = bounded.metering.unwrap();
        let mut count = metering.count(None);
        count.take(answer.to_string().into());
        (bounded.amount.unwrap().nanos(), count.finish().amount.nanos())
    };
    let (there, charged_there) = held(&service);
    service["endpoint"]["base_url"] = json!("https://api.openai.com");
    let (anywhere, charged) = held(&service);
    assert_eq!((there * 10, charged_there * 10), (anywhere * 11, charged * 11), "a tenth dearer");
}
