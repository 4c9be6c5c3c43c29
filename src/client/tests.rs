use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

use super::*;
use crate::{clock::instant, home::Sockets, policy::terms::Health};

/// A `serve` that breaks off so many connections once it has read from them, then answers.
struct Brittle {
    socket: PathBuf,
    asked: Arc<AtomicUsize>,
    _dir: TempDir,
}

impl Brittle {
    fn new(breaks: usize, answer: &'static str) -> Self {
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut some = [0; 4_096];
                    while stream.read(&mut some).await.is_ok_and(|read| read > 0) {
                        if count.fetch_add(1, Ordering::SeqCst) < breaks {
                            break;
                        }
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        Self { socket, asked, _dir: dir }
    }

    fn finder(&self) -> Finder {
        let (agent, operator) = (self.socket.clone(), self.socket.clone());
        let sockets = Sockets { agent, operator };
        Arc::new(move || std::future::ready(Ok(sockets.clone())).boxed())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn nobody() -> Finder {
    let unstarted = Unstarted { what: "nobody serves".to_owned(), cause: None, hint: None };
    Arc::new(move || std::future::ready(Err(unstarted.clone())).boxed())
}

const PAID: &str = "HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"outcome\":\"paid\"}";
const HEALTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 65\r\n\r\n\
    {\"pid\":1,\"version\":\"0\",\"started_by\":\"client\",\"connections\":    1}";
const DENIED: &str = "HTTP/1.1 409 Conflict\r\ncontent-length: 57\r\n\r\n\
    {\"status\":409,\"code\":\"handle_taken\",\"detail\":\"is taken.\"}";

async fn call(client: &Client) -> Called {
    let (tool, call_id, arguments) = ("pay_for_api_call", "call_1", json!({}));
    client.call(Call { tool, agent: "scout", run: None, call_id, arguments, via: None }).await
}

#[tokio::test]
async fn a_call_is_sent_again_when_the_connection_breaks() {
    let serve = Brittle::new(3, PAID);
    let client = Client::new(serve.finder());
    assert_eq!(call(&client).await, Called::Answered(json!({"outcome": "paid"})));
    assert_eq!(serve.asked(), 4);
}

#[tokio::test]
async fn a_call_that_is_never_answered_was_maybe_sent() {
    let serve = Brittle::new(usize::MAX, PAID);
    let start = instant();
    assert_eq!(call(&Client::new(serve.finder())).await, Called::MaybeSent);
    let took = start.elapsed();
    assert!(Duration::from_secs(4) < took && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_call_that_found_nobody_was_never_sent() {
    let start = instant();
    assert_eq!(call(&Client::new(nobody())).await, Called::NeverSent);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn connections_are_kept() {
    let serve = Brittle::new(0, PAID);
    let counted = Arc::new(AtomicUsize::new(0));
    let (count, finder) = (Arc::clone(&counted), serve.finder());
    let client = Client::new(Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        finder()
    }));
    for _ in 0..3 {
        assert!(matches!(call(&client).await, Called::Answered(_)));
    }
    assert_eq!(counted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_operators_act_is_not_sent_again_once_it_may_have_arrived() {
    let serve = Brittle::new(1, HEALTH);
    let operator = Operator::new(serve.finder());
    let stopped = operator.stop().await.unwrap_err();
    assert!(
        matches!(stopped, ClientError::Unreachable { may_have_been_done: true, .. }),
        "{stopped:?}"
    );
    assert_eq!(serve.asked(), 1);
}

#[tokio::test]
async fn an_operators_reading_is_sent_again() {
    let serve = Brittle::new(2, HEALTH);
    let health: Health = Operator::new(serve.finder()).health().await.unwrap();
    assert_eq!((health.pid, serve.asked()), (1, 3));
}

#[tokio::test]
async fn a_no_is_told_as_the_problem_it_is() {
    let serve = Brittle::new(0, DENIED);
    let no = Operator::new(serve.finder()).health().await.unwrap_err();
    let ClientError::Problem(problem) = no else { panic!("{no:?}") };
    assert_eq!((problem.status, problem.code.as_str()), (409, "handle_taken"));
}

#[tokio::test]
async fn an_operator_who_found_nobody_is_told_so() {
    let nobody = Operator::new(nobody()).stop().await.unwrap_err();
    assert!(matches!(nobody, ClientError::Unstarted(_)), "{nobody:?}");
}
