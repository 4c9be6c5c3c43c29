//! A `serve` in this process, with a rail that does as it is told.

use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

use futures_util::FutureExt;
use pettycash::{
    client::{Finder, Operator},
    clock::{Clock, instant},
    home::Home,
    policy::terms::{LedgerAsked, StartedBy},
    serve::{self, Listen, Options, ServeError},
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::{mcp_house::House, scripted::Scripted};

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a `serve` that was told to end waits for payments under way.
pub(crate) const FINISHES: Duration = Duration::from_secs(10);

/// A house whose `serve` is in this process, and pays by a scripted rail too.
pub(crate) struct Served {
    pub(crate) house: House,
    pub(crate) rail: Scripted,
    pub(crate) runtime: Runtime,
    listen: Option<Listen>,
    serving: Option<thread::JoinHandle<Result<(), ServeError>>>,
}

impl Served {
    pub(crate) fn new(rail: Scripted) -> Self {
        Self::open(rail, None)
    }

    /// The same, and it listens for HTTP.
    pub(crate) fn listening(rail: Scripted) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::open(rail, Some(Listen { address, proxy: None }))
    }

    fn open(rail: Scripted, listen: Option<Listen>) -> Self {
        let house = House::new();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut served = Self { house, rail, runtime, listen, serving: None };
        served.start();
        let service = json!({"id": "slow", "payee": "Acme", "price_usd": "0.10",
            "rail": "scripted"});
        let service = serde_json::from_value(service).unwrap();
        served.runtime.block_on(served.operator().add_service(&service)).unwrap();
        served
    }

    pub(crate) fn start(&mut self) {
        let home = Home::at(&self.house.home()).unwrap();
        let options = Options {
            home: home.clone(),
            started_by: StartedBy::Operator,
            idle_exit: PATIENCE,
            clock: Clock::System,
            rails: self.rail.rails(),
            listen: self.listen.clone(),
            anchors: Some(self.house.state()),
        };
        let runtime = self.runtime.handle().clone();
        self.serving = Some(thread::spawn(move || runtime.block_on(serve::run(options))));
        let answers = || self.runtime.block_on(self.operator().health()).is_ok();
        until("it serves", || home.serving().is_some() && answers());
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let serving = Home::at(&self.house.home()).unwrap().serving().expect("a serve");
        serving.listen.expect("an address")
    }

    /// Has it end as it was told to, and says how long that took.
    pub(crate) fn stop(&mut self) -> Duration {
        let began = instant();
        self.runtime.block_on(self.operator().stop()).unwrap();
        self.serving.take().unwrap().join().unwrap().unwrap();
        began.elapsed()
    }

    pub(crate) fn finder(&self) -> Finder {
        let home = self.house.home();
        Arc::new(move || {
            let sockets = Home::at(&home).unwrap().serving().expect("a serve").sockets;
            async { Ok(sockets) }.boxed()
        })
    }

    pub(crate) fn operator(&self) -> Operator {
        Operator::new(self.finder())
    }

    pub(crate) fn agent(&self, handle: &str) {
        self.house.operator(&format!("agent create {handle} --cap 5.00/day --funding allowance"));
    }

    /// What an agent's ledger says happened, newest first, its tokens left aside.
    pub(crate) fn outcomes(&self, agent: &str) -> Vec<String> {
        let asked = LedgerAsked::page(Some(agent.parse().unwrap()), None, None);
        let page = self.runtime.block_on(self.operator().ledger(&asked));
        let outcomes = page.unwrap().entries.into_iter().map(|entry| entry.line.outcome);
        outcomes.filter(|outcome| !outcome.starts_with("token_")).collect()
    }

    /// That an agent paid exactly once, and that a new session fetches it, by its id and its key.
    pub(crate) fn assert_paid_once(&self, agent: &str) {
        until("it is captured", || self.outcomes(agent)[0] == "captured");
        assert_eq!(self.outcomes(agent), ["captured", "sent", "held", "created"], "{agent}");
        let mut session = self.house.client(agent);
        let ledger = session.call("ledger", json!({}));
        let id = &ledger["entries"][0]["payment_id"];
        for asked in [json!({"payment_id": id}), slow()] {
            let paid = session.pay(asked);
            assert_eq!((&paid["outcome"], &paid["payment_id"]), (&json!("paid"), id), "{agent}");
            assert_eq!(paid["replayed"], true);
        }
        assert_eq!(session.call("get_balance", json!({}))["available_usd"], "4.90");
        let calls = self.rail.calls();
        assert_eq!(calls.iter().filter(|order| order.agent.as_str() == agent).count(), 1);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.serving.is_some() && !thread::panicking() {
            self.stop();
        }
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = instant();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it never came to be that {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The payment that takes as long as the rail does.
pub(crate) fn slow() -> Value {
    json!({"service_id": "slow", "idempotency_key": "k1"})
}
