//! Whose token pays, when that ends: before a request, in the middle of it, and in the middle of
//! its answer.

use std::{thread, time::Duration};

use jiff::{SignedDuration, Timestamp};
use pettycash::clock::Clock;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Gate;
use crate::{
    rails::proxy::upstream::{Peer, Upstream},
    support::{served::until, web::Wire},
};

const MODEL: &str = "claude-sonnet-4-5";
/// What makes a call that of a language model.
const CHAT: &str = "[[services.acme.operations]]\nname = \"chat\"\nmethod = \"POST\"\n\
                    path = \"/v1/chat\"\nmetered = \"anthropic_messages\"";
const JSON: &str = "Content-Type: application/json";
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n";
/// How long a token lives that ends by itself: enough for what is begun with it.
const LIFE: SignedDuration = SignedDuration::from_secs(3);

/// How it comes that a token pays no more.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    TokenRevoked,
    TokenEnded,
    Frozen,
    Revoked,
}

/// A gate whose agent is stopped while two answers of a language model are on their way, of which
/// one then comes to its end and the other breaks off.
struct Story {
    gate: Gate,
    stop: Stop,
    end: Timestamp,
    more: watch::Sender<bool>,
}

impl Story {
    fn new(stop: Stop) -> Self {
        let (more, wait) = watch::channel(false);
        let upstream = Upstream::start(move |mut peer: Peer| {
            let mut wait = wait.clone();
            async move {
                peer.request().await;
                peer.write(&[HEAD.as_bytes(), &start()].concat()).await;
                let _ = wait.wait_for(|more| *more).await;
                if peer.number == 0 {
                    peer.write(&rest()).await;
                    peer.write(b"0\r\n\r\n").await;
                }
            }
        });
        let mut gate = Gate::open(upstream, "5.00/day", CHAT);
        let end = Clock::System.now().checked_add(LIFE).unwrap();
        if stop == Stop::TokenEnded {
            let line = format!("agent token scout --expires {end}");
            let given = gate.web.house.operator_json(&line);
            given["token"].as_str().unwrap().clone_into(&mut gate.token);
        }
        Self { gate, stop, end, more }
    }

    /// Begins a stream, and gives its payment.
    fn stream(&self) -> (Wire, String) {
        let mut wire = self.headed("Accept: text/event-stream");
        wire.send(question().as_bytes());
        let head = wire.head();
        assert_eq!(head.status, 200, "{head:?}");
        assert!(wire.piece().unwrap().contains("message_start"));
        (wire, head.headers["pettycash-payment"].clone())
    }

    /// A connection of which the gateway knows whose it is and waits for the question.
    fn half_asked(&self) -> Wire {
        let mut wire = self.headed("Expect: 100-continue");
        assert_eq!(wire.head().status, 100);
        wire
    }

    /// A connection on which the head of a question was sent.
    fn headed(&self, more: &str) -> Wire {
        let mut wire = self.gate.web.connect();
        let headers = self.gate.headers(&[more, JSON]).join("\r\n");
        let (host, length) = (self.gate.web.host(), question().len());
        let line = "POST /gateway/acme/v1/chat HTTP/1.1";
        let head =
            format!("{line}\r\nHost: {host}\r\n{headers}\r\nContent-Length: {length}\r\n\r\n");
        wire.send(head.as_bytes());
        wire
    }

    fn stop(&self) {
        let house = &self.gate.web.house;
        match self.stop {
            Stop::TokenRevoked => {
                let tokens = house.operator_json("agent tokens scout");
                let id = tokens["tokens"][0]["token_id"].as_str().unwrap();
                house.operator(&format!("agent token-revoke {id}"));
            }
            Stop::TokenEnded => {
                while Clock::System.now() < self.end {
                    thread::sleep(Duration::from_millis(10));
                }
            }
            Stop::Frozen => drop(house.operator("agent freeze scout")),
            Stop::Revoked => drop(house.operator("agent revoke scout --reason theft")),
        }
    }

    /// What the ledger says of a payment, the oldest entry first.
    fn outcomes(&self, payment: &str) -> Vec<String> {
        let page = self.gate.web.house.operator_json("ledger scout");
        let entries = page["entries"].as_array().unwrap().iter().rev();
        let entries = entries.filter(|entry| entry["payment_id"] == payment);
        entries.map(|entry| entry["outcome"].as_str().unwrap().to_owned()).collect()
    }

    /// Has it all happen. Who comes anew is refused so; who waits with his body by the decision,
    /// in such words.
    fn play(&self, anew: (u16, &str), waiting: (&str, &str)) {
        let ((mut whole, first), (mut broken, second)) = (self.stream(), self.stream());
        let mut half = self.half_asked();
        self.stop();
        let stop = self.stop;
        let (asked, found) = (question(), "GET /gateway/acme/v1/find/tea");
        for (line, body) in [("POST /gateway/acme/v1/chat", &*asked), (found, "")] {
            let headers = self.gate.headers(if body.is_empty() { &[] } else { &[JSON] });
            let reply = self.gate.web.connect().ask(line, &headers, body.as_bytes());
            assert_eq!((reply.status, &reply.json()["code"]), (anew.0, &json!(anew.1)), "{stop:?}");
            assert_eq!(reply.headers["x-should-retry"], "false", "{stop:?}");
        }
        half.send(asked.as_bytes());
        let reply = half.reply();
        let told = reply.json();
        assert_eq!((reply.status, &told["code"]), (402, &json!(waiting.0)), "{stop:?}");
        assert!(told["message"].as_str().unwrap().contains(waiting.1), "{stop:?}: {told}");
        assert_eq!(reply.headers["x-should-retry"], "false", "{stop:?}");
        assert_eq!(self.gate.upstream.accepted(), 2, "{stop:?}: nothing more was sent");

        // What was begun comes to its end, as it costs.
        self.more.send_replace(true);
        assert!(whole.piece().unwrap().contains("message_delta"), "{stop:?}");
        assert_eq!(whole.piece(), None, "{stop:?}");
        assert!(!broken.rest().ends_with("0\r\n\r\n"), "{stop:?}");
        until("both have an end", || {
            [&first, &second].iter().all(|payment| self.outcomes(payment).len() == 3)
        });
        assert_eq!(self.outcomes(&first), ["held", "sent", "captured"], "{stop:?}");
        assert_eq!(self.outcomes(&second), ["held", "sent", "in_doubt"], "{stop:?}");
        // 100 tokens at 3 dollars a million, and 20 at 15. What is in doubt stays held.
        assert_eq!(self.gate.used(), "0.0006", "{stop:?}");
        let shown = self.gate.web.house.operator_json("agent show scout");
        assert_ne!(shown["held_usd"], "0.00", "{stop:?}");
        assert_eq!(self.gate.upstream.accepted(), 2, "{stop:?}");
        assert_eq!(self.gate.web.house.operator("verify"), "");
    }
}

fn question() -> String {
    json!({"model": MODEL, "max_tokens": 100, "stream": true, "messages": []}).to_string()
}

/// A piece of a stream: these events.
fn piece(events: &[Value]) -> Vec<u8> {
    let events: Vec<String> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let text = events.concat();
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn start() -> Vec<u8> {
    let usage = json!({"input_tokens": 100, "output_tokens": 1});
    piece(&[json!({"type": "message_start", "message": {"model": MODEL, "usage": usage}})])
}

fn rest() -> Vec<u8> {
    let (ended, usage) = (json!({"stop_reason": "end_turn"}), json!({"output_tokens": 20}));
    piece(&[
        json!({"type": "message_delta", "delta": ended, "usage": usage}),
        json!({"type": "message_stop"}),
    ])
}

#[test]
fn a_token_that_is_revoked_begins_nothing_and_what_it_began_is_charged() {
    let ended = ("agent_revoked", "The access by which this agent came here was ended");
    Story::new(Stop::TokenRevoked).play((401, "token_unknown"), ended);
}

#[test]
fn a_token_that_has_ended_begins_nothing_and_what_it_began_is_charged() {
    let ended = ("agent_revoked", "The access by which this agent came here was ended");
    Story::new(Stop::TokenEnded).play((401, "token_unknown"), ended);
}

#[test]
fn an_agent_that_is_frozen_begins_nothing_and_what_it_began_is_charged() {
    Story::new(Stop::Frozen).play((402, "agent_frozen"), ("agent_frozen", "is frozen"));
}

#[test]
fn an_agent_that_is_revoked_begins_nothing_and_what_it_began_is_charged() {
    Story::new(Stop::Revoked).play((401, "token_unknown"), ("agent_revoked", "for good (theft)"));
}
