//! A connection that is used again never sends a request twice.

use std::{collections::BTreeMap, time::Duration};

use hyper::http::{HeaderValue, Method};
use pettycash::rails::proxy::{Broken, Outcome};

use super::{
    answered, get, read, site,
    upstream::{Peer, Upstream},
    wire,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn calls_share_a_connection_and_another_one_takes_over_when_it_is_gone() {
    let upstream = Upstream::start(async |mut peer: Peer| {
        // Three each.
        for _ in 0..3 {
            if peer.request().await.is_none() {
                return;
            }
            peer.write(OK).await;
        }
    })
    .await;
    let (wire, _) = wire();
    let site = site(upstream.address);
    for _ in 0..9 {
        read(&mut answered(wire.call(&get(&site, "/")).await)).await.unwrap();
        // What says that the other side has closed has to come in.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((upstream.accepted(), upstream.requests().len()), (3, 9));
}

#[tokio::test]
async fn a_request_that_a_used_connection_took_along_is_in_doubt_and_not_sent_again() {
    for method in [Method::POST, Method::GET, Method::PUT, Method::DELETE] {
        let upstream = Upstream::start(async |mut peer: Peer| {
            peer.request().await;
            peer.write(OK).await;
            // The next one it takes, and says nothing.
            peer.request().await;
        })
        .await;
        let (wire, _) = wire();
        let site = site(upstream.address);
        let mut call = get(&site, "/");
        // There would be time to try again.
        call.within = Duration::from_secs(20);
        call.method = method.clone();
        read(&mut answered(wire.call(&call).await)).await.unwrap();
        let outcome = wire.call(&call).await;
        assert!(matches!(outcome, Outcome::Broken(Broken::Closed)), "{method}: {outcome:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!((upstream.accepted(), upstream.requests().len()), (1, 2), "{method}");
    }
}

#[tokio::test]
async fn a_connection_that_dies_at_any_moment_takes_no_request_twice() {
    const CALLS: usize = 600;
    let upstream = Upstream::start(async |mut peer: Peer| {
        peer.request().await;
        peer.write(OK).await;
        // Some are closed at once, some a little later, some in the middle of the next request,
        // some after it; and some with a reset.
        match peer.number % 5 {
            0 => {}
            1 => tokio::time::sleep(Duration::from_micros(peer.number as u64)).await,
            2 => {
                let _ = peer.stream.peek(&mut [0]).await;
            }
            3 => {
                peer.request().await;
            }
            _ => {
                tokio::time::sleep(Duration::from_micros(peer.number as u64 / 2)).await;
                peer.stream.set_zero_linger().unwrap();
            }
        }
    })
    .await;
    let (wire, _) = wire();
    let site = site(upstream.address);
    let mut outcomes = BTreeMap::<&str, usize>::new();
    for number in 0..CALLS {
        let mut call = get(&site, "/");
        call.within = Duration::from_secs(20);
        call.method = Method::POST;
        call.headers.insert("x-number", HeaderValue::from(number));
        let told = match wire.call(&call).await {
            Outcome::Answered(mut answer) => {
                let _ = read(&mut answer).await;
                "answered"
            }
            Outcome::Broken(_) => "broken",
            Outcome::NotSent(_) => "not sent",
        };
        *outcomes.entry(told).or_default() += 1;
        tokio::time::sleep(Duration::from_micros(number as u64 % 7 * 60)).await;
    }
    let mut seen = BTreeMap::<String, usize>::new();
    for request in upstream.requests() {
        let number = request.lines().find(|line| line.starts_with("x-number")).unwrap();
        *seen.entry(number.to_owned()).or_default() += 1;
    }
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    // It was put to the test at all: both happened, and nothing was lost without a word.
    assert!(outcomes["answered"] > CALLS / 4 && outcomes["broken"] > 0, "{outcomes:?}");
    assert_eq!(outcomes.get("not sent"), None, "{outcomes:?}");
    assert!(seen.len() >= outcomes["answered"], "{outcomes:?}");
}
