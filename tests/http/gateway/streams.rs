//! Answers that come piece by piece, and break off, and are not read.

use std::{thread, time::Duration};

use super::{Gate, answer};
use crate::{
    rails::proxy::upstream::{Peer, Upstream},
    support::served::until,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n";

/// A piece of a body that comes in pieces.
fn piece(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

#[test]
fn the_first_piece_arrives_before_the_last_is_sent() {
    let (more, wait) = tokio::sync::watch::channel(false);
    let upstream = Upstream::start(move |mut peer: Peer| {
        let mut wait = wait.clone();
        async move {
            peer.request().await;
            peer.write(&[HEAD.as_bytes(), &piece("data: one\n\n")].concat()).await;
            let _ = wait.wait_for(|more| *more).await;
            peer.write(&[piece("data: two\n\n"), b"0\r\n\r\n".to_vec()].concat()).await;
        }
    });
    let gate = Gate::open(upstream, "5.00/day", "");
    let mut wire = gate.posted("{}");
    let head = wire.head();
    assert_eq!((head.status, &*head.headers["content-type"]), (200, "text/event-stream"));
    assert_eq!(wire.piece().as_deref(), Some("data: one\n\n"));
    assert_eq!(gate.outcomes(), ["sent", "held"], "it is under way");
    more.send_replace(true);
    assert_eq!(wire.piece().as_deref(), Some("data: two\n\n"));
    assert_eq!(wire.piece(), None);
    assert_eq!(gate.outcomes(), ["captured", "sent", "held"], "and counts by its end");
}

#[test]
fn who_hangs_up_pays_for_what_he_asked() {
    let (more, wait) = tokio::sync::watch::channel(false);
    let upstream = Upstream::start(move |mut peer: Peer| {
        let mut wait = wait.clone();
        async move {
            peer.request().await;
            if peer.number == 0 {
                peer.write(&[HEAD.as_bytes(), &piece("data: one\n\n")].concat()).await;
            }
            let _ = wait.wait_for(|more| *more).await;
            if peer.number == 0 {
                peer.write(&piece(&"x".repeat(2_000_000))).await;
                peer.write(b"0\r\n\r\n").await;
            } else {
                peer.write(answer(200, "text/plain", "ok").as_bytes()).await;
            }
        }
    });
    let gate = Gate::open(upstream, "5.00/day", "");
    let mut wire = gate.posted("{}");
    wire.head();
    assert_eq!(wire.piece().as_deref(), Some("data: one\n\n"));
    drop(wire);
    // Also who goes before there is an answer.
    let silent = gate.posted("{\"other\":1}");
    until("both are sent", || gate.upstream.requests().len() == 2);
    drop(silent);
    thread::sleep(Duration::from_millis(100));
    more.send_replace(true);
    until("both are settled", || gate.used() == "0.04");
    assert_eq!(gate.outcomes().iter().filter(|outcome| *outcome == "captured").count(), 2);
}

#[test]
fn who_hangs_up_again_and_again_begins_no_more_calls_than_he_may() {
    let (more, wait) = tokio::sync::watch::channel(false);
    let upstream = Upstream::start(move |mut peer: Peer| {
        let mut wait = wait.clone();
        async move {
            peer.request().await;
            let _ = wait.wait_for(|more| *more).await;
            peer.write(answer(200, "text/plain", "ok").as_bytes()).await;
        }
    });
    let gate = Gate::open(upstream, "5.00/day", "");
    for sent in 1..=64 {
        let wire = gate.posted("{}");
        until("it is sent", || gate.upstream.requests().len() == sent);
        drop(wire);
    }
    let held = gate.outcomes().len();
    for _ in 0..10 {
        let refused = gate.post(&[], "{}");
        assert_eq!((refused.status, &*refused.headers["retry-after"]), (429, "5"), "{refused:?}");
        assert_eq!(refused.json()["code"], "rate_limited");
        assert!(!refused.headers.contains_key("x-should-retry"), "{refused:?}");
    }
    assert_eq!((gate.upstream.accepted(), gate.outcomes().len()), (64, held));
    more.send_replace(true);
    until("all are settled", || gate.used() == "1.28");
    assert_eq!(gate.post(&[], "{}").status, 200);
}

#[test]
fn what_broke_off_does_not_look_whole() {
    for said in [
        format!("{HEAD}b\r\ndata: one\n\n\r\n"),
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ndata: one\n\n".to_owned(),
        // Longer than may be read.
        answer(200, "text/plain", &"x".repeat(20_000)),
    ] {
        let upstream = Upstream::saying(said);
        let gate = Gate::open(upstream, "5.00/day", "max_response_bytes = 10000");
        let mut wire = gate.posted("{}");
        assert_eq!(wire.head().status, 200);
        let rest = wire.rest();
        assert!(rest.contains("data: one\n\n") || rest.contains("xxxx"), "{rest}");
        assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
        until("it is settled", || gate.used() == "0.02");
    }
}

#[test]
fn a_slow_reader_gets_every_byte_and_no_more_is_taken_than_fits() {
    const WHOLE: usize = 48 * 1024 * 1024;
    let upstream = Upstream::start(move |mut peer: Peer| async move {
        peer.request().await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {WHOLE}\r\n\r\n");
        peer.write(head.as_bytes()).await;
        for number in 0..WHOLE / 65_536 {
            peer.write(&vec![b'a' + u8::try_from(number % 26).unwrap(); 65_536]).await;
        }
    });
    let more = "max_response_bytes = 100000000";
    let gate = Gate::open(upstream, "5.00/day", more);
    let mut wire = gate.posted("{}");
    assert_eq!(wire.head().status, 200);
    // He reads nothing for a while: what is on its way fills up, and then the upstream waits.
    let mut before = gate.upstream.written();
    for _ in 0..30 {
        thread::sleep(Duration::from_millis(50));
        let now = gate.upstream.written();
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    assert!(before < 32 * 1024 * 1024, "{before} bytes were taken that nobody read");
    let (mut length, mut last) = (0, None);
    while let Some(piece) = wire.piece() {
        length += piece.len();
        last = piece.bytes().last();
    }
    assert_eq!(
        (length, last),
        (WHOLE, Some(b'a' + u8::try_from((WHOLE / 65_536 - 1) % 26).unwrap()))
    );
    assert_eq!(gate.used(), "0.02");
}
