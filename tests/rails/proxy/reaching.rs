//! Whom a call connects to, and when it is sure that nothing was sent.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use pettycash::rails::proxy::{Carried, Guard, Outcome, Place, Setup, Unsent, Wire};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

use super::{
    CANARY, answered, get, guard, quick, read, secret, site, site_of,
    upstream::{Upstream, request_of},
    wire,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn unsent(outcome: &Outcome) -> Unsent {
    match outcome {
        Outcome::NotSent(unsent) => *unsent,
        other => panic!("it is not proved that nothing was sent: {other:?}"),
    }
}

#[tokio::test]
async fn a_name_is_connected_to_where_it_may_be_and_nowhere_else() {
    let upstream = Upstream::saying(OK).await;
    let port = upstream.address.port();
    let everywhere = ["10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "127.0.0.1", "fd00::1"];
    let (guard, seen) = guard(&everywhere);
    let wire = Wire::new(quick(guard));
    let here = site_of(&format!("http://localhost:{port}"));
    read(&mut answered(wire.call(&get(&here, "/")).await)).await.unwrap();
    let expected: [std::net::IpAddr; 1] = ["127.0.0.1".parse().unwrap()];
    assert_eq!(*seen.lock().unwrap(), expected);
    // A name of the Internet that leads to this machine or next to it leads nowhere.
    for host in ["api.example.com", "localhost.example.com", "a.localhost", "xn--lcalhost-n4a"] {
        let site = site_of(&format!("https://{host}:{port}"));
        assert_eq!(unsent(&wire.call(&get(&site, "/")).await), Unsent::Refused, "{host}");
    }
    assert_eq!((upstream.accepted(), seen.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let upstream = Upstream::saying(OK).await;
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let lookup = move |_| {
        let first = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        let address = if first { "127.0.0.1" } else { "169.254.169.254" }.parse().unwrap();
        Box::pin(async move { Ok(vec![address]) }) as futures_util::future::BoxFuture<'static, _>
    };
    let wire = Wire::new(quick(Guard::new(Arc::new(lookup), Arc::new(|_| ()))));
    let site = site_of(&format!("http://localhost:{}", upstream.address.port()));
    read(&mut answered(wire.call(&get(&site, "/")).await)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(unsent(&wire.call(&get(&site, "/")).await), Unsent::Refused);
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_name_without_an_address_is_asked_for_again_and_then_given_up() {
    let (guard, seen) = guard(&[]);
    let wire = Wire::new(Setup { pause: Duration::from_millis(50), ..quick(guard) });
    let site = site_of("https://api.example.com");
    let mut call = get(&site, "/");
    call.within = Duration::from_secs(20);
    let began = Instant::now();
    assert_eq!(unsent(&wire.call(&call).await), Unsent::Unresolved);
    // 50 ms and 200 ms between three times.
    assert!((250..2500).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent_and_it_is_tried_three_times() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (wire, seen) = wire();
    let site = site(gone);
    let mut call = get(&site, "/");
    call.within = Duration::from_secs(20);
    assert_eq!(unsent(&wire.call(&call).await), Unsent::Unreachable);
    assert_eq!(seen.lock().unwrap().len(), 3);
    // Where there is no time for a second connect to end, there is none.
    call.within = Duration::from_secs(2);
    assert_eq!(unsent(&wire.call(&call).await), Unsent::Unreachable);
    assert_eq!(seen.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_connect_that_hangs_ends_before_the_call_does_and_proves_that_nothing_was_sent() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        waiting.push(stream);
    }
    let (wire, _) = wire();
    let site = site(address);
    let mut call = get(&site, "/");
    call.within = Duration::from_millis(1);
    let began = Instant::now();
    assert_eq!(unsent(&wire.call(&call).await), Unsent::Unreachable);
    assert!((900..1900).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

/// A server of TLS that is `localhost`: what requests it got is told when it ends.
async fn tls() -> (SocketAddr, tokio::task::JoinHandle<Vec<Option<String>>>) {
    let leaf = CertificateDer::from_slice(include_bytes!("certs/leaf.der"));
    let key = PrivateKeyDer::try_from(include_bytes!("certs/leaf.key").as_slice()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            while let Some(request) = request_of(&mut stream).await {
                got.push(Some(request));
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        } else {
            got.push(None);
        }
        got
    });
    (address, task)
}

#[tokio::test]
async fn tls_is_spoken_with_whom_we_trust_and_with_nobody_else() {
    let trusting = |trusted| {
        let (guard, _) = guard(&["127.0.0.1"]);
        Wire::new(Setup { trusted, ..quick(guard) })
    };
    let authority = || Some(vec![include_bytes!("certs/ca.der").to_vec()]);
    let secret = secret(CANARY);
    let carried = || {
        let name = hyper::http::HeaderName::from_static("x-api-key");
        let places = vec![Place::Header { name, before: String::new() }];
        Some(Carried { secret: &secret, places })
    };

    let (address, server) = tls().await;
    let wire = trusting(authority());
    let site = site_of(&format!("https://localhost:{}", address.port()));
    let mut call = get(&site, "/v1");
    call.secret = carried();
    for _ in 0..2 {
        let mut answer = answered(wire.call(&call).await);
        assert_eq!(read(&mut answer).await.unwrap().0, b"hi");
    }
    drop(wire);
    let got = server.await.unwrap();
    assert_eq!(got.len(), 2);
    assert!(got[0].as_ref().unwrap().contains(CANARY));

    // Nobody we trust signed it; it is not for that address; it speaks no TLS at all.
    for (trusted, host) in
        [(None, "localhost"), (Some(vec![]), "localhost"), (authority(), "127.0.0.1")]
    {
        let (address, server) = tls().await;
        let site = site_of(&format!("https://{host}:{}", address.port()));
        let mut call = get(&site, "/v1");
        call.secret = carried();
        assert_eq!(unsent(&trusting(trusted).call(&call).await), Unsent::Tls, "{host}");
        assert_eq!(server.await.unwrap(), [None], "{host}");
    }
    let upstream = Upstream::start(async |mut peer: super::upstream::Peer| {
        let mut hello = [0; 64];
        let _ = peer.stream.read(&mut hello).await;
        peer.write(OK.as_bytes()).await;
    })
    .await;
    let site = site_of(&format!("https://{}", upstream.address));
    assert_eq!(unsent(&trusting(authority()).call(&get(&site, "/")).await), Unsent::Tls);
}

#[tokio::test]
async fn a_handshake_that_hangs_proves_that_nothing_was_sent() {
    let upstream = Upstream::start(async |mut peer: super::upstream::Peer| {
        let mut bytes = Vec::new();
        let _ = peer.stream.read_to_end(&mut bytes).await;
    })
    .await;
    let (wire, _) = wire();
    let site = site_of(&format!("https://{}", upstream.address));
    let mut call = get(&site, "/");
    call.within = Duration::from_millis(1);
    assert_eq!(unsent(&wire.call(&call).await), Unsent::Unreachable);
}
