//! What is told to who is not passed on, and in whose words.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Gate, answer, answering};
use crate::{rails::proxy::upstream::Upstream, support::web::Reply};

/// The parts of a problem that every one has, and that they say the same.
pub(super) fn problem(reply: &Reply) -> Value {
    assert_eq!(reply.headers["content-type"], "application/problem+json", "{reply:?}");
    let told = reply.json();
    assert_eq!(told["status"], reply.status, "{told}");
    assert_eq!((&told["detail"], &told["error"]["message"]), (&told["message"], &told["message"]));
    assert!(told["title"].is_string() && told["code"].is_string(), "{told}");
    told
}

#[test]
fn a_cap_is_told_as_402_with_the_numbers_and_in_the_vendors_words() {
    let gate = Gate::open(answering(&answer(200, "text/plain", "ok")), "0.03/day", "");
    assert_eq!(gate.post(&[], "{}").status, 200);
    let over = gate.post(&[], "{}");
    let told = problem(&over);
    assert_eq!(over.status, 402);
    assert_eq!((&told["type"], &told["error"]["type"]), (&json!("error"), &json!("billing_error")));
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("$0.03") && message.ends_with("Nothing was charged."), "{message}");
    let breach = json!({"code": "cap_exceeded", "scope": "agent", "period": "day",
        "cap_usd": "0.03", "used_usd": "0.02", "held_usd": "0.00", "asked_usd": "0.02"});
    assert_eq!(told["breached"], json!([breach]));
    assert_eq!((&told["outcome"], &told["code"]), (&json!("denied"), &json!("cap_exceeded")));
    assert_eq!(over.headers["x-should-retry"], "false");
    assert_eq!(over.headers.get("retry-after"), None);
    assert_eq!(over.headers["pettycash-payment"], told["payment_id"].as_str().unwrap());
    let other = gate.ask("GET /gateway/acme/v1/find/tea");
    let told = problem(&other);
    assert_eq!((other.status, &told["type"]), (402, &json!("about:blank")));
    let error = json!({"message": told["message"], "type": "insufficient_quota",
        "code": "cap_exceeded", "param": null});
    assert_eq!(told["error"], error);
    assert_eq!(gate.upstream.requests().len(), 1);
}

#[test]
fn a_pace_is_told_as_429_and_until_when() {
    let gate = Gate::open(answering(&answer(200, "text/plain", "ok")), "5.00/day", "");
    gate.web.house.operator("mandate set scout --rate 1/min");
    assert_eq!(gate.post(&[], "{}").status, 200);
    let soon = gate.post(&[], "{}");
    let told = problem(&soon);
    assert_eq!((soon.status, &told["code"]), (429, &json!("rate_limited")), "{told}");
    let wait: u64 = soon.headers["retry-after"].parse().unwrap();
    assert!((1..=65).contains(&wait), "{wait}");
    assert_eq!(told["error"]["type"], "rate_limit_error");
    assert_eq!(soon.headers.contains_key("x-should-retry"), wait > 60);
}

#[test]
fn who_is_not_known_is_told_so() {
    let gate = Gate::saying(&answer(200, "text/plain", "ok"));
    let mine = format!("x-api-key: {}", gate.token);
    let operator = format!("Authorization: Bearer {}", gate.web.operator_token());
    for headers in [
        vec![],
        vec!["x-api-key: sk-ant-123".to_owned()],
        vec!["Authorization: Basic abc".to_owned()],
        vec![operator],
        vec![mine.clone(), "Authorization: Bearer sk-other".to_owned()],
        vec![mine.clone(), "x-api-key: sk-other".to_owned()],
        vec![mine, "api-key: ".to_owned()],
    ] {
        let reply = gate.web.connect().ask("POST /gateway/acme/v1/messages", &headers, b"{}");
        let told = problem(&reply);
        assert_eq!((reply.status, &told["type"]), (401, &json!("error")), "{headers:?}");
        assert_eq!(told["error"]["type"], "authentication_error");
        assert_eq!(reply.headers["x-should-retry"], "false");
        assert_eq!(reply.headers["www-authenticate"], "Bearer");
        assert!(!reply.body.contains(&gate.token) && !reply.body.contains("sk-"), "{reply:?}");
    }
    let query = format!("GET /gateway/acme/v1/find/tea?key={}", gate.token);
    assert_eq!(gate.ask(&query).status, 400, "not even one's own");
    let foreign = [format!("x-api-key: {}", gate.token), "Origin: http://evil.test".to_owned()];
    let reply = gate.web.connect().ask("GET /gateway/acme/v1/find/tea", &foreign, b"");
    assert_eq!(reply.status, 403);
    assert_eq!(gate.upstream.accepted(), 0);
    assert!(gate.outcomes().is_empty());
}

#[test]
fn what_there_is_not_is_told_as_404_and_stops_nothing_else() {
    let gate = Gate::saying(&answer(200, "text/plain", "ok"));
    gate.web.house.operator("service add plain --payee Acme --price 0.02");
    for _ in 0..5 {
        let probed = gate.ask("GET /gateway/acme/v1/models?limit=1000");
        let told = problem(&probed);
        assert_eq!(probed.status, 404, "{told}");
        assert_eq!(probed.headers["x-should-retry"], "false");
    }
    let first = problem(&gate.ask("GET /gateway/acme/v2"));
    let message = first["message"].as_str().unwrap();
    assert!(message.contains("POST /v1/messages, GET /v1/find/{place}"), "{message}");
    let mut wire = gate.web.connect();
    let (host, headers) = (gate.web.host(), gate.headers(&[]).join("\r\n"));
    wire.send(
        format!("HEAD /gateway/acme HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n\r\n").as_bytes(),
    );
    assert_eq!(wire.head().status, 404);
    assert_eq!(gate.ask("OPTIONS /gateway/acme/v1/messages").status, 404);
    for service in ["nobody", "plain", "Not%20One", ""] {
        let reply = gate.ask(&format!("GET /gateway/{service}/v1/x"));
        assert_eq!(reply.status, 404, "{service}: {reply:?}");
    }
    assert_eq!(gate.post(&[], "{}").status, 200, "a good call is not held up by it");
    let odd = gate.web.connect().ask(
        "GET /gateway/acme/v1/find/tea",
        &gate.headers(&["Content-Type: text/plain"]),
        b"a body",
    );
    assert_eq!((odd.status, &problem(&odd)["field"]), (400, &json!("request.body")), "{odd:?}");
}

#[test]
fn an_api_that_is_not_there_or_says_nothing_is_told_apart() {
    let silent = Gate::open(Upstream::saying(""), "5.00/day", "");
    let doubt = silent.post(&[], "{}");
    let told = problem(&doubt);
    assert_eq!((doubt.status, &told["code"]), (502, &json!("payment_in_doubt")), "{told}");
    assert_eq!(doubt.headers["x-should-retry"], "false");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("until an operator has looked"), "no tool is spoken of: {message}");
    let unsure =
        answer(500, "text/plain", "oops").replace(" X\r\n", " X\r\nx-should-retry: true\r\n");
    let unsure = Gate::saying(&unsure).post(&[], "{}");
    assert_eq!((unsure.status, &*unsure.body), (500, "oops"));
    assert_eq!(unsure.headers["x-should-retry"], "false", "it is in doubt");
    let capture = Gate::open(Upstream::saying(""), "5.00/day", "on_unknown = \"capture\"");
    let taken = capture.post(&[], "{}");
    let told = problem(&taken);
    assert_eq!((taken.status, &told["code"]), (502, &json!("no_answer")), "{told}");
    assert!(told["message"].as_str().unwrap().contains("$0.02"), "{told}");
    assert_eq!(taken.headers["x-should-retry"], "false");
    let Gate { web, upstream, token, runtime } = silent;
    drop(upstream);
    // With it the port is closed for sure.
    drop(runtime);
    let absent = {
        let headers = [format!("x-api-key: {token}")];
        web.connect().ask("GET /gateway/acme/v1/find/tea", &headers, b"")
    };
    let told = problem(&absent);
    assert_eq!((absent.status, &told["code"]), (503, &json!("payment_failed")), "{told}");
    assert_eq!(absent.headers["retry-after"], "5");
    assert_eq!(absent.headers.get("x-should-retry"), None, "nothing was sent: it may be");
}

/// The words between such marks that are like a code, as `no_room` is.
fn codes(text: &str, mark: char) -> BTreeSet<String> {
    let code = |word: &&str| {
        let plain = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        plain && word.contains('_') && !word.starts_with('_')
    };
    text.split(mark).filter(code).map(str::to_owned).collect()
}

#[test]
fn the_codes_of_the_gateway_are_those_that_the_readme_lists() {
    let readme = include_str!("../../../README.md");
    let listed = readme.lines().find(|line| line.starts_with("- **Codes of its own**")).unwrap();
    let sources = [
        include_str!("../../../src/http/gateway.rs"),
        include_str!("../../../src/http/gateway/body.rs"),
        include_str!("../../../src/http/gateway/refusal.rs"),
    ];
    let mut told = codes(&sources.join("\n"), '"');
    // What the libraries of vendors have for it is no code of ours.
    told.retain(|word| !word.ends_with("_error"));
    for word in ["insufficient_quota", "request_too_large"] {
        assert!(told.remove(word), "{word}");
    }
    // It is told in the same words everywhere.
    told.insert("body_too_slow".to_owned());
    assert_eq!(codes(listed, '`'), told);
}
