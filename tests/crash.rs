//! `kill -9`, again and again, while agents pay: whatever was acknowledged is there, once.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt;
use pettycash::{
    client::{Call, Called, Client, Finder, Operator},
    home::{Home, Sockets},
    policy::{
        money::Usd,
        terms::{NewAgent, NewService},
    },
};
use serde_json::json;

use crate::support::private_dir;

/// How many times `serve` is killed.
const CYCLES: u32 = 100;
/// How many pay at once.
const PAYERS: usize = 4;
/// What one payment costs, and the most that may ever be spent.
const PRICE: &str = "0.01";
const CAP: &str = "20.00";

/// A `serve` of our own, which ends with the test.
struct Serve(Child);

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pettycash(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pettycash"));
    command.env("PETTYCASH_HOME", home).env("XDG_STATE_HOME", home.join("state"));
    command.stdin(Stdio::null());
    command
}

/// Starts a `serve` and waits until it listens.
async fn serve(home: &Path) -> (Serve, Finder) {
    let log = std::fs::File::create(home.join("crash.log")).unwrap();
    let child = pettycash(home).arg("serve").stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let mut serve = Serve(child);
    let pid = serve.0.id();
    for _ in 0..2_000 {
        assert!(serve.0.try_wait().unwrap().is_none(), "serve ended: {}", log_of(home));
        let serving = Home::at(home).unwrap().serving().filter(|serving| serving.pid == pid);
        if let Some(serving) = serving {
            let sockets: Sockets = serving.sockets;
            let finder: Finder = Arc::new(move || std::future::ready(Ok(sockets.clone())).boxed());
            if Operator::new(finder.clone()).health().await.is_ok() {
                return (serve, finder);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("serve does not listen: {}", log_of(home));
}

fn log_of(home: &Path) -> String {
    std::fs::read_to_string(home.join("crash.log")).unwrap_or_default()
}

/// Pays until the engine is gone, and notes every payment that was acknowledged.
async fn pay(client: Client, nth: String, acknowledged: Arc<Mutex<Vec<String>>>) {
    for n in 0.. {
        let call = format!("{nth}-{n}");
        let arguments = json!({"service_id": "search"});
        let (tool, call_id) = ("pay_for_api_call", &*call);
        match client.call(Call { tool, agent: "scout", run: None, call_id, arguments }).await {
            Called::Answered(answer) if answer["outcome"] == "paid" => {
                let id = answer["payment_id"].as_str().unwrap().to_owned();
                acknowledged.lock().unwrap().push(id);
            }
            Called::Answered(answer) => assert_eq!(answer["code"], "cap_exceeded", "{answer}"),
            Called::NeverSent | Called::MaybeSent => return,
        }
    }
}

async fn prepare(finder: Finder) {
    let operator = Operator::new(finder);
    let agent: NewAgent = serde_json::from_value(json!({"handle": "scout", "funding": "allowance",
        "caps": [{"period": "lifetime", "cap_usd": CAP}]}))
    .unwrap();
    operator.create_agent(&agent).await.unwrap();
    let service: NewService =
        serde_json::from_value(json!({"id": "search", "payee": "Acme", "price_usd": PRICE}))
            .unwrap();
    operator.add_service(&service).await.unwrap();
}

/// How often each payment stands in the ledger, and what all of them cost.
async fn recorded(finder: Finder) -> (BTreeMap<String, u32>, Usd) {
    let operator = Operator::new(finder);
    let (mut times, mut sum, mut cursor) = (BTreeMap::new(), Usd::ZERO, None::<String>);
    loop {
        let agent = "scout".parse().unwrap();
        let page = operator.ledger(Some(&agent), cursor.as_deref(), Some(1_000)).await.unwrap();
        for line in page.entries.iter().map(|entry| &entry.line) {
            if line.outcome == "paid" {
                *times.entry(line.payment_id.unwrap().to_string()).or_default() += 1;
                sum = sum.plus(line.amount_usd.unwrap()).unwrap();
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return (times, sum);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_lose_nothing_that_was_acknowledged() {
    let home = private_dir();
    let home = home.path();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut kills_while_paying = 0;
    for cycle in 0..CYCLES {
        let (mut serve, finder) = serve(home).await;
        if cycle == 0 {
            prepare(finder.clone()).await;
        }
        let before = acknowledged.lock().unwrap().len();
        let payers: Vec<_> = (0..PAYERS)
            .map(|nth| {
                let client = Client::new(finder.clone());
                tokio::spawn(pay(client, format!("call_{cycle}_{nth}"), acknowledged.clone()))
            })
            .collect();
        // A different moment each time: while opening its first batch, or deep in the payments.
        tokio::time::sleep(Duration::from_micros(u64::from(cycle * 7_919 % 40_000))).await;
        assert!(serve.0.try_wait().unwrap().is_none(), "the kill must hit a living process");
        serve.0.kill().unwrap();
        serve.0.wait().unwrap();
        payers.iter().for_each(tokio::task::JoinHandle::abort);
        for payer in payers {
            match payer.await {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => {}
            }
        }
        kills_while_paying += u32::from(acknowledged.lock().unwrap().len() > before);
    }
    assert!(kills_while_paying > CYCLES / 4, "only {kills_while_paying} kills hit payments");
    let (serve, finder) = serve(home).await;
    let (recorded, sum) = recorded(finder).await;
    let acknowledged = acknowledged.lock().unwrap();
    for id in acknowledged.iter() {
        assert_eq!(recorded.get(id), Some(&1), "{id} was acknowledged");
    }
    assert!(sum <= CAP.parse().unwrap(), "{sum} passes the cap");
    assert!(acknowledged.len() > 100, "only {} payments", acknowledged.len());
    let verified = pettycash(home).arg("verify").output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    drop(serve);
    let verified = pettycash(home).arg("verify").output().unwrap();
    assert!(verified.status.success(), "alone: {}", String::from_utf8_lossy(&verified.stderr));
}
