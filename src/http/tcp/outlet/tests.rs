use std::{convert::Infallible, time::Duration};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::oneshot,
    task::{JoinHandle, yield_now},
    time::sleep,
};

use super::*;

/// What the connection takes at once, and much more than that.
const TAKES: usize = 256;
const ANSWERED: usize = 4_096;

/// What is under way until this is dropped.
type Busy = oneshot::Sender<()>;

/// Asks once, and gives the client's end, what tells that the request is no longer under way, and
/// the server's task.
async fn asked() -> (DuplexStream, oneshot::Receiver<()>, JoinHandle<hyper::Result<()>>) {
    let (mut client, server) = duplex(TAKES);
    let (busy, over) = oneshot::channel();
    let busy: Mutex<Option<Busy>> = Mutex::new(Some(busy));
    let unsent = Unsent::new();
    let outlet = TokioIo::new(Outlet::new(server, unsent.clone()));
    let answering = tokio::spawn(async move {
        let service = service_fn(move |_: Request<Incoming>| {
            let body = Full::new(Bytes::from_static(&[b'x'; ANSWERED]));
            let answer = Answer::new(body, busy.lock().unwrap().take(), unsent.clone());
            async { Ok::<_, Infallible>(Response::new(answer)) }
        });
        http1::Builder::new().serve_connection(outlet, service).await
    });
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    (client, over, answering)
}

#[tokio::test(start_paused = true)]
async fn a_request_is_under_way_until_all_of_its_answer_has_left() {
    let (mut client, mut over, _answering) = asked().await;
    // The answer is long since there; its reader is not.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(over.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    let mut read = vec![0; ANSWERED - TAKES];
    client.read_exact(&mut read).await.unwrap();
    assert!(read.starts_with(b"HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n"), "as long as it was");
    assert_eq!(over.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    client.read_exact(&mut read[..TAKES]).await.unwrap();
    yield_now().await;
    assert_eq!(over.try_recv(), Err(oneshot::error::TryRecvError::Closed));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_not_waited_for_for_ever() {
    let (_client, over, answering) = asked().await;
    sleep(LEAVES_WITHIN.mul_f64(0.9)).await;
    assert!(!answering.is_finished());
    sleep(Duration::from_secs(2)).await;
    assert!(answering.is_finished() && answering.await.unwrap().is_err());
    assert!(over.await.is_err(), "nothing is under way any more");
}

#[tokio::test(start_paused = true)]
async fn who_reads_little_by_little_gets_all_of_it() {
    let (mut client, over, answering) = asked().await;
    let mut read = vec![0; TAKES];
    for _ in 0..ANSWERED / TAKES {
        sleep(LEAVES_WITHIN.mul_f64(0.9)).await;
        client.read_exact(&mut read).await.unwrap();
    }
    assert!(!answering.is_finished(), "its head was read too, so there is more");
    client.read_exact(&mut read[..64]).await.unwrap();
    assert!(over.await.is_err(), "all of it has left");
}
