//! A payment of 8 s whose client goes away: it comes to its end all the same, once, and whoever
//! asks later is told.
//!
//! `serve` runs in this process, with a rail that does as it is told; the clients are real ones.

use std::{sync::Arc, thread, time::Duration};

use futures_util::FutureExt;
use pettycash::{
    client::{Call, Client, Finder, Operator},
    clock::{Clock, instant},
    home::Home,
    policy::terms::StartedBy,
    serve::{self, Options, ServeError},
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::support::{
    mcp_house::House,
    mcp_raw::Raw,
    scripted::{Act, Scripted},
};

/// How long the rail takes.
const TAKES: Duration = Duration::from_secs(8);
/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a `serve` that was told to end waits for payments under way.
const FINISHES: Duration = Duration::from_secs(10);

/// A house whose `serve` is in this process, and pays by a scripted rail too.
struct Served {
    house: House,
    rail: Scripted,
    runtime: Runtime,
    serving: Option<thread::JoinHandle<Result<(), ServeError>>>,
}

impl Served {
    fn new(rail: Scripted) -> Self {
        let house = House::new();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut served = Self { house, rail, runtime, serving: None };
        served.start();
        let service = json!({"id": "slow", "payee": "Acme", "price_usd": "0.10",
            "rail": "scripted"});
        let service = serde_json::from_value(service).unwrap();
        served.runtime.block_on(served.operator().add_service(&service)).unwrap();
        served
    }

    fn start(&mut self) {
        let home = Home::at(&self.house.home()).unwrap();
        let options = Options {
            home: home.clone(),
            started_by: StartedBy::Operator,
            idle_exit: PATIENCE,
            clock: Clock::System,
            rails: self.rail.rails(),
            listen: None,
            anchors: Some(self.house.state()),
        };
        let runtime = self.runtime.handle().clone();
        self.serving = Some(thread::spawn(move || runtime.block_on(serve::run(options))));
        let answers = || self.runtime.block_on(self.operator().health()).is_ok();
        until("it serves", || home.serving().is_some() && answers());
    }

    /// Has it end as it was told to, and says how long that took.
    fn stop(&mut self) -> Duration {
        let began = instant();
        self.runtime.block_on(self.operator().stop()).unwrap();
        self.serving.take().unwrap().join().unwrap().unwrap();
        began.elapsed()
    }

    fn finder(&self) -> Finder {
        let home = self.house.home();
        Arc::new(move || {
            let sockets = Home::at(&home).unwrap().serving().expect("a serve").sockets;
            async { Ok(sockets) }.boxed()
        })
    }

    fn operator(&self) -> Operator {
        Operator::new(self.finder())
    }

    fn agent(&self, handle: &str) {
        self.house.operator(&format!("agent create {handle} --cap 5.00/day --funding allowance"));
    }

    /// What an agent's ledger says happened, newest first.
    fn outcomes(&self, agent: &str) -> Vec<String> {
        let agent = agent.parse().unwrap();
        let page = self.runtime.block_on(self.operator().ledger(Some(&agent), None, None));
        page.unwrap().entries.into_iter().map(|entry| entry.line.outcome).collect()
    }

    /// That an agent paid exactly once, and that a new session fetches it, by its id and its key.
    fn assert_paid_once(&self, agent: &str) {
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

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = instant();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it never came to be that {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn slow() -> Value {
    json!({"service_id": "slow", "idempotency_key": "k1"})
}

fn asked() -> Value {
    json!({"name": "pay_for_api_call", "arguments": slow()})
}

/// A client over stdio that has asked for the payment, and its request.
fn asking(served: &Served, agent: &str) -> (Raw, u64) {
    let mut client = served.house.client(agent);
    let before = served.rail.calls().len();
    let id = client.send("tools/call", asked());
    until("the rail is called", || served.rail.calls().len() > before);
    (client, id)
}

#[test]
fn a_payment_of_eight_seconds_outlives_its_client_however_that_goes() {
    let served = Served::new(Scripted::new([Act::TakeAfter(TAKES)]));
    for agent in ["stays", "closes", "cancels", "dies", "drops"] {
        served.agent(agent);
    }
    let began = instant();
    let (mut stays, waits_for) = asking(&served, "stays");
    let (closes, _) = asking(&served, "closes");
    let (mut cancels, cancelled) = asking(&served, "cancels");
    let (dies, _) = asking(&served, "dies");
    drops(&served);
    dies.kill();
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": cancelled, "reason": "the user lost patience"}});
    cancels.send_text(&format!("{cancel}\n"));
    // The session that cancelled goes on, and sees that the money is held.
    assert_eq!(cancels.call("get_balance", json!({}))["held_usd"], "0.10");
    let meanwhile = cancels.pay(slow());
    assert_eq!(meanwhile["outcome"], "in_progress");
    let status = closes.leave();
    assert!(status.success(), "{status}");
    let paid = stays.answer(waits_for);
    assert_eq!((&paid["outcome"], &paid["charged_usd"]), (&json!("paid"), &json!("0.10")));
    assert!(began.elapsed() >= TAKES);
    for agent in ["stays", "closes", "cancels", "dies", "drops"] {
        served.assert_paid_once(agent);
    }
    let fetched = cancels.pay(json!({"payment_id": meanwhile["payment_id"]}));
    assert_eq!(fetched["outcome"], "paid");
    // The cancelled request is never answered: nothing came in between.
    assert!(stays.end().0.success());
    assert!(cancels.end().0.success());
}

/// A client on the socket itself, which breaks its connection off.
fn drops(served: &Served) {
    let client = Client::new(served.finder());
    let before = served.rail.calls().len();
    let (tool, agent, call_id) = ("pay_for_api_call", "drops", "call_1");
    served.runtime.block_on(async {
        let call =
            client.call(Call { tool, agent, run: None, call_id, arguments: slow(), via: None });
        tokio::select! {
            answered = call => panic!("{answered:?}"),
            () = served.rail.called(before + 1) => {}
        }
    });
}

#[test]
fn a_serve_that_ends_waits_for_its_payments_and_leaves_the_rest_in_doubt() {
    let soon = Act::TakeAfter(Duration::from_secs(1));
    let mut served = Served::new(Scripted::new([soon, Act::Hang]));
    for agent in ["quick", "stuck"] {
        served.agent(agent);
        let (client, _) = asking(&served, agent);
        client.kill();
    }
    let took = served.stop();
    assert!(took >= FINISHES && took < FINISHES + Duration::from_secs(5), "{took:?}");
    served.start();
    assert_eq!(served.outcomes("quick"), ["captured", "sent", "held", "created"]);
    assert_eq!(served.outcomes("stuck"), ["in_doubt", "sent", "held", "created"]);
    let doubt = served.house.client("stuck").pay(slow());
    assert_eq!((&doubt["outcome"], &doubt["replayed"]), (&json!("in_doubt"), &json!(true)));
    assert_eq!(served.rail.calls().len(), 2, "what is in doubt is not sent again");
    let ended = served.stop();
    assert!(ended < Duration::from_secs(2), "a doubt keeps no serve from ending: {ended:?}");
}
