//! Nobody waits because one agent asks for much: turns are counted, on a disk that does not answer
//! it.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use pettycash::{
    engine::Engine,
    policy::{
        names::{Handle, PaymentId},
        terms::{LedgerAsked, Refund, TrialAsked},
    },
    rails::Rails,
    store::{Disk, Options, SEGMENT_BYTES, Store},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::rails::house_on;
use crate::support::{house::House, sim_disk::SimDisk};

/// How long whoever is served in turn may take on a slow machine.
const PROMPT: Duration = Duration::from_secs(60);
/// How often the worst is asked for at once.
const MANY: usize = 64;

/// A disk that keeps waiting whoever reads a few bytes from one place on, or whoever walks through
/// a segment first, until it lets them go.
struct Stuck {
    disk: Arc<dyn Disk>,
    place: AtomicU64,
    first_walk: AtomicBool,
    kept: AtomicUsize,
    let_go: AtomicBool,
}

impl Stuck {
    async fn has(&self, stuck: usize) {
        let so_many = async {
            while self.kept.load(SeqCst) < stuck {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PROMPT, so_many).await.expect("somebody is kept waiting");
    }
}

impl Disk for Stuck {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.disk.create(name)
    }

    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        // A walk begins behind the segment's header and reads far; one record is read where it is.
        let walks = offset < 200 && into.len() > 100_000;
        let here = self.place.load(SeqCst) == offset && into.len() < 100_000;
        if here || (walks && self.first_walk.swap(false, SeqCst)) {
            self.kept.fetch_add(1, SeqCst);
            // Not for ever: a test that failed must come to its end.
            for _ in 0..20_000 {
                if self.let_go.load(SeqCst) {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
        self.disk.read(name, offset, into)
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(name, offset, bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.disk.sync(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn free(&self) -> io::Result<u64> {
        self.disk.free()
    }
}

/// A house where `greedy` has paid once and `scout` thrice after it, on such a disk; and the ids.
async fn house() -> (Arc<House>, Arc<Stuck>, Vec<PaymentId>) {
    let disk = SimDisk::default();
    let House { dir, clock, engine } = house_on(&disk, Rails::default(), SEGMENT_BYTES).await;
    engine.close().await;
    let place = AtomicU64::new(u64::MAX);
    let (first_walk, let_go) = (AtomicBool::new(false), AtomicBool::new(false));
    let kept = AtomicUsize::new(0);
    let disk = Arc::new(Stuck { disk: disk.port(), place, first_walk, kept, let_go });
    let store = Store::open(Arc::clone(&disk) as _, Options::bare(clock.clone())).unwrap();
    let engine = Engine::open(store, Rails::default(), clock.clone()).await.unwrap();
    let house = House { dir, clock, engine };
    house.service(json!({"id": "search", "payee": "Acme", "price_usd": "0.02"})).await;
    house.scout().await;
    house
        .agent(json!({"handle": "greedy", "funding": "allowance",
        "caps": [{"period": "day", "cap_usd": "5.00"}]}))
        .await;
    let mut ids = Vec::new();
    for agent in ["greedy", "scout", "scout", "scout"] {
        let paid = house.pay(agent, json!({"service_id": "search"})).await;
        ids.push(paid["payment_id"].as_str().unwrap().parse().unwrap());
    }
    (Arc::new(house), disk, ids)
}

/// So many calls of `greedy`, at once.
fn greedily(house: &Arc<House>, tool: &'static str, arguments: &Value) -> Vec<Asking> {
    let ask = |_| {
        let (house, arguments) = (Arc::clone(house), arguments.clone());
        tokio::spawn(async move { house.call(tool, "greedy", arguments).await })
    };
    (0..MANY).map(ask).collect()
}

type Asking = tokio::task::JoinHandle<Value>;

fn soon<'a, T: 'a>(
    what: &'a str,
    asked: impl Future<Output = T> + 'a,
) -> impl Future<Output = T> + 'a {
    let asked = timeout(PROMPT, Box::pin(asked));
    async move { asked.await.unwrap_or_else(|_| panic!("{what} waits behind one agent")) }
}

/// All that others do is done while the disk keeps `greedy` waiting.
async fn others_are_served(house: &House, scouts: &[PaymentId]) {
    let engine = &house.engine;
    let scout: Handle = "scout".parse().unwrap();
    let paid = soon("a payment", house.pay("scout", json!({"service_id": "search"}))).await;
    assert_eq!(paid["outcome"], "paid");
    let own = soon("another's ledger", house.call("ledger", "scout", json!({}))).await;
    assert!(own["entries"].as_array().unwrap().len() >= 4, "{own}");
    let arguments = json!({"payment_id": scouts[0]});
    let fetched = soon("another's payment", house.pay("scout", arguments)).await;
    assert_eq!(fetched["outcome"], "paid");
    let page =
        soon("the operator's ledger", engine.ledger(LedgerAsked::page(Some(scout), None, None)))
            .await;
    assert!(page.unwrap().entries.len() >= 4);
    let (outcome, limit) = (Some("paid".to_owned()), Some(1));
    let newest = LedgerAsked { outcome, limit, ..LedgerAsked::default() };
    let newest = soon("a search of the operator's", engine.ledger(newest)).await.unwrap();
    assert_eq!(newest.entries.len(), 1);
    let part = Refund { amount_usd: Some("0.01".parse().unwrap()), note: None };
    soon("a refund", engine.refund(scouts[1], part)).await.unwrap();
    let explained = soon("an explanation", engine.explain(scouts[2])).await.unwrap();
    assert_eq!(explained.agent.as_str(), "scout");
    let tight = json!({"funding": "allowance", "caps": ["0.03/day"]});
    let policy = json!({"schema": 1, "agents": {"scout": tight}});
    let policy = serde_json::from_value(policy).unwrap();
    let asked = TrialAsked { policy, since: None };
    let tried = soon("a policy that is tried", engine.try_policy(asked)).await.unwrap();
    assert!(tried.would_deny.count > 0);
    let told = soon("shadow caps", engine.shadows(None)).await.unwrap();
    assert_eq!(told.would_deny.count, 0);
    let quoted = json!({"service_id": "search"});
    let quoted = soon("another's quote", house.call("get_balance", "scout", quoted)).await;
    assert!(quoted["quote"]["fits"].is_u64(), "{quoted}");
    assert_eq!(soon("the groups", engine.groups()).await.unwrap().groups.len(), 0);
}

async fn let_go(disk: &Stuck, asking: Vec<Asking>) -> Vec<Value> {
    disk.let_go.store(true, SeqCst);
    let mut answers = Vec::new();
    for asked in asking {
        answers.push(asked.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn whoever_asks_for_much_of_the_ledger_waits_for_himself_alone() {
    let (house, disk, ids) = house().await;
    disk.place.store(ids[0].position(), SeqCst);
    let mut asking = greedily(&house, "ledger", &json!({"outcome": "refunded", "limit": 100}));
    asking.extend(greedily(&house, "pay_for_api_call", &json!({"payment_id": ids[0]})));
    asking.extend(greedily(&house, "get_balance", &json!({"service_id": "search"})));
    disk.has(1).await;
    others_are_served(&house, &ids[1..]).await;
    assert_eq!(disk.kept.load(SeqCst), 1, "one agent has one thing read at a time");
    assert!(asking.iter().all(|asked| !asked.is_finished()));
    for answer in let_go(&disk, asking).await {
        assert!(answer.get("code").is_none(), "{answer}");
    }
}

#[tokio::test]
async fn whoever_makes_up_ids_and_cursors_waits_for_himself_alone() {
    let (house, disk, ids) = house().await;
    // A cursor behind its newest line is refused unread.
    house.pay("greedy", json!({"service_id": "search"})).await;
    disk.first_walk.store(true, SeqCst);
    let inside = ids[1].position() + 100;
    let made_up = PaymentId::new(inside, 0);
    let mut asking = greedily(&house, "pay_for_api_call", &json!({"payment_id": made_up}));
    asking.extend(greedily(&house, "ledger", &json!({"cursor": format!("{inside:x}-1")})));
    disk.has(1).await;
    others_are_served(&house, &ids[1..]).await;
    let unknown = Refund { amount_usd: None, note: None };
    let refused = soon("a mistake of the operator's", house.engine.refund(made_up, unknown)).await;
    assert_eq!(refused.unwrap_err().problem().code, "payment_unknown");
    assert!(asking.iter().all(|asked| !asked.is_finished()));
    for answer in let_go(&disk, asking).await {
        assert!(
            ["invalid_request", "loop_detected"].contains(&answer["code"].as_str().unwrap()),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_policy_that_is_tried_keeps_no_model_waiting() {
    let (house, disk, ids) = house().await;
    disk.first_walk.store(true, SeqCst);
    let trying = tokio::spawn({
        let house = Arc::clone(&house);
        async move { house.engine.shadows(None).await.unwrap() }
    });
    disk.has(1).await;
    let made_up = PaymentId::new(ids[1].position() + 100, 0);
    let arguments = json!({"payment_id": made_up});
    let told = soon("a mistake of a model's", house.pay("scout", arguments)).await;
    assert_eq!(told["code"], "invalid_request");
    assert!(!trying.is_finished());
    disk.let_go.store(true, SeqCst);
    trying.await.unwrap();
}

#[tokio::test]
async fn who_is_not_let_in_takes_no_turn_of_whom_he_names() {
    let (house, disk, ids) = house().await;
    let barred = serde_json::from_value(json!({"local": "barred"})).unwrap();
    let greedy = "greedy".parse().unwrap();
    house.engine.change_mandate(&greedy, barred, None).await.unwrap();
    disk.first_walk.store(true, SeqCst);
    disk.place.store(ids[0].position(), SeqCst);
    let inside = PaymentId::new(ids[1].position() + 100, 0);
    for payment in [ids[0], inside] {
        let told = soon("a refusal", house.pay("greedy", json!({"payment_id": payment}))).await;
        assert_eq!(told["code"], "agent_unknown", "{told}");
    }
    assert_eq!(disk.kept.load(SeqCst), 0, "nothing was read for him");
}
