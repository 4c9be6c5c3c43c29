//! Upstreams that mean harm: each call ends in time, in the right kind, and holds little.

use std::time::Duration;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use hyper::http::{HeaderName, Method};
use pettycash::rails::proxy::{Broken, Carried, End, Outcome, Place};
use tokio::{io::AsyncReadExt, net::TcpListener, time::Instant};

use super::{
    CANARY, answered, get, read, secret, site,
    upstream::{Peer, Upstream},
    wire,
};

/// More than a call of two seconds takes.
const IN_TIME: Duration = Duration::from_secs(5);

/// What becomes of a call to that upstream: of its head, or of its body.
async fn ends(upstream: &Upstream) -> Result<(u16, usize, End), Broken> {
    ends_within(upstream, Duration::from_secs(2)).await
}

async fn ends_within(upstream: &Upstream, within: Duration) -> Result<(u16, usize, End), Broken> {
    let (wire, _) = wire();
    let site = site(upstream.address);
    let mut call = get(&site, "/");
    call.within = within;
    let began = Instant::now();
    let ended = match wire.call(&call).await {
        Outcome::Broken(broken) => Err(broken),
        outcome => {
            let mut answer = answered(outcome);
            let status = answer.head.status;
            read(&mut answer).await.map(|(body, end)| (status, body.len(), end))
        }
    };
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    // Not even a request for something that changes nothing is made twice.
    assert_eq!(upstream.accepted(), 1);
    ended
}

async fn saying(answer: &str) -> Result<(u16, usize, End), Broken> {
    // There would be time to try again.
    ends_within(&Upstream::saying(answer).await, Duration::from_secs(20)).await
}

#[tokio::test]
async fn one_that_says_nothing_or_hardly_anything_is_left_when_the_time_is_up() {
    let hangs = Upstream::start(async |mut peer: Peer| {
        peer.request().await;
        peer.request().await;
    })
    .await;
    let drips_head = Upstream::start(async |mut peer: Peer| {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\nx: ").await;
        while peer.write(b"y").await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let drips_body = Upstream::start(async |mut peer: Peer| {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while peer.write(b"y").await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let continues = Upstream::start(async |mut peer: Peer| {
        peer.request().await;
        peer.write_on(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n",
        )
        .await;
    })
    .await;
    let (a, b, c, d) =
        tokio::join!(ends(&hangs), ends(&drips_head), ends(&drips_body), ends(&continues));
    for (which, ended) in [("hangs", a), ("drips a head", b), ("drips a body", c), ("1xx", d)] {
        assert_eq!(ended, Err(Broken::TimedOut), "{which}");
    }
}

#[tokio::test]
async fn one_that_never_stops_is_left_at_the_limit() {
    let endless = Upstream::start(async |mut peer: Peer| {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\n\r\n").await;
        peer.write_on(&[b'x'; 1 << 14]).await;
    })
    .await;
    assert_eq!(ends(&endless).await, Ok((200, 1 << 20, End::Truncated)));
    let chunks = Upstream::start(async |mut peer: Peer| {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        peer.write_on(b"1\r\nx\r\n1;ext=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\nx\r\n").await;
    })
    .await;
    // Extensions of chunks are padding that says nothing: a client gives up on many.
    assert_eq!(ends(&chunks).await, Err(Broken::Cut));
    for (what, part) in [("one header", "y".repeat(4096)), ("many", "a: b\r\n".repeat(500))] {
        let flood = Upstream::start(move |mut peer: Peer| {
            let part = part.clone();
            async move {
                peer.request().await;
                peer.write(b"HTTP/1.1 200 OK\r\nx: y").await;
                peer.write(if part.starts_with('a') { b"\r\n" } else { b"" }).await;
                peer.write_on(part.as_bytes()).await;
            }
        })
        .await;
        assert_eq!(ends(&flood).await, Err(Broken::HeadTooLong), "{what}");
        // What the kernel holds, and the 400 KiB that are looked at.
        assert!(flood.written() < 16 << 20, "{what}: {}", flood.written());
    }
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(129));
    assert_eq!(saying(&many).await, Err(Broken::HeadTooLong));
}

#[tokio::test]
async fn one_that_packs_its_answer_is_not_unpacked() {
    // A thousand zeros in gzip, and what claims to be more of it.
    let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x63\x60\x18\x05\xa3\x60\xe8";
    for (named, body, end) in [
        ("content-encoding: gzip\r\n", 0, End::Packed),
        ("content-encoding: GZIP, br\r\n", 0, End::Packed),
        ("content-encoding: identity\r\n", packed.len(), End::Whole),
        ("", packed.len(), End::Whole),
    ] {
        let mut text = format!("HTTP/1.1 200 OK\r\n{named}\r\n").into_bytes();
        text.extend_from_slice(packed);
        assert_eq!(ends(&Upstream::saying(text).await).await, Ok((200, body, end)), "{named}");
    }
}

#[tokio::test]
async fn one_that_sends_elsewhere_is_not_followed() {
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let trapped = format!("http://{}/", trap.local_addr().unwrap());
    for to in ["http://169.254.169.254/latest/meta-data", trapped.as_str(), "/", "//10.0.0.1/"] {
        for status in [301, 302, 303, 307, 308] {
            let text =
                format!("HTTP/1.1 {status} Go\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
            let upstream = Upstream::saying(text).await;
            let (wire, seen) = wire();
            let site = site(upstream.address);
            let answer = answered(wire.call(&get(&site, "/")).await);
            assert_eq!(answer.head.status, status);
            assert_eq!(answer.head.headers[0].1, to);
            assert_eq!((upstream.accepted(), seen.lock().unwrap().len()), (1, 1));
        }
    }
    let caught = tokio::time::timeout(Duration::from_millis(50), trap.accept()).await;
    assert!(caught.is_err());
}

#[tokio::test]
async fn one_that_lies_about_a_length_is_believed_no_further_than_it_goes() {
    let says = |length: &str| format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\nhello");
    let length = |length: &str| says(&format!("content-length: {length}"));
    assert_eq!(saying(&length("3")).await, Ok((200, 3, End::Whole)));
    for longer in ["6", "5000000", "18446744073709551613"] {
        assert_eq!(saying(&length(longer)).await, Err(Broken::Cut), "{longer}");
    }
    for strange in ["-1", "+5", "5, 6", "0x5", "5 5", "99999999999999999999999999", "five"] {
        assert_eq!(saying(&length(strange)).await, Err(Broken::NotHttp), "{strange}");
    }
    assert_eq!(saying(&says("content-length: 5\r\ncontent-length: 6")).await, Err(Broken::NotHttp));
}

#[tokio::test]
async fn one_that_writes_garbage_is_told_from_one_that_answers() {
    let chunked =
        |body: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    for body in [
        "zz\r\nhello\r\n",
        "-1\r\nx\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "ffffffffffffffffff\r\nx",
        "5\r\nhe",
    ] {
        assert_eq!(saying(&chunked(body)).await, Err(Broken::Cut), "{body:?}");
    }
    // Not HTTP at all, HTTP of before there were heads, and heads with what no head has.
    for text in [
        "hello\r\n\r\n",
        "<html>a page of HTTP/0.9</html>\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx\0y: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\n x: folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        assert_eq!(saying(text).await, Err(Broken::NotHttp), "{text:?}");
    }
    for cut in ["", "H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nx: y\r\n"] {
        assert_eq!(saying(cut).await, Err(Broken::Closed), "{cut:?}");
    }
}

#[tokio::test]
async fn one_that_answers_before_it_has_read_is_heard() {
    // Once it has seen the head, or at once, with no request to answer.
    for waits in [true, false] {
        let upstream = Upstream::start(move |mut peer: Peer| async move {
            if waits {
                let _ = peer.stream.peek(&mut [0]).await;
            }
            peer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await;
            // It reads on without looking, as servers do that want their answer to arrive.
            let mut buffer = vec![0; 1 << 16];
            while peer.stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
        })
        .await;
        let (wire, _) = wire();
        let site = site(upstream.address);
        let mut call = get(&site, "/");
        call.method = Method::POST;
        call.body = vec![b'x'; 8 << 20].into();
        let began = Instant::now();
        match wire.call(&call).await {
            // Nobody knows what it answered then.
            Outcome::Broken(broken) => {
                assert!(!waits && matches!(broken, Broken::Closed | Broken::NotHttp), "{broken:?}");
            }
            outcome => {
                let mut answer = answered(outcome);
                assert_eq!(answer.head.status, 413);
                assert_eq!(read(&mut answer).await.unwrap().0, b"no");
            }
        }
        assert!(began.elapsed() < IN_TIME);
        assert_eq!(upstream.accepted(), 1);
    }
}

/// A text of which each character is written in that way.
fn each(text: &str, write: impl Fn(char) -> String) -> String {
    text.chars().map(write).collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn one_that_repeats_the_secret_in_every_way_is_not_heard_with_it() {
    let percent = each(CANARY, |c| format!("%{:02x}", u32::from(c)));
    let unicode = each(CANARY, |c| format!("\\u{:04X}", u32::from(c)));
    let mut ways = vec![
        CANARY.to_owned(),
        percent,
        unicode,
        serde_json::to_string(CANARY).unwrap(),
        format!("Bearer {CANARY}"),
        "sk-canary%2F7%2BQ~%22zz".to_owned(),
    ];
    for before in ["", "a", "ab", "user:"] {
        let text = format!("{before}{CANARY}!");
        ways.extend([
            Base64::encode_string(text.as_bytes()),
            Base64UrlUnpadded::encode_string(text.as_bytes()),
        ]);
    }
    let secret = secret(CANARY);
    for way in ways {
        // In the body byte by byte, each in a chunk of its own, and in a header.
        let head =
            format!("HTTP/1.1 401 No\r\nx-echo: {way}\r\ntransfer-encoding: chunked\r\n\r\n");
        let body = each(&way, |c| format!("1\r\n{c}\r\n"));
        let text = format!("{head}1\r\n<\r\n{body}1\r\n>\r\n0\r\n\r\n");
        let upstream = Upstream::saying(text).await;
        let (wire, _) = wire();
        let site = site(upstream.address);
        let mut call = get(&site, "/");
        let name = HeaderName::from_static("x-api-key");
        let places = vec![Place::Header { name, before: String::new() }];
        call.secret = Some(Carried { secret: &secret, places });
        let mut answer = answered(wire.call(&call).await);
        let (body, end) = read(&mut answer).await.unwrap();
        assert_eq!(end, End::Whole);
        let body = String::from_utf8(body).unwrap();
        let echoed = &answer.head.headers[0].1;
        assert_eq!(&body, &format!("<{echoed}>"), "{way}");
        // At most what has to do with what stands around it in Base64 is left.
        let left = echoed.replace("[redacted]", "");
        assert!(echoed.contains("[redacted]") && left.len() <= 8, "{way}: {echoed}");
        assert!(!format!("{answer:?}").contains("canary"));
    }
}
