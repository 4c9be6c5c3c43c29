//! What a client says of where a payment came from: kept for the operator, and no more than that.

use serde_json::{Value, json};

use crate::support::web::{Web, call, initialize, message_headers};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What the newest line of an agent's ledger tells an operator.
fn newest(web: &Web) -> Value {
    web.house.operator_json("ledger scout --limit 1")["entries"][0].clone()
}

/// Pays in a session, saying this, and gives the answer.
fn pay(web: &Web, session: &str, arguments: &Value, meta: &Value, header: Option<&str>) -> Value {
    let mut headers = message_headers(&web.token("scout", 0));
    headers.push(format!("Mcp-Session-Id: {session}"));
    headers.extend(header.map(|trace| format!("traceparent: {trace}")));
    let params = json!({"name": "pay_for_api_call", "arguments": arguments, "_meta": meta});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    web.connect().ask("POST /mcp", &headers, call.to_string().as_bytes()).answer()
}

#[test]
fn the_operator_reads_by_what_a_payment_came_and_no_agent_does() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let mut wire = web.connect();
    let session = wire.initialize(&token);
    let search = json!({"service_id": "search"});
    let tool = json!({"claudecode/toolUseId": "toolu_01", "traceparent": TRACE});
    assert_eq!(pay(&web, &session, &search, &tool, None)["outcome"], "paid");
    let first = newest(&web);
    assert_eq!(first["via"]["tool_use_id"], "toolu_01");
    assert_eq!(first["via"]["traceparent"], TRACE);
    let told = first["via"]["session"].as_str().unwrap();
    assert!(told.len() == 12 && !session.contains(told), "{told} of {session}");

    let own = wire.call(&token, &session, "ledger", json!({})).answer();
    assert_eq!(own["entries"][0]["payment_id"], first["payment_id"]);
    assert_eq!(own["entries"][0].get("via"), None, "{own}");

    let other = wire.initialize(&token);
    pay(&web, &other, &search, &json!({}), Some(TRACE));
    let second = newest(&web);
    assert_eq!(second["via"]["traceparent"], TRACE, "by the header too");
    assert_eq!(second["via"].get("tool_use_id"), None, "left out where nobody said it");
    assert_ne!(second["via"]["session"], first["via"]["session"]);
    // Another one, for the same would be the same call again.
    let tool = json!({"claudecode/toolUseId": "toolu_02", "traceparent": TRACE});
    let stdio = json!({"name": "pay_for_api_call", "arguments": search, "_meta": tool});
    web.house.client("scout").request("tools/call", stdio);
    let by_stdio = json!({"tool_use_id": "toolu_02", "traceparent": TRACE});
    assert_eq!(newest(&web)["via"], by_stdio, "by the local socket too");
    web.house.operator("pay scout search");
    assert_eq!(newest(&web).get("via"), None);
    assert_eq!(web.house.operator("verify"), "");
}

#[test]
fn what_a_client_says_of_itself_is_bounded_and_decides_nothing() {
    let web = Web::furnished();
    let session = web.connect().initialize(&web.token("scout", 0));
    let search = json!({"service_id": "search"});
    for odd in [json!("\u{1b}[31m"), json!("a b"), json!("a".repeat(129)), json!(7), json!("")] {
        let meta = json!({"claudecode/toolUseId": odd, "traceparent": odd});
        assert_eq!(pay(&web, &session, &search, &meta, None)["outcome"], "paid", "{odd}");
        let via = newest(&web)["via"].clone();
        assert_eq!(via.as_object().unwrap().keys().collect::<Vec<_>>(), ["session"], "{odd}");
    }
    let keyed = json!({"service_id": "search", "idempotency_key": "k"});
    let paid = pay(&web, &session, &keyed, &json!({"claudecode/toolUseId": "one"}), None);
    let other = json!({"claudecode/toolUseId": "two", "traceparent": TRACE});
    let again = pay(&web, &session, &keyed, &other, None);
    assert_eq!((&again["payment_id"], &again["replayed"]), (&paid["payment_id"], &json!(true)));
    assert_eq!(newest(&web)["via"]["tool_use_id"], "one", "as it was when it was paid");
}

#[test]
fn a_denial_and_the_older_transport_say_by_what_they_came_too() {
    let web = Web::furnished();
    let token = web.token("scout", 0);
    let session = web.connect().initialize(&token);
    let meta = |id: &str| json!({"claudecode/toolUseId": id, "traceparent": TRACE});
    let none = json!({"service_id": "nothing-of-that-name"});
    assert_eq!(pay(&web, &session, &none, &meta("toolu_01"), None)["outcome"], "denied");
    let denied = newest(&web);
    let by_http = denied["via"]["session"].clone();
    assert!(by_http.is_string(), "{denied}");
    let said = json!({"tool_use_id": "toolu_01", "session": by_http, "traceparent": TRACE});
    assert_eq!((&denied["outcome"], &denied["via"]), (&json!("denied"), &said));
    // A denial is the same whatever is said with it: counted, under the first one's id.
    pay(&web, &session, &none, &meta("toolu_02"), None);
    let odd = json!({"service_id": 7});
    assert_eq!(pay(&web, &session, &odd, &meta("toolu_03"), None)["code"], "invalid_request");
    assert_eq!(newest(&web)["via"]["tool_use_id"], "toolu_03", "a malformed one too");
    let all = web.house.operator_json("ledger scout");
    let by_second = all["entries"].as_array().unwrap().iter();
    assert!(by_second.clone().all(|line| line["via"]["tool_use_id"] != "toolu_02"), "{all}");

    let mut stream = web.connect();
    let path = format!("POST {}", stream.open_sse(&token));
    let mut headers = message_headers(&token);
    headers.push(format!("traceparent: {TRACE}"));
    let mut wire = web.connect();
    wire.ask(&path, &headers, initialize("2024-11-05").as_bytes());
    assert!(stream.event().is_some());
    let search = call(7, "pay_for_api_call", json!({"service_id": "search"}));
    assert_eq!(wire.ask(&path, &headers, search.as_bytes()).status, 202);
    assert_eq!(stream.event().unwrap()["id"], 7);
    let paid = newest(&web);
    let told = paid["via"]["session"].as_str().unwrap();
    assert!(told.len() == 12 && !path.contains(told) && paid["via"]["session"] != by_http);
    assert_eq!((&paid["outcome"], &paid["via"]["traceparent"]), (&json!("paid"), &json!(TRACE)));
    assert!(!web.log().contains(path.split_once('=').unwrap().1), "the session's id is in the log");
    assert_eq!(web.house.operator("verify"), "");
}
