//! What clients send: the same errors as on every transport.

use std::time::Duration;

use pettycash::clock::instant;
use serde_json::json;

use crate::support::{
    bad_lines::bad,
    dice::Dice,
    mcp_house::House,
    web::{Web, call, initialize, message_headers},
};

/// How many bad messages each transport is sent.
const MESSAGES: u64 = 2_090;
const SEED: u64 = 0x5e_ed_0f_f1_1f;

#[test]
fn two_thousand_bad_messages_to_mcp_get_one_error_each_and_move_no_money() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let mut wire = web.connect();
    let session = wire.initialize(&token);
    let mut dice = Dice(SEED);
    for number in 0..MESSAGES {
        let bad = bad(1_000_000 + number, &mut dice);
        let shown = String::from_utf8_lossy(&bad.line).chars().take(300).collect::<String>();
        let case = format!("{number} {:?} {shown}", bad.kind);
        let reply = wire.post(&token, Some(&session), &bad.line);
        assert_eq!(reply.status, 400, "{case}: {reply:?}");
        assert_eq!(reply.headers["content-type"], "application/json", "{case}");
        bad.assert_told(&reply.json(), &case);
        if number % 50 == 0 {
            let balance = wire.call(&token, &session, "get_balance", json!({})).answer();
            assert_eq!(balance["available_usd"], "5.00", "{case}");
        }
    }
    let ledger = wire.call(&token, &session, "ledger", json!({})).answer();
    assert_eq!(ledger["spent_today_usd"], "0.00");
}

#[test]
fn two_thousand_bad_messages_of_the_older_transport_get_one_error_each() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let (mut stream, mut wire) = (web.connect(), web.connect());
    let path = format!("POST {}", stream.open_sse(&token));
    let headers = message_headers(&token);
    let mut post = |body: &[u8]| wire.ask(&path, &headers, body);
    // Before the handshake nothing but a request counts, and nothing ends the session.
    assert_eq!(post(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).status, 202);
    assert_eq!(post(initialize("2024-11-05").as_bytes()).status, 202);
    assert_eq!(stream.event().unwrap()["result"]["protocolVersion"], "2024-11-05");
    assert_eq!(post(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).status, 202);
    let mut dice = Dice(SEED + 1);
    for number in 0..MESSAGES {
        let bad = bad(1_000_000 + number, &mut dice);
        let shown = String::from_utf8_lossy(&bad.line).chars().take(300).collect::<String>();
        let case = format!("{number} {:?} {shown}", bad.kind);
        let reply = post(&bad.line);
        assert_eq!(reply.status, 400, "{case}: {reply:?}");
        bad.assert_told(&reply.json(), &case);
    }
    let pay = call(5, "pay_for_api_call", json!({"service_id": "search"}));
    assert_eq!(post(pay.as_bytes()).status, 202);
    let paid = stream.event().unwrap();
    assert_eq!(
        (&paid["id"], &paid["result"]["structuredContent"]["available_usd"]),
        (&json!(5), &json!("4.98"))
    );
}

#[test]
fn a_wrong_notification_is_answered_over_http_where_somebody_waits_for_it() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let mut wire = web.connect();
    let session = wire.initialize(&token);
    for wrong in [
        r#"{"jsonrpc":"1.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":[]}"#,
    ] {
        let reply = wire.post(&token, Some(&session), wrong.as_bytes());
        assert_eq!(
            (reply.status, &reply.json()["error"]["code"]),
            (400, &json!(-32600)),
            "{wrong}"
        );
    }
    let headers = &message_headers(&token)[..1];
    let untyped = wire.ask("POST /mcp", headers, b"{}");
    assert_eq!((untyped.status, &untyped.json()["code"]), (415, &json!("not_json")));
}

#[test]
fn one_id_is_in_flight_once_in_a_session() {
    const ENOUGH: u64 = 40;
    let web = Web::furnished();
    web.house.operator("mandate set scout --cap 100000.00/day");
    let token = web.token("scout", 0);
    let (mut one, mut other) = (web.connect(), web.connect());
    let session = one.initialize(&token);
    let (mut rounds, mut paid, mut refused) = (0_u64, 0_u64, 0);
    // Where the first is answered before the second comes there are two payments: no two met.
    let until = instant() + Duration::from_secs(60);
    while rounds < ENOUGH || refused == 0 {
        assert!(instant() < until, "no two ever met");
        rounds += 1;
        let pay = call(rounds, "pay_for_api_call", json!({"service_id": "search"}));
        let request = |host: &str| {
            let headers = message_headers(&token).join("\r\n");
            format!(
                "POST /mcp HTTP/1.1\r\nHost: {host}\r\n{headers}\r\nMcp-Session-Id: {session}\r\n\
                 Content-Length: {}\r\n\r\n{pay}",
                pay.len()
            )
        };
        let text = request(&web.host());
        one.send(text.as_bytes());
        other.send(text.as_bytes());
        for reply in [one.reply(), other.reply()] {
            match reply.status {
                200 => paid += u64::from(reply.answer()["outcome"] == "paid"),
                400 => {
                    let error = &reply.json()["error"];
                    assert_eq!(error["code"], -32600, "{reply:?}");
                    assert_eq!(error["data"]["field"], "id", "{reply:?}");
                    refused += 1;
                }
                _ => panic!("{reply:?}"),
            }
        }
    }
    assert_eq!(paid + refused, 2 * rounds);
    let ledger = one.call(&token, &session, "ledger", json!({})).answer();
    let spent = format!("{:.2}", 0.02 * f64::from(u32::try_from(paid).unwrap()));
    assert_eq!(ledger["spent_today_usd"], spent);
}

#[test]
fn what_a_client_says_of_itself_is_not_in_the_log_that_serve_writes_unasked() {
    let house = House::furnished();
    let web = Web::open_by_default(house, &[("scout", 1)]);
    let token = web.token("scout", 0);
    let said = "a-client-that-tells-a-story";
    let hello = initialize("2025-11-25").replace("\"raw\"", &format!("\"{said}\""));
    let opened = web.connect().post(&token, None, hello.as_bytes());
    assert_eq!(opened.status, 200, "{opened:?}");
    let session = opened.headers["mcp-session-id"].clone();
    let mut wire = web.connect();
    let odd = br#"{"jsonrpc":"2.0","method":"notifications/a-client-that-tells-a-story"}"#;
    assert_eq!(wire.post(&token, Some(&session), odd).status, 202);
    assert_eq!(wire.call(&token, &session, "get_balance", json!({})).status, 200);
    let log = web.log();
    assert!(log.contains("listening") && !log.contains(said), "{log}");
}
