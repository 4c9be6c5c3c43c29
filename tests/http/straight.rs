//! What goes straight into a session: one answer in plain JSON, and nothing that hangs.

use std::thread;

use serde_json::json;

use crate::support::web::{Web, call, initialize, message_headers};

#[test]
fn a_call_in_a_session_is_answered_in_plain_json() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let mut wire = web.connect();
    let session = wire.initialize(&token);
    let reply = wire.call(&token, &session, "get_balance", json!({}));
    let kind = &*reply.headers["content-type"];
    assert_eq!((reply.status, kind), (200, "application/json"), "{reply:?}");
    assert_eq!(reply.json()["result"]["structuredContent"]["standing"], "active");
    let note = br#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
    let noted = wire.post(&token, Some(&session), note);
    assert_eq!((noted.status, &*noted.body), (202, ""));
}

#[test]
fn what_the_library_must_look_at_does_not_go_straight() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let mut wire = web.connect();
    let session = wire.initialize(&token);
    let ask = |headers: &[&str]| {
        let own = headers.iter().map(|&header| header.to_owned());
        let named = format!("Mcp-Session-Id: {session}");
        let base = ["Content-Type: application/json".to_owned(), named];
        let bearer = format!("Authorization: Bearer {token}");
        let headers: Vec<String> = base.into_iter().chain([bearer]).chain(own).collect();
        web.connect().ask("POST /mcp", &headers, call(3, "get_balance", json!({})).as_bytes())
    };
    let both = "Accept: application/json, text/event-stream";
    assert_eq!(ask(&[both]).status, 200);
    assert_eq!(ask(&[both, "Mcp-Protocol-Version: 2025-06-18"]).status, 200);
    assert_eq!(ask(&[]).status, 406);
    assert_eq!(ask(&["Accept: application/json"]).status, 406);
    assert_eq!(ask(&["Accept: application/json, text/event-stream;q=0"]).status, 406);
    assert_eq!(ask(&[both, "Mcp-Protocol-Version: 1999-01-01"]).status, 400);
    let again = wire.post(&token, Some(&session), initialize("2025-11-25").as_bytes());
    assert_ne!(again.headers.get("mcp-session-id"), Some(&session), "{again:?}");
}

#[test]
fn whoever_waits_in_a_session_that_ends_is_let_go() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let mut wire = web.connect();
    let session = wire.initialize(&token);
    let named = format!("Mcp-Session-Id: {session}");
    thread::scope(|scope| {
        for id in 10..18 {
            let (web, token, session) = (&web, &token, &session);
            scope.spawn(move || {
                let mut wire = web.connect();
                let pay = call(id, "pay_for_api_call", json!({"service_id": "search"}));
                // Who is not answered gives up, and fails.
                let reply = wire.post(token, Some(session), pay.as_bytes());
                assert!([200, 404].contains(&reply.status), "{reply:?}");
            });
        }
        let ended = wire.ask("DELETE /mcp", &[message_headers(&token), vec![named]].concat(), b"");
        assert_eq!(ended.status, 202);
    });
}
