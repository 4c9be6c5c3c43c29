//! What goes straight into a session, and is answered in plain JSON.

use serde_json::json;

use crate::support::web::{Web, call, initialize};

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
    let discover = br#"{"jsonrpc":"2.0","id":4,"method":"server/discover","params":{"_meta":{}}}"#;
    let told = wire.post(&token, Some(&session), discover);
    assert_eq!(told.status, 400, "it names no version: {told:?}");
    let again = wire.post(&token, Some(&session), initialize("2025-11-25").as_bytes());
    assert_ne!(again.headers.get("mcp-session-id"), Some(&session), "{again:?}");
}
