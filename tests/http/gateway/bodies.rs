//! Bodies of requests: as they are, up to what fits.

use std::fs;

use serde_json::json;

use super::{Gate, answer, answering};

#[test]
fn a_long_body_arrives_whole_and_a_longer_one_is_refused() {
    let gate = Gate::saying(&answer(200, "text/plain", "ok"));
    let long = "x".repeat(3 * 1024 * 1024);
    assert_eq!(gate.post(&[], &long).status, 200);
    let sent = gate.upstream.requests().pop().unwrap();
    assert_eq!(sent.split_once("\r\n\r\n").unwrap().1, long);
    // In pieces too.
    let pieces = "3\r\none\r\n4\r\n two\r\n0\r\n\r\n";
    let mut wire = gate.posted_with(&["Transfer-Encoding: chunked"], pieces);
    assert_eq!(wire.reply().status, 200);
    assert!(gate.upstream.requests().pop().unwrap().ends_with("\r\n\r\none two"));

    let mut wire = gate.posted_with(&["Content-Length: 33554433"], "");
    let refused = wire.reply();
    assert_eq!((refused.status, &refused.json()["code"]), (413, &json!("body_too_large")));
    assert_eq!(refused.json()["error"]["type"], "request_too_large");
    let packed = gate.post(&["Content-Encoding: gzip"], "x");
    assert_eq!((packed.status, &packed.json()["code"]), (415, &json!("content_encoding")));
    assert_eq!(gate.post(&["Content-Encoding: identity"], "x").status, 200);
    assert_eq!(gate.upstream.requests().len(), 3);
}

#[test]
fn an_agent_whose_bodies_fill_its_share_leaves_room_to_others() {
    let gate = Gate::saying(&answer(200, "text/plain", "ok"));
    gate.web.house.operator("agent create other --cap 5.00/day --funding allowance");
    let other = gate.web.house.operator_json("agent token other")["token"].take();
    let other = format!("x-api-key: {}", other.as_str().unwrap());
    // Each wants but its last byte, which never comes.
    let (length, stalled) = (16 * 1024 * 1024, "x".repeat(16 * 1024 * 1024 - 1));
    let length = format!("Content-Length: {length}");
    let mut held = Vec::new();
    let refused = (1..=10).find_map(|attempt| {
        held.clear();
        held.extend((0..4).map(|_| gate.posted_with(&[&length], &stalled)));
        // What was sent last may not be read yet, and a body that is let in meanwhile takes its
        // room: then all of it is done again.
        std::thread::sleep(std::time::Duration::from_millis(250 * attempt));
        let reply = gate.post(&[], "more than is left");
        (reply.status != 200).then_some(reply)
    });
    let refused = refused.expect("no room left by the fourth body");
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("no_room")));
    assert_eq!(refused.headers["retry-after"], "2");
    let mut web = gate.web.connect();
    let answered = web.ask("POST /gateway/acme/v1/messages", &[other], "x".repeat(99).as_bytes());
    assert_eq!((answered.status, &*answered.body), (200, "ok"), "{answered:?}");
}

#[test]
fn who_could_not_tell_a_broken_answer_from_a_whole_one_gets_none() {
    let gate = Gate::saying(&answer(200, "text/plain", "ok"));
    let (host, headers) = (gate.web.host(), gate.headers(&["Content-Length: 2"]).join("\r\n"));
    let mut wire = gate.web.connect();
    let line = "POST /gateway/acme/v1/messages HTTP/1.0";
    wire.send(format!("{line}\r\nHost: {host}\r\n{headers}\r\n\r\n{{}}").as_bytes());
    let refused = wire.reply();
    assert_eq!((refused.status, &refused.json()["code"]), (505, &json!("http_version")));
    assert_eq!(gate.upstream.accepted(), 0);
    assert!(gate.outcomes().is_empty());
}

#[test]
fn who_sends_all_of_a_body_that_is_too_long_reads_why_it_is_refused() {
    let gate = Gate::saying(&answer(200, "text/plain", "ok"));
    let whole = "x".repeat(33 * 1024 * 1024);
    let length = format!("Content-Length: {}", whole.len());
    let piece = "x".repeat(1024 * 1024);
    let piece = format!("{:x}\r\n{piece}\r\n", piece.len());
    let pieces = piece.repeat(33) + "0\r\n\r\n";
    // Nobody knows of the second that it is too long before 32 MiB of it have come.
    for (said, body) in [(&*length, whole), ("Transfer-Encoding: chunked", pieces)] {
        let mut wire = gate.posted_with(&[said], "");
        wire.send(body.as_bytes());
        let refused = wire.reply();
        assert_eq!((refused.status, &refused.json()["code"]), (413, &json!("body_too_large")));
        assert!(refused.json()["message"].as_str().unwrap().contains("32 MiB"), "{refused:?}");
    }
    // Nor does a stranger's end before he has read that he is one, or one who names no service, or
    // two keys.
    let whole = "x".repeat(8 * 1024 * 1024);
    let token = format!("x-api-key: {}", gate.token);
    let own = |shown: &str| vec![shown.to_owned(), "Content-Type: text/plain".to_owned()];
    for (line, headers, status) in [
        ("POST /gateway/acme/v1/messages", own("x-api-key: pc_of_nobody"), 401),
        ("POST /gateway/-/v1/messages", own(&token), 404),
        (
            "POST /gateway/acme/v1/messages",
            [own(&token), own("Idempotency-Key: a"), own("Idempotency-Key: b")].concat(),
            400,
        ),
    ] {
        let refused = gate.web.connect().ask(line, &headers, whole.as_bytes());
        assert_eq!(refused.status, status, "{refused:?}");
    }
    assert_eq!(gate.upstream.accepted(), 0);
    assert_eq!(gate.post(&[], "{}").status, 200);
}

#[test]
fn bodies_that_are_many_times_their_bytes_once_read_are_read_one_after_the_other() {
    const MANY: usize = 24;
    let chat = "[[services.acme.operations]]\nname = \"chat\"\nmethod = \"POST\"\n\
                path = \"/v1/chat\"\nmetered = \"anthropic_messages\"";
    let mut gate = Gate::open(answering(&answer(200, "text/plain", "ok")), "5.00/day", chat);
    let process = gate.web.serve().id();
    let peak = || {
        let told = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = told.lines().find(|line| line.starts_with("VmHWM:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
    };
    // Nearly half a million numbers, of 32 bytes each where they are values of JSON.
    let body = format!("{{\"model\": [{}0]}}", "0,".repeat(490_000));
    let (host, headers) = (gate.web.host(), gate.headers(&[]).join("\r\n"));
    let line = "POST /gateway/acme/v1/chat HTTP/1.1";
    let length = body.len();
    let head = format!("{line}\r\nHost: {host}\r\n{headers}\r\nContent-Length: {length}\r\n\r\n");
    let before = peak();
    let mut wires: Vec<_> = (0..MANY).map(|_| gate.web.connect()).collect();
    for sent in [&head, &body] {
        for wire in &mut wires {
            wire.send(sent.as_bytes());
        }
    }
    for wire in &mut wires {
        assert_eq!(wire.reply().status, 400);
    }
    let (grown, each) = (peak() - before, 490_000 * 32 / 1024 / 1024);
    assert!(grown < MANY * each / 2, "{grown} MiB for {MANY} bodies of {each} MiB");
}
