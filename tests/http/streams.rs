//! Streams: they end with their token, with their client and with the process, and no agent has so
//! many that others find no room.

use std::{thread, time::Duration};

use pettycash::clock::instant;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{
    mcp_house::House,
    web::{Reply, Web, Wire, call, initialize, message_headers},
};

/// Asks for a stream, of a session on `/mcp` or the older one, and gives the head of the answer.
fn ask_for_stream(web: &Web, token: &str, session: Option<&str>) -> (Wire, Reply) {
    let mut wire = web.connect();
    let mut headers = message_headers(token);
    headers.extend(session.map(|session| format!("Mcp-Session-Id: {session}")));
    let path = if session.is_some() { "/mcp" } else { "/sse" };
    let (host, headers) = (web.host(), headers.join("\r\n"));
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n\r\n").as_bytes());
    let head = wire.head();
    (wire, head)
}

/// Opens the stream of a session on `/mcp`.
fn listen(web: &Web, token: &str, session: &str) -> Wire {
    let (wire, head) = ask_for_stream(web, token, Some(session));
    assert_eq!((head.status, &*head.headers["content-type"]), (200, "text/event-stream"));
    wire
}

#[test]
fn an_asked_end_ends_every_stream_and_the_process() {
    let mut web = Web::furnished();
    let token = web.token("scout", 0);
    let session = web.connect().initialize(&token);
    let mut silent = listen(&web, &token, &session);
    let mut legacy = web.connect();
    legacy.open_sse(&token);
    let began = instant();
    let pid = Pid::from_raw(i32::try_from(web.serve().id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(silent.piece(), None);
    assert_eq!(legacy.piece(), None);
    assert!(web.serve().wait().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_revoked_agent_has_no_stream_no_session_and_no_token_any_more() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let mut wire = web.connect();
    let session = wire.initialize(&token);
    let mut silent = listen(&web, &token, &session);
    let mut legacy = web.connect();
    let path = format!("POST {}", legacy.open_sse(&token));
    let began = instant();
    web.house.operator("agent revoke scout --reason compromised");
    let pay = || json!({"service_id": "search"});
    assert_eq!(wire.call(&token, &session, "pay_for_api_call", pay()).status, 401);
    assert_eq!(wire.ask(&path, &message_headers(&token), b"{}").status, 401);
    assert_eq!((silent.piece(), legacy.event()), (None, None));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_session_of_the_older_transport_ends_with_its_stream() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let mut stream = web.connect();
    let path = format!("POST {}", stream.open_sse(&token));
    let mut wire = web.connect();
    let headers = message_headers(&token);
    let other = message_headers(&web.token("scout", 1));
    let hello = initialize("2024-11-05");
    assert_eq!(wire.ask(&path, &other, hello.as_bytes()).status, 404, "another token");
    assert_eq!(wire.ask(&path, &headers, hello.as_bytes()).status, 202);
    assert!(stream.event().is_some());
    drop(stream);
    let until = instant() + Duration::from_secs(10);
    while wire.ask(&path, &headers, b"{}").status != 404 {
        assert!(instant() < until, "the session outlives its stream");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_that_hangs_up_loses_no_payment() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let session = web.connect().initialize(&token);
    for id in 100..120 {
        let pay = call(id, "pay_for_api_call", json!({"service_id": "search"}));
        let mut wire = web.connect();
        let headers = message_headers(&token).join("\r\n");
        let text = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\n{headers}\r\nMcp-Session-Id: {session}\r\n\
             Content-Length: {}\r\n\r\n{pay}",
            web.host(),
            pay.len()
        );
        wire.send(text.as_bytes());
        drop(wire);
    }
    // Each of them was made or was not; the books hold, and the session goes on.
    let mut wire = web.connect();
    let mut paid = || {
        let ledger = wire.call(&token, &session, "ledger", json!({"limit": 100})).answer();
        let entries = ledger["entries"].as_array().unwrap().iter();
        let paid = entries.filter(|entry| entry["outcome"] == "paid").count();
        let spent = format!("{:.2}", 0.02 * f64::from(u32::try_from(paid).unwrap()));
        (ledger["spent_today_usd"] == spent).then_some(paid)
    };
    let until = instant() + Duration::from_secs(10);
    // What is still under way may come in between the sum and the entries.
    while paid().is_none() {
        assert!(instant() < until, "the sum is not that of the entries");
    }
    assert_eq!(web.house.operator("verify"), "");
}

#[test]
fn a_session_has_one_stream_and_the_newest_is_it() {
    let web = Web::furnished();
    let (token, mut wire) = (web.token("scout", 0), web.connect());
    let (session, other) = (wire.initialize(&token), wire.initialize(&token));
    let mut first = listen(&web, &token, &session);
    let mut of_another = listen(&web, &token, &other);
    let mut second = listen(&web, &token, &session);
    assert_eq!(first.piece(), None, "it ended, and in good order");
    // Its connection serves on.
    assert_eq!(first.call(&token, &session, "get_balance", json!({})).status, 200);
    wire.ask(
        "DELETE /mcp",
        &[message_headers(&token), vec![format!("Mcp-Session-Id: {session}")]].concat(),
        b"",
    );
    assert_eq!(second.piece(), None, "it was there until its session was not");
    web.house.operator("agent revoke scout --reason over");
    assert_eq!(of_another.piece(), None);
}

#[test]
fn one_agent_has_a_part_of_the_streams_and_others_get_theirs() {
    // Half of the files are for connections, and every sixth of these for one agent's streams.
    const FILES: usize = 256;
    const STREAMS: usize = FILES / 2 / 6;
    let house = House::furnished();
    house.operator("agent create other --cap 5.00/day --funding allowance");
    let web = Web::open_with_files(house, &[("scout", 2), ("other", 1)], FILES);
    let (token, mut wire) = (web.token("scout", 0), web.connect());
    let mut open = Vec::new();
    let mut last = None;
    for number in 0..STREAMS {
        let token = web.token("scout", number % 2);
        let session = (number % 3 > 0).then(|| wire.initialize(&token));
        last.clone_from(&session);
        let (stream, head) = ask_for_stream(&web, &token, session.as_deref());
        assert_eq!(head.status, 200, "{number}: {head:?}");
        open.push(stream);
    }
    let session = wire.initialize(&token);
    for session in [None, Some(&*session), last.as_deref()] {
        let (_, refused) = ask_for_stream(&web, &token, session);
        assert_eq!(refused.status, 429, "{refused:?}");
        assert_eq!(refused.headers["content-type"], "application/problem+json");
    }
    assert!(open.last_mut().unwrap().is_silent(), "it goes on where no other takes its place");
    let refused = wire.ask("GET /sse", &message_headers(&token), b"").json();
    assert_eq!(refused["code"], "too_many_streams");
    assert!(refused["hint"].as_str().unwrap().contains("close the streams"), "{refused}");
    let pay = || json!({"service_id": "search"});
    assert_eq!(wire.call(&token, &session, "pay_for_api_call", pay()).answer()["outcome"], "paid");
    // Whoever else there is gets in, streams too.
    let other = web.token("other", 0);
    let session = wire.initialize(&other);
    let _stream = listen(&web, &other, &session);
    assert_eq!(wire.call(&other, &session, "pay_for_api_call", pay()).answer()["outcome"], "paid");
    open.pop();
    let until = instant() + Duration::from_secs(10);
    while ask_for_stream(&web, &token, None).1.status != 200 {
        assert!(instant() < until, "a stream that was closed is counted on");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_stream_that_is_asked_for_at_the_end_keeps_nobody_from_ending() {
    // A connection that is there is still listened to for a moment, which a slow machine may let
    // pass before anybody asks.
    const TRIES: usize = 10;
    assert!((0..TRIES).any(|_| refused_at_the_end()), "nobody came in time to be refused");
}

/// Has a process end while streams are asked for; whether one came in time to be refused.
fn refused_at_the_end() -> bool {
    let mut web = Web::furnished();
    let token = web.token("scout", 0);
    let mut late: Vec<_> = (0..30).map(|_| web.connect()).collect();
    for wire in &mut late {
        assert_eq!(wire.ask("GET /healthz", &[], b"").status, 200);
    }
    let began = instant();
    let pid = Pid::from_raw(i32::try_from(web.serve().id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let get = format!(
        "GET /sse HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
        web.host()
    );
    for wire in &mut late {
        let _ = wire.try_send(get.as_bytes());
        thread::sleep(Duration::from_millis(4));
    }
    assert!(web.serve().wait().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    late.iter_mut().any(|wire| {
        let said = wire.rest();
        said.starts_with("HTTP/1.1 503") && said.contains(r#""code":"ending""#)
    })
}
