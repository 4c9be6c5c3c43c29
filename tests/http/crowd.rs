//! Ten thousand payers, each with a payment outstanding, while their agent is revoked.
//!
//! Eight share a connection, which serves one request after the other: 1,250 payments at most are
//! served at once, and the others wait in their connections.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::sleep,
    time::Duration,
};

use pettycash::clock::instant;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
};

use super::load::{allow_files, assert_none_decided_late, open};
use crate::support::{mcp_raw::modern_meta, web::Web, web::call, web::message_headers};

/// How many share a connection, for there are not as many seats as payers, and an agent has half of
/// them at most: each sends its payment while those before it are not answered yet.
const SHARE: usize = 8;
const PAYERS: usize = 10_000;
/// How many of the payers pay in sessions of 2025-11-25, one for each connection.
const IN_SESSIONS: usize = 400;
/// Of another agent, on connections of their own.
const OTHERS: usize = 96;
/// How many payments of each agent's must have been made before the revocation, and how many of the
/// other agent's after it.
const ENOUGH: usize = 20;

/// What is counted over all connections.
#[derive(Default)]
struct Counts {
    /// Payers that have a payment outstanding.
    outstanding: AtomicUsize,
    paid: AtomicUsize,
    others_paid: AtomicUsize,
    /// The revocation is acknowledged.
    revoked: AtomicBool,
    over: AtomicBool,
}

/// A payment in a session of its own, or one that needs none.
fn payment(web: &Web, token: &str, in_session: bool) -> String {
    let pay = call(7, "pay_for_api_call", json!({"service_id": "search"}));
    let mut pay: Value = serde_json::from_str(&pay).unwrap();
    let more = if in_session {
        let session = web.connect().initialize(token);
        format!("MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: {session}")
    } else {
        pay["params"]["_meta"] = modern_meta();
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n\
         Mcp-Name: pay_for_api_call"
            .to_owned()
    };
    let pay = pay.to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {}\r\n{}\r\n{more}\r\nContent-Length: {}\r\n\r\n{pay}",
        web.host(),
        message_headers(token).join("\r\n"),
        pay.len()
    )
}

/// The status and the body of the next answer.
async fn answer(stream: &mut BufReader<TcpStream>) -> (u16, Value) {
    let (mut status, mut length, mut line) = (0, 0, String::new());
    while {
        line.clear();
        assert!(stream.read_line(&mut line).await.unwrap() > 0, "cut off");
        !line.trim().is_empty()
    } {
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        } else if let Some(rest) = line.to_lowercase().strip_prefix("content-length: ") {
            length = rest.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Pays for some payers on one connection, each again as soon as it is answered: until each was
/// refused what it asked after the acknowledgement, or, of the other agent, until it is over.
async fn payers(address: SocketAddr, payment: String, others: bool, counts: Arc<Counts>) {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    stream.get_ref().set_nodelay(true).unwrap();
    // Of each payment that is outstanding, whether it was asked after the acknowledgement.
    let mut late = VecDeque::new();
    for _ in 0..SHARE {
        late.push_back(counts.revoked.load(SeqCst));
        stream.get_mut().write_all(payment.as_bytes()).await.unwrap();
        counts.outstanding.fetch_add(1, SeqCst);
    }
    while let Some(too_late) = late.pop_front() {
        let (status, told) = answer(&mut stream).await;
        let answer = &told["result"]["structuredContent"];
        let paid = status == 200 && answer["outcome"] == "paid";
        // Whose session was let go of just before he came was not even heard.
        let unheard = status == 404 && told["error"]["code"] == -32001;
        let refused = status == 401 || unheard || answer["code"] == "agent_revoked";
        assert!(paid || refused && !others, "{status} {told}");
        assert!(!(paid && too_late && !others), "paid after the acknowledgement: {told}");
        let sum = if others { &counts.others_paid } else { &counts.paid };
        sum.fetch_add(usize::from(paid), SeqCst);
        if counts.over.load(SeqCst) || too_late && !others {
            counts.outstanding.fetch_sub(1, SeqCst);
            continue;
        }
        late.push_back(counts.revoked.load(SeqCst));
        stream.get_mut().write_all(payment.as_bytes()).await.unwrap();
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = instant();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came to be that {what}");
        sleep(Duration::from_millis(5));
    }
}

async fn all_end(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[test]
fn nothing_of_ten_thousand_payers_is_paid_once_the_revocation_is_acknowledged() {
    allow_files(PAYERS / SHARE * 2);
    let web = open(2, 1);
    let counts = Arc::new(Counts::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let [others, revokees] = [("a1", OTHERS), ("a0", PAYERS)].map(|(agent, many)| {
        let token = web.token(agent, 0);
        let mut tasks = JoinSet::new();
        for connection in 0..many / SHARE {
            let in_session = agent == "a0" && connection < IN_SESSIONS / SHARE;
            let payment = payment(&web, &token, in_session);
            let pay = payers(web.address, payment, agent == "a1", counts.clone());
            tasks.spawn_on(pay, runtime.handle());
        }
        tasks
    });
    let count = |of: &AtomicUsize| of.load(SeqCst);
    until("everybody pays", || {
        let outstanding = count(&counts.outstanding) == PAYERS + OTHERS;
        outstanding && count(&counts.paid) > ENOUGH && count(&counts.others_paid) > ENOUGH
    });
    web.house.operator("agent revoke a0 --reason compromised");
    counts.revoked.store(true, SeqCst);
    let spent = || web.house.operator_json("agent show a0")["spent_usd"].clone();
    let (spent_then, others_then) = (spent(), count(&counts.others_paid));
    runtime.block_on(all_end(revokees));
    until("the other agent pays on", || count(&counts.others_paid) > others_then + ENOUGH);
    counts.over.store(true, SeqCst);
    runtime.block_on(all_end(others));
    assert_eq!(spent(), spent_then, "authorised after the acknowledgement");
    let cents: usize = spent_then.as_str().unwrap().replace('.', "").parse().unwrap();
    assert_eq!(cents, 2 * count(&counts.paid), "all were told");
    assert_eq!(web.house.operator("verify"), "");
    assert_none_decided_late(&web);
}
