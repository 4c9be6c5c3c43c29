//! What a call sends, and what comes back of an answer.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use hyper::http::{HeaderName, HeaderValue, Method};
use pettycash::rails::proxy::{Broken, Carried, End, Outcome, Place, Unsent};

use super::{CANARY, answered, get, read, secret, site, upstream::Upstream, wire};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi";

fn header(name: &'static str, before: &str) -> Place {
    Place::Header { name: HeaderName::from_static(name), before: before.to_owned() }
}

#[tokio::test]
async fn a_call_sends_what_it_says_and_the_secret_and_nothing_of_the_connections_own() {
    let upstream = Upstream::saying(OK).await;
    let (wire, _) = wire();
    let (site, secret) = (site(upstream.address), secret(CANARY));
    let mut call = get(&site, "/v1/things/a%20b?q=1");
    call.method = Method::POST;
    call.body = "{}".into();
    for name in [
        "accept-encoding",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    ] {
        call.headers.insert(name, HeaderValue::from_static("evil"));
    }
    call.headers.insert("content-type", HeaderValue::from_static("application/json"));
    // What an agent put where the secret goes is replaced.
    call.headers.append("authorization", HeaderValue::from_static("Bearer agents-own"));
    call.headers.append("authorization", HeaderValue::from_static("Bearer agents-other"));
    let query = Place::Query { name: "key".to_owned(), before: String::new() };
    let places = vec![header("authorization", "Bearer "), query];
    call.secret = Some(Carried { secret: &secret, places });
    let mut answer = answered(wire.call(&call).await);
    assert_eq!(
        (answer.head.status, answer.head.content_type.as_deref()),
        (200, Some("text/plain"))
    );
    assert_eq!(read(&mut answer).await.unwrap(), (b"hi".to_vec(), End::Whole));

    let mut requests = upstream.requests();
    let request = requests.remove(0);
    assert!(requests.is_empty());
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "{}");
    let mut lines: Vec<&str> = head.lines().collect();
    let key = "sk-canary%2F7%2BQ%7E%22zz";
    assert_eq!(lines.remove(0), format!("POST /v1/things/a%20b?q=1&key={key} HTTP/1.1"));
    lines.sort_unstable();
    let expected = [
        "accept-encoding: identity".to_owned(),
        format!("authorization: Bearer {CANARY}"),
        "content-length: 2".to_owned(),
        "content-type: application/json".to_owned(),
        format!("host: {}", upstream.address),
        format!("user-agent: pettycash/{}", env!("CARGO_PKG_VERSION")),
    ];
    // A client says that it takes any answer where nothing else is said.
    lines.retain(|line| *line != "accept: */*");
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_call_whose_target_would_be_mended_is_not_sent() {
    let upstream = Upstream::saying(OK).await;
    let (wire, seen) = wire();
    let site = site(upstream.address);
    for target in ["/../admin", "//evil.example/", "@evil.example/", "/a#b", "", "/a\r\nx: y"] {
        let outcome = wire.call(&get(&site, target)).await;
        assert!(matches!(outcome, Outcome::NotSent(Unsent::Target)), "{target:?}: {outcome:?}");
    }
    assert_eq!((upstream.accepted(), seen.lock().unwrap().len()), (0, 0));
}

#[tokio::test]
async fn only_headers_that_were_asked_for_come_back_and_none_with_the_secret() {
    let text = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: text/{CANARY}\r\nset-cookie: a=b\r\n\
         request-id: one\r\nrequest-id: {CANARY}\r\nx-echo: Bearer {CANARY}\r\n\
         x-echo: Basic {}\r\nx-echo: caf\u{e9}\r\n\
         {}: x\r\ncontent-length: 0\r\n\r\n",
        Base64::encode_string(format!("user:{CANARY}").as_bytes()),
        "x-sk-canary"
    );
    let upstream = Upstream::saying(text).await;
    let (wire, _) = wire();
    let (site, secret) = (site(upstream.address), secret(CANARY));
    let mut call = get(&site, "/");
    call.secret = Some(Carried { secret: &secret, places: vec![header("x-api-key", "")] });
    let mut answer = answered(wire.call(&call).await);
    assert_eq!(answer.head.status, 403);
    assert_eq!(answer.head.content_type.as_deref(), Some("text/[redacted]"));
    let headers: Vec<_> =
        answer.head.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let expected = [
        ("request-id", "one"),
        ("request-id", "[redacted]"),
        ("x-echo", "Bearer [redacted]"),
        ("x-echo", "Basic dXNlcj[redacted]=="),
    ];
    assert_eq!(headers, expected);
    assert_eq!(read(&mut answer).await.unwrap(), (Vec::new(), End::Whole));
}

#[tokio::test]
async fn a_body_comes_as_it_is_written_and_ends_where_it_has_to() {
    let upstream = Upstream::start(async |mut peer: super::upstream::Peer| {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        peer.write(b"9\r\ndata: 1\n\n\r\n").await;
        // It says no more, and stays.
        peer.request().await;
    })
    .await;
    let (wire, _) = wire();
    let site = site(upstream.address);
    let mut answer = answered(wire.call(&get(&site, "/")).await);
    assert_eq!(answer.body.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    assert_eq!(answer.body.end(), None);
    // The deadline is of the whole call.
    assert_eq!(answer.body.chunk().await, Err(Broken::TimedOut));
    assert_eq!(answer.body.chunk().await, Ok(None));

    let text = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789";
    for (max_body, kept, end) in [
        (11, "0123456789", End::Whole),
        (10, "0123456789", End::Whole),
        (9, "012345678", End::Truncated),
        (0, "", End::Truncated),
    ] {
        let upstream = Upstream::saying(text).await;
        let site = super::site(upstream.address);
        let mut call = get(&site, "/");
        call.max_body = max_body;
        let mut answer = answered(wire.call(&call).await);
        assert_eq!(read(&mut answer).await.unwrap(), (kept.as_bytes().to_vec(), end));
    }
}

#[tokio::test]
async fn a_body_that_is_cut_amid_the_secret_gives_none_of_it() {
    let text = format!("HTTP/1.1 200 OK\r\n\r\nyour key is {CANARY}");
    let upstream = Upstream::saying(text).await;
    let (wire, _) = wire();
    let (site, secret) = (site(upstream.address), secret(CANARY));
    for max_body in 12..29 {
        let mut call = get(&site, "/");
        call.max_body = max_body;
        call.secret = Some(Carried { secret: &secret, places: vec![header("x-api-key", "")] });
        let mut answer = answered(wire.call(&call).await);
        let (body, end) = read(&mut answer).await.unwrap();
        let expected = if max_body == 12 { "your key is " } else { "your key is [redacted]" };
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        assert_eq!(end, End::Truncated);
    }
}

#[tokio::test]
async fn while_nobody_reads_the_other_side_waits() {
    const MANY: usize = 64 << 20;
    let upstream = Upstream::start(async |mut peer: super::upstream::Peer| {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\n\r\n").await;
        peer.write_on(&[b'x'; 1 << 14]).await;
    })
    .await;
    let (wire, _) = wire();
    let site = site(upstream.address);
    let mut call = get(&site, "/");
    call.within = Duration::from_secs(60);
    call.max_body = MANY as u64;
    let mut answer = answered(wire.call(&call).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let unread = upstream.written();
    // What the kernel holds on both sides, and one chunk.
    assert!(unread < 16 << 20, "{unread} bytes were taken without a reader");
    let mut largest = 0;
    let mut all = 0;
    while let Some(chunk) = answer.body.chunk().await.unwrap() {
        largest = largest.max(chunk.len());
        all += chunk.len();
    }
    assert_eq!((all, answer.body.end()), (MANY, Some(End::Truncated)));
    assert!(largest < 1 << 20, "a chunk of {largest} bytes");
}
