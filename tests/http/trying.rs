//! Somebody of the same account who tries passphrases: what he can hold up, and what he cannot.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::mpsc,
    thread,
};

use base64ct::{Base64, Encoding};
use pettycash::home::Home;
use serde_json::Value;

use crate::support::web::{Web, Wire};

const RIGHT: &str = "correct horse battery";

/// Asks for what gives agents more on the operators' socket; the status and the answer.
fn raised(socket: &Path, authorization: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!(
        "POST /v1/unfreeze HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: \
         {authorization}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

fn basic(passphrase: &str) -> String {
    format!("Basic {}", Base64::encode_string(format!("operator:{passphrase}").as_bytes()))
}

fn over_http(web: &Web, line: &str, authorization: &str, body: &str) -> (u16, Value) {
    let mut wire: Wire = web.connect();
    let headers =
        [format!("Authorization: {authorization}"), "Content-Type: application/json".to_owned()];
    let reply = wire.ask(line, &headers, body.as_bytes());
    (reply.status, reply.json())
}

/// Twelve guess at once, and whoever has a token does not wait meanwhile. How many of the twelve
/// were looked at, and how many were sent away.
fn round(web: &Web, socket: &Path, bearer: &str) -> (usize, usize) {
    let (tell, told) = mpsc::channel();
    for n in 0..12 {
        let (socket, tell) = (socket.to_owned(), tell.clone());
        let guess = basic(&format!("guess number {n}"));
        thread::spawn(move || tell.send(raised(&socket, &guess)).unwrap());
    }
    drop(tell);
    // Somebody is sent away once there are four, of whom the last has still long to wait.
    let mut answers = Vec::new();
    while answers.iter().all(|(status, _)| *status != 429) {
        answers.push(told.recv().expect("that somebody is sent away"));
    }
    assert_eq!(raised(socket, bearer).0, 200);
    assert_eq!(over_http(web, "POST /v1/unfreeze", bearer, "{}").0, 200);
    for passphrase in [RIGHT, "guess number 12"] {
        // From elsewhere no passphrase is even looked at.
        let (status, told) = over_http(web, "POST /v1/unfreeze", &basic(passphrase), "{}");
        assert_eq!((status, told["code"].as_str()), (401, Some("token_unknown")));
    }
    let rest: Vec<_> = told.iter().collect();
    assert!(rest.iter().any(|(status, _)| *status == 403), "they waited all the while: {rest:?}");
    answers.extend(rest);
    let of = |status| answers.iter().filter(move |answer| answer.0 == status);
    for (_, busy) in of(429) {
        assert_eq!(busy["code"], "operator_proof_busy");
        let hint = busy["hint"].as_str().unwrap();
        assert!(hint.contains("PETTYCASH_OPERATOR_TOKEN"), "what does not wait: {hint}");
    }
    assert_eq!(of(403).count() + of(429).count(), answers.len(), "{answers:?}");
    (of(403).count(), of(429).count())
}

#[test]
fn who_tries_passphrases_holds_up_four_at_most_and_no_token() {
    let web = Web::furnished();
    let bearer = format!("Bearer {}", web.operator_token());
    let new = format!(r#"{{"passphrase":"{RIGHT}"}}"#);
    let set = over_http(&web, "PUT /v1/operator/passphrase", &bearer, &new);
    assert_eq!(set.0, 200, "{set:?}");
    let socket = Home::at(&web.house.home()).unwrap().serving().unwrap().sockets.operator;
    assert_eq!(raised(&socket, &basic(RIGHT)).0, 200);

    // Who comes once a place is free again is looked at too. After each wrong one that is later, so
    // that in one of a few rounds all come in time, however slow the machine is.
    let (mut rounds, mut seen) = (0..4, Vec::new());
    let exact = rounds.any(|_| {
        seen.push(round(&web, &socket, &bearer));
        seen.last() == Some(&(4, 8))
    });
    assert!(exact, "looked at and sent away: {seen:?}");
    assert_eq!(raised(&socket, &basic(RIGHT)).0, 200, "and then the right one");
}
