//! A `serve` or a session that ends while payments over HTTP are on their way on a slow rail.

use std::time::Duration;

use pettycash::{policy::money::Usd, rails::Verdict};
use serde_json::{Value, json};

use crate::support::{
    scripted::{Act, Scripted},
    served::{FINISHES, Served, slow, until},
    web::{Wire, call, initialize, message_headers},
};

/// How long the rail takes.
const TAKES: Duration = Duration::from_secs(3);

/// A token of a new agent's.
fn token(served: &Served, agent: &str) -> String {
    served.agent(agent);
    let issued = served.house.operator_json(&format!("agent token {agent}"));
    issued["token"].as_str().unwrap().to_owned()
}

/// Has asked for the payment in a session, and its connection, on which nobody has read on.
fn asking(served: &Served, token: &str) -> Wire {
    let mut wire = Wire::to(served.address());
    let session = wire.initialize(token);
    asking_in(served, token, &session, wire)
}

/// The same in this session, by this connection.
fn asking_in(served: &Served, token: &str, session: &str, mut wire: Wire) -> Wire {
    let before = served.rail.calls().len();
    let pay = call(7, "pay_for_api_call", slow());
    let text = format!(
        "POST /mcp HTTP/1.1\r\nHost: {}\r\n{}\r\nMcp-Session-Id: {session}\r\n\
         Content-Length: {}\r\n\r\n{pay}",
        served.address(),
        message_headers(token).join("\r\n"),
        pay.len()
    );
    wire.send(text.as_bytes());
    until("the rail is called", || served.rail.calls().len() > before);
    wire
}

/// The same over the older transport: the stream, on which the answer is to come.
fn asking_by_stream(served: &Served, token: &str) -> Wire {
    let (mut stream, mut wire) = (Wire::to(served.address()), Wire::to(served.address()));
    let path = format!("POST {}", stream.open_sse(token));
    let headers = message_headers(token);
    wire.ask(&path, &headers, initialize("2024-11-05").as_bytes());
    assert!(stream.event().is_some());
    let before = served.rail.calls().len();
    let pay = call(7, "pay_for_api_call", slow());
    assert_eq!(wire.ask(&path, &headers, pay.as_bytes()).status, 202);
    until("the rail is called", || served.rail.calls().len() > before);
    stream
}

#[test]
fn what_is_paid_while_serve_ends_is_told_to_who_waits_and_found_by_who_does_not() {
    let mut served = Served::listening(Scripted::new([Act::TakeAfter(TAKES)]));
    let tokens = ["waits", "streams", "leaves"].map(|agent| token(&served, agent));
    drop(asking(&served, &tokens[2]));
    let mut streams = asking_by_stream(&served, &tokens[1]);
    let mut waits = asking(&served, &tokens[0]);
    let took = served.stop();
    assert!(took < FINISHES, "{took:?}");
    let paid = |answer: &Value| {
        assert_eq!((&answer["outcome"], &answer["charged_usd"]), (&json!("paid"), &json!("0.10")));
    };
    paid(&waits.reply().answer());
    paid(&streams.event().unwrap()["result"]["structuredContent"]);
    assert_eq!(streams.piece(), None, "and then the stream ends in good order");
    served.start();
    for agent in ["waits", "streams", "leaves"] {
        served.assert_paid_once(agent);
    }
}

#[test]
fn what_is_not_paid_by_then_is_parked_and_in_doubt_for_the_next_serve() {
    let mut served = Served::listening(Scripted::new([Act::Hang]));
    let token = token(&served, "stuck");
    let wire = asking(&served, &token);
    let took = served.stop();
    assert!(took >= FINISHES && took < FINISHES + Duration::from_secs(5), "{took:?}");
    drop(wire);
    served.start();
    assert_eq!(served.outcomes("stuck"), ["in_doubt", "sent", "held", "created"]);
    let mut wire = Wire::to(served.address());
    let session = wire.initialize(&token);
    let ledger = wire.call(&token, &session, "ledger", json!({})).answer();
    let id = &ledger["entries"][0]["payment_id"];
    for asked in [slow(), json!({"payment_id": id})] {
        let doubt = wire.call(&token, &session, "pay_for_api_call", asked).answer();
        assert_eq!((&doubt["outcome"], &doubt["payment_id"]), (&json!("in_doubt"), id));
    }
    let balance = wire.call(&token, &session, "get_balance", json!({})).answer();
    assert_eq!(balance["held_usd"], "0.10", "what may have been paid stays held");
    assert_eq!(served.rail.calls().len(), 1, "what is in doubt is not sent again");
}

/// How long the rail takes where a session is let go of meanwhile: longer than the library waits
/// for calls of a session that has ended.
const TAKES_LONG: Duration = Duration::from_secs(7);

#[test]
fn whoever_waits_in_a_session_that_is_let_go_of_is_told_what_became_of_the_payment() {
    let served = Served::listening(Scripted::new([Act::TakeAfter(TAKES_LONG); 3]));
    let tokens = ["deletes", "revoked", "streams"].map(|agent| token(&served, agent));
    let revoke = |agent: &str| {
        let listed = served.house.operator_json(&format!("agent tokens {agent}"));
        let id = listed["tokens"][0]["token_id"].as_str().unwrap().to_owned();
        served.house.operator(&format!("agent token-revoke {id}"));
    };
    let mut deleting = Wire::to(served.address());
    let session = deleting.initialize(&tokens[0]);
    let mut waits = [
        asking_in(&served, &tokens[0], &session, Wire::to(served.address())),
        asking(&served, &tokens[1]),
    ];
    let mut streams = asking_by_stream(&served, &tokens[2]);
    let named = vec![format!("Mcp-Session-Id: {session}")];
    let ended = deleting.ask("DELETE /mcp", &[message_headers(&tokens[0]), named].concat(), b"");
    assert_eq!(ended.status, 204);
    revoke("revoked");
    revoke("streams");
    let again = deleting.call(&tokens[0], &session, "get_balance", json!({}));
    assert_eq!(again.status, 404, "nothing more is asked in it");
    let paid = |answer: &Value| assert_eq!(answer["outcome"], "paid", "{answer}");
    for wire in &mut waits {
        let reply = wire.reply();
        assert_eq!(reply.status, 200, "{reply:?}");
        paid(&reply.answer());
    }
    paid(&streams.event().unwrap()["result"]["structuredContent"]);
    assert_eq!(streams.piece(), None, "and then the stream ends in good order");
    for agent in ["deletes", "revoked", "streams"] {
        served.assert_paid_once(agent);
    }
}

#[test]
fn a_cancelled_call_is_answered_by_a_stream_without_an_event() {
    let served = Served::listening(Scripted::new([Act::TakeAfter(TAKES)]));
    let token = token(&served, "plain");
    let mut wire = Wire::to(served.address());
    let session = wire.initialize(&token);
    let mut waits = asking_in(&served, &token, &session, Wire::to(served.address()));
    let cancel =
        br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    assert_eq!(wire.post(&token, Some(&session), cancel).status, 202);
    let reply = waits.reply();
    assert_eq!((reply.status, &*reply.body), (200, ""), "{reply:?}");
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    until("it is paid all the same", || served.outcomes("plain").contains(&"captured".to_owned()));
}

#[test]
fn so_many_calls_wait_on_a_stream_of_the_older_transport_and_the_next_is_told() {
    const WAITING: u64 = 64;
    let rail = Scripted::new([Act::OnCue]);
    let served = Served::listening(rail.clone());
    let token = token(&served, "many");
    served.house.operator("mandate set many --cap 10.00/day");
    let (mut stream, mut wire) = (Wire::to(served.address()), Wire::to(served.address()));
    let path = format!("POST {}", stream.open_sse(&token));
    let headers = message_headers(&token);
    wire.ask(&path, &headers, initialize("2024-11-05").as_bytes());
    assert!(stream.event().is_some());
    let pay = |id: u64| {
        let key = format!("k{id}");
        call(id, "pay_for_api_call", json!({"service_id": "slow", "idempotency_key": key}))
    };
    for id in 1..=WAITING {
        assert_eq!(wire.ask(&path, &headers, pay(id).as_bytes()).status, 202, "{id}");
    }
    let told = wire.ask(&path, &headers, pay(WAITING + 1).as_bytes());
    assert!(told.body.contains("Too many requests are in flight"), "{told:?}");
    rail.cue(Verdict::Captured("0.10".parse::<Usd>().unwrap()));
    for _ in 1..=WAITING {
        let answer = stream.event().unwrap();
        assert_eq!(answer["result"]["structuredContent"]["outcome"], "paid", "{answer}");
    }
    let paid = wire.ask(&path, &headers, pay(WAITING + 1).as_bytes());
    assert_eq!(paid.status, 202, "there is room again");
    assert_eq!(stream.event().unwrap()["id"], WAITING + 1);
}
