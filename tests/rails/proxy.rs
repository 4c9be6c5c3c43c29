//! The wire of the proxy, against upstreams of our own on this machine.

mod calling;
mod corpus;
mod downgrading;
mod estimating;
mod failing;
mod guarding;
mod hostile;
mod metered;
mod paying;
mod pooling;
mod reaching;
mod roaming;
mod scrubbing;
mod secrets;
mod testing;
pub(crate) mod upstream;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper::{
    body::Bytes,
    http::{HeaderMap, HeaderName, Method},
};
use pettycash::rails::proxy::{
    Answer, Broken, Call, End, Guard, Outcome, Secret, Setup, Site, Wire,
};

use crate::support::canary::ODD_KEY as CANARY;

/// The addresses that were let through to a connect.
type Seen = Arc<Mutex<Vec<IpAddr>>>;

/// A guard for which every name has these addresses, and what it lets through.
fn guard(addresses: &[&str]) -> (Guard, Seen) {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let seen = Seen::default();
    let recorded = Arc::clone(&seen);
    let lookup = move |_| {
        let addresses = addresses.clone();
        Box::pin(async move { Ok(addresses) }) as futures_util::future::BoxFuture<'static, _>
    };
    let watch = move |address| recorded.lock().unwrap().push(address);
    (Guard::new(Arc::new(lookup), Arc::new(watch)), seen)
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes()).unwrap()
}

/// A wire that gives a connection a second, and what it lets through. Names are this machine.
fn wire() -> (Wire, Seen) {
    let (guard, seen) = guard(&["127.0.0.1"]);
    (Wire::new(quick(guard)), seen)
}

fn quick(guard: Guard) -> Setup {
    let pause = Duration::from_millis(5);
    Setup { guard, connect: Duration::from_secs(1), pause, ..Setup::default() }
}

/// The site of a base URL.
fn site_of(text: &str) -> Site {
    Site::of(&text.parse().unwrap())
}

fn site(address: SocketAddr) -> Site {
    site_of(&format!("http://{address}"))
}

/// A call of that path that brings no secret and has two seconds.
fn get<'a>(site: &'a Site, target: &'a str) -> Call<'a> {
    static KEEP: [HeaderName; 3] = [
        HeaderName::from_static("location"),
        HeaderName::from_static("request-id"),
        HeaderName::from_static("x-echo"),
    ];
    Call {
        site,
        method: Method::GET,
        target,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        secret: None,
        within: Duration::from_secs(2),
        max_body: 1 << 20,
        keep: &KEEP,
    }
}

fn answered(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Answered(answer) => *answer,
        other => panic!("no answer but {other:?}"),
    }
}

/// All of a body, and how it ended.
async fn read(answer: &mut Answer) -> Result<(Vec<u8>, End), Broken> {
    let mut all = Vec::new();
    while let Some(chunk) = answer.body.chunk().await? {
        all.extend_from_slice(&chunk);
    }
    Ok((all, answer.body.end().unwrap()))
}
