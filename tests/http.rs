//! MCP and the operators' API over TCP: who gets in, and what nobody gets.

#[path = "http/crowd.rs"]
mod crowd;
#[path = "http/gateway.rs"]
mod gateway;
#[path = "http/identity.rs"]
mod identity;
#[path = "http/leaving.rs"]
mod leaving;
#[path = "http/load.rs"]
mod load;
#[path = "http/matrix.rs"]
mod matrix;
#[path = "http/messages.rs"]
mod messages;
#[path = "http/operator.rs"]
mod operator;
#[path = "http/straight.rs"]
mod straight;
#[cfg(target_os = "linux")]
#[path = "http/stranger.rs"]
mod stranger;
#[path = "http/streams.rs"]
mod streams;
#[path = "http/trying.rs"]
mod trying;
#[path = "http/via.rs"]
mod via;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
};

use percent_encoding::percent_encode_byte;
use pettycash::clock::instant;
use serde_json::json;

use crate::support::{
    mcp_house::House,
    mcp_raw::modern_meta,
    web::{Web, call, message_headers},
};

#[test]
fn a_session_pays_and_a_request_without_one_does_too() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let mut wire = web.connect();
    let session = wire.initialize(&token);
    let paid = wire.call(&token, &session, "pay_for_api_call", json!({"service_id": "search"}));
    assert_eq!(paid.answer()["outcome"], "paid");
    let mut request: serde_json::Value =
        serde_json::from_str(&call(7, "pay_for_api_call", json!({"service_id": "search"})))
            .unwrap();
    request["params"]["_meta"] = modern_meta();
    let mut headers = message_headers(&token);
    for header in ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call"] {
        headers.push(header.to_owned());
    }
    headers.push("Mcp-Name: pay_for_api_call".to_owned());
    let reply = wire.ask("POST /mcp", &headers, request.to_string().as_bytes());
    assert_eq!(reply.headers["content-type"], "application/json", "{reply:?}");
    assert_eq!(reply.answer()["available_usd"], "4.96");
    let ended = wire.ask(
        "DELETE /mcp",
        &[message_headers(&token), vec![format!("Mcp-Session-Id: {session}")]].concat(),
        b"",
    );
    assert_eq!(ended.status, 204);
    let after = wire.call(&token, &session, "get_balance", json!({}));
    assert_eq!(after.status, 404, "{after:?}");
}

#[test]
fn an_operator_acts_over_http_with_the_same_answers() {
    let web = Web::furnished();
    let mut wire = web.connect();
    let headers = [
        format!("Authorization: Bearer {}", web.operator_token()),
        "Content-Type: application/json".to_owned(),
    ];
    let agents = wire.ask("GET /v1/agents", &headers, b"");
    assert_eq!((agents.status, &agents.json()["agents"][0]["handle"]), (200, &json!("scout")));
    let freeze = wire.ask("POST /v1/agents/scout/freeze", &headers, br#"{"reason":"odd-bills"}"#);
    assert_eq!(freeze.status, 200, "{freeze:?}");
    assert_eq!(web.house.operator_json("agent show scout")["standing"], "frozen");
    let nobody = wire.ask("GET /v1/agents/nobody", &headers, b"");
    assert_eq!(nobody.headers["content-type"], "application/problem+json");
    assert_eq!((nobody.status, &nobody.json()["code"]), (404, &json!("agent_unknown")));
}

#[test]
fn no_token_is_taken_from_an_address_nor_is_any_in_the_log() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let mut wire = web.connect();
    let encoded: String = token.bytes().map(percent_encode_byte).collect();
    for target in [
        format!("/mcp?token={token}"),
        "/mcp?access_token=x".to_owned(),
        format!("/mcp?x={token}"),
        format!("/mcp?x={encoded}"),
        format!("/mcp/{token}"),
        format!("/{encoded}"),
    ] {
        let reply = wire.ask(&format!("GET {target}"), &message_headers(&token), b"");
        assert_eq!(reply.status, 400, "{target}");
        assert_eq!(reply.json()["code"], "token_in_url", "{target}");
        assert!(![&token, &encoded].into_iter().any(|secret| reply.body.contains(secret)));
    }
    let session = wire.initialize(&token);
    wire.call(&token, &session, "get_balance", json!({})).answer();
    let mut stream = web.connect();
    let path = stream.open_sse(&token);
    let posted = wire.ask(&format!("POST {path}"), &message_headers(&token), b"{");
    assert_eq!(posted.status, 400);
    let log = web.log();
    assert!(log.contains("a message was refused"), "{log}");
    let legacy = path.split_once('=').unwrap().1;
    for secret in [token.as_str(), &encoded, &session, legacy] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn requests_that_are_too_big_or_too_many_fields_are_refused() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let mut headers = message_headers(&token);
    headers.push(format!("X-Long: {}", "x".repeat(20_000)));
    assert_eq!(web.connect().ask("GET /healthz", &headers, b"").status, 431);
    let many: Vec<_> = (0..80).map(|number| format!("X-{number}: 1")).collect();
    assert_eq!(web.connect().ask("GET /healthz", &many, b"").status, 431);
}

#[test]
fn a_header_that_never_ends_and_a_body_that_never_comes_are_waited_for_ten_seconds() {
    let web = Web::furnished();
    let began = instant();
    let (mut header, mut body, mut silent) = (web.connect(), web.connect(), web.connect());
    header.send(b"GET /healthz HTTP/1.1\r\nHost: 127");
    let headers = message_headers(&web.token("scout", 0)).join("\r\n");
    let host = web.host();
    let request =
        format!("POST /mcp HTTP/1.1\r\nHost: {host}\r\n{headers}\r\nContent-Length: 9\r\n\r\n{{");
    body.send(request.as_bytes());
    assert_eq!(silent.ask("GET /healthz", &[], b"").status, 200);
    let refused = body.reply();
    assert_eq!((refused.status, &refused.json()["code"]), (408, &json!("body_too_slow")));
    assert!(header.ends() && silent.ends());
    let waited = began.elapsed();
    assert!((9..16).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn where_it_may_not_listen_it_says_so() {
    let house = House::new();
    let refused = |words: &str| {
        let output = house.command(words).stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success(), "{words}");
        String::from_utf8(output.stderr).unwrap()
    };
    let open = refused("serve --listen 0.0.0.0:0");
    assert!(open.contains("--allow-remote NAME"), "{open}");
    let wrong = refused("serve --listen 0.0.0.0:0 --allow-remote https://pay.example.com/x");
    assert!(wrong.contains("pay.example.com"), "{wrong}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let busy = refused(&format!("serve --listen {address}"));
    assert!(busy.contains(&format!("could not listen on {address}")), "{busy}");
    assert!(busy.contains("name another port"), "{busy}");
    let detached = refused("serve --detached --listen");
    assert!(detached.contains("cannot be used with"), "{detached}");
}

#[test]
fn behind_a_proxy_its_name_is_ours() {
    let words = "serve --listen 127.0.0.1:0 --allow-remote Pay.example.com";
    let web = Web::open_as(House::furnished(), &[("scout", 1)], words);
    let token = web.token("scout", 0);
    let status = |host: &str, origin: &str| {
        let mut stream = TcpStream::connect(web.address).unwrap();
        let request = format!(
            "GET /nope HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text[9..12].parse::<u16>().unwrap()
    };
    assert_eq!(status("pay.example.com", "https://pay.example.com"), 404);
    assert_eq!(status("pay.example.com:443", "http://localhost:5173"), 404);
    assert_eq!(status("pay.example.com:7402", "https://pay.example.com"), 403);
    assert_eq!(status("pay.example.com", "http://pay.example.com"), 403);
    assert_eq!(status("pay.example.com", "https://pay.example.com.evil.test"), 403);
    assert_eq!(status("evil.test", "https://pay.example.com"), 403);
}
