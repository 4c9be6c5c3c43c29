use std::{os::unix::net, path::PathBuf};

use axum::routing::{get, post};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::clock::instant;

/// A socket with some odd paths, served until it is told to end.
struct Served {
    dir: TempDir,
    end: watch::Sender<Option<End>>,
    connections: Tally,
    serving: JoinHandle<()>,
}

impl Served {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (end, connections) = (watch::Sender::new(None), Tally::new());
        let router = Router::new()
            .route("/fine", get(async || "fine"))
            .route("/slow", get(async || sleep(Duration::from_millis(600)).await))
            .route("/panic", post(async || -> () { panic!("as it was asked to") }));
        let unlink = move || std::fs::remove_file(path).unwrap();
        let serving = serve_socket(listener, router, connections.clone(), end.subscribe(), unlink);
        Self { dir, end: end.clone(), connections, serving: tokio::spawn(serving) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path()).await.unwrap()
    }

    /// Ends, and says how long it took until every connection was closed.
    async fn end(self) -> Duration {
        let start = instant();
        self.end.send_replace(Some(End::Asked));
        self.serving.await.unwrap();
        timeout(Duration::from_secs(10), self.connections.none()).await.unwrap();
        start.elapsed()
    }
}

async fn ask(stream: &mut UnixStream, line: &str) {
    let request = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// Reads until `needle` has come, or the end.
async fn read(stream: &mut UnixStream, needle: &str) -> String {
    let mut text = String::new();
    let mut some = [0; 1_024];
    while !text.contains(needle) {
        let read = timeout(Duration::from_secs(10), stream.read(&mut some)).await.unwrap().unwrap();
        if read == 0 {
            break;
        }
        text.push_str(std::str::from_utf8(&some[..read]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_panic_is_answered_and_the_connection_goes_on() {
    let served = Served::new();
    let mut stream = served.connect().await;
    ask(&mut stream, "POST /panic").await;
    let answer = read(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains(r#""code":"internal_error""#), "{answer}");
    assert!(!answer.contains("as it was asked to"), "{answer}");
    ask(&mut stream, "GET /fine").await;
    assert!(read(&mut stream, "fine").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn the_end_waits_for_what_is_under_way_and_for_nothing_else() {
    let served = Served::new();
    let (mut slow, mut idle, fresh) =
        (served.connect().await, served.connect().await, served.connect().await);
    ask(&mut idle, "GET /fine").await;
    read(&mut idle, "fine").await;
    ask(&mut slow, "GET /slow").await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(served.connections.now(), 3);
    let took = served.end().await;
    assert!(read(&mut slow, "\r\n\r\n").await.starts_with("HTTP/1.1 200 "), "it was finished");
    assert_eq!(read(&mut idle, "anything").await, "");
    assert!(Duration::from_millis(400) < took && took < Duration::from_secs(3), "{took:?}");
    drop(fresh);
}

#[tokio::test]
async fn who_connects_as_it_ends_is_answered_and_who_comes_later_finds_nobody() {
    let served = Served::new();
    let path = served.path();
    // It connects and asks while this thread, the only one, accepts nothing.
    let mut late = net::UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut late, b"GET /fine HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    served.end().await;
    late.set_nonblocking(true).unwrap();
    let mut late = UnixStream::from_std(late).unwrap();
    assert!(read(&mut late, "fine").await.ends_with("fine"));
    assert!(net::UnixStream::connect(&path).is_err());
}
