//! URLs that are written so that somebody takes them for another place.

use std::{net::SocketAddr, time::Duration};

use pettycash::{
    policy::endpoint::Origin,
    rails::proxy::{Outcome, Site, Unsent, Wire},
};
use tokio::net::TcpListener;

use super::{
    answered, get, guard, quick, read, site,
    upstream::{Peer, Upstream},
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// Where an attacker would like a call to go.
fn hosts(trap: SocketAddr) -> Vec<String> {
    let port = trap.port();
    let mut hosts: Vec<String> = [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "metadata.google.internal",
        "evil.example",
        "evil.example:443",
        "evil%2eexample",
        "ｅvil.example",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "evil.example\u{3002}com",
        "me:pw@evil.example",
        "localhost@evil.example",
    ]
    .map(str::to_owned)
    .to_vec();
    for host in ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1", "017700000001"]
    {
        hosts.push(format!("{host}:{port}"));
    }
    hosts.extend((2..15).map(|last| format!("127.0.0.{last}:{port}")));
    hosts
}

/// Ways to write a path so that somebody takes it for another host.
const SHAPES: [&str; 50] = [
    "//H/",
    "///H/",
    "/\\H/",
    "\\\\H\\",
    "\\/H/",
    "/\\/H/",
    "/%2f%2fH/",
    "/%5c%5cH/",
    "/%09/H/",
    "/\t/H/",
    "/\n/H/",
    "http://H/",
    "https://H/",
    "https:H/",
    "https:/H/",
    "https:\\\\H/",
    "hTTp://H",
    "@H/",
    "/@H/",
    ":80@H/",
    "user:pw@H/",
    ".H/",
    ":H/",
    "/..//H/",
    "/../../H/",
    "/a/..//H",
    "/%2e%2e//H/",
    "/./H/",
    "/?@H/",
    "/?u=http://H/",
    "?@H/",
    "#@H/",
    "/#@H/",
    "/;@H/",
    "/a;//H",
    "/ http://H/",
    "/\r\nHost: H",
    "/ HTTP/1.1\r\nHost: H\r\n\r\n",
    "/%0d%0aHost:%20H",
    "/x?\r\nHost: H",
    "/\0@H/",
    "/%00@H/",
    "/\u{2028}H",
    "/\u{ff0f}H/",
    "/\u{2044}H/",
    "H",
    "H/",
    "/H/",
    "javascript://H/%0a",
    "file://H/etc/passwd",
];

#[tokio::test]
async fn none_of_2000_hostile_urls_leads_to_anything_but_what_is_registered() {
    let upstream = Upstream::start(async |mut peer: Peer| {
        while peer.request().await.is_some() {
            peer.write(OK.as_bytes()).await;
        }
    })
    .await;
    // On every address of this machine, so that a wrong one is noticed.
    let trap = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let hosts = hosts(SocketAddr::from(([127, 0, 0, 1], trap.local_addr().unwrap().port())));
    let addresses = ["169.254.169.254", "10.0.0.1", "127.0.0.1", "127.0.0.2", "64:ff9b::1"];
    let (guard, seen) = guard(&addresses);
    let wire = Wire::new(quick(guard));
    let registered = site(upstream.address);
    let (mut urls, mut sent, mut based) = (0, 0, 0);
    for host in &hosts {
        for shape in SHAPES {
            urls += 1;
            let target = shape.replace('H', host);
            let mut call = get(&registered, &target);
            call.max_body = 100;
            match wire.call(&call).await {
                Outcome::NotSent(Unsent::Target) => {}
                outcome => {
                    read(&mut answered(outcome)).await.unwrap();
                    sent += 1;
                }
            }
            // As a base URL it is refused, or is one that leads nowhere but by its own name.
            if let Ok(origin) = format!("https://api.example{target}").parse::<Origin>() {
                based += 1;
                let (site, below) = (Site::of(&origin), format!("{}/", origin.prefix()));
                let outcome = wire.call(&get(&site, &below)).await;
                assert!(matches!(outcome, Outcome::NotSent(Unsent::Refused)), "{target:?}");
            }
        }
    }
    assert_eq!(urls, 2000);
    assert!((10..100).contains(&based), "{based} of them are base URLs");
    // What was sent came to the registered site, as a path of its own, with its own name on it.
    let requests = upstream.requests();
    assert_eq!(requests.len(), sent);
    assert!(sent > 100, "only {sent} of them were harmless");
    let host = format!("host: {}", upstream.address);
    for request in &requests {
        let hosts = request.lines().filter(|line| line.to_ascii_lowercase().starts_with("host:"));
        assert_eq!(hosts.collect::<Vec<_>>(), [&host], "{request}");
    }
    let registered = upstream.address.ip();
    assert!(seen.lock().unwrap().iter().all(|address| *address == registered));
    let trapped = tokio::time::timeout(Duration::from_millis(50), trap.accept()).await;
    assert!(trapped.is_err(), "{trapped:?}");
}
