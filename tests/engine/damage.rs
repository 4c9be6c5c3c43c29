//! What is damaged while the engine runs: told as damage, never as something nobody made.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use pettycash::{
    engine::{Engine, EngineError},
    policy::{
        names::PaymentId,
        terms::{LedgerAsked, Refund},
    },
    rails::Rails,
    store::{Disk, Options, SEGMENT_BYTES, Store},
};
use serde_json::{Value, json};

use super::rails::house_on;
use crate::support::{house::House, sim_disk::SimDisk};

/// Within the body of a record, whose header is shorter and whose whole is longer.
const INSIDE: u64 = 100;

/// A house on a simulated disk where `scout` has paid so often, and the ids of that, oldest first.
async fn paid(disk: &SimDisk, times: usize) -> (House, Vec<PaymentId>) {
    let house = house_on(disk, Rails::default(), SEGMENT_BYTES).await;
    house.service(json!({"id": "search", "payee": "Acme", "price_usd": "0.02"})).await;
    house.scout().await;
    let mut ids = Vec::new();
    for _ in 0..times {
        let paid = house.pay("scout", json!({"service_id": "search"})).await;
        ids.push(paid["payment_id"].as_str().unwrap().parse().unwrap());
    }
    (house, ids)
}

/// Changes a byte in the middle of the record that `payment` begins.
fn damage(disk: &SimDisk, payment: PaymentId) {
    let at = usize::try_from(payment.position() + INSIDE).unwrap();
    disk.tamper(&disk.names()[0], |bytes| bytes[at] ^= 1);
}

/// What the agent is told of `payment`, whose id it gives alone.
async fn fetched(house: &House, payment: PaymentId) -> Value {
    house.pay("scout", json!({"payment_id": payment})).await
}

/// What the operator is told who would give `payment` back.
async fn refunded(house: &House, payment: PaymentId) -> EngineError {
    let all = Refund { amount_usd: None, note: None };
    house.engine.refund(payment, all).await.unwrap_err()
}

/// An id that nobody was given: it points into the middle of the record of one that was.
fn invented(payment: PaymentId) -> PaymentId {
    PaymentId::new(payment.position() + INSIDE, 0)
}

#[tokio::test]
async fn a_damaged_payment_is_told_as_damage_and_the_others_are_still_found() {
    let disk = SimDisk::default();
    let (house, ids) = paid(&disk, 3).await;
    damage(&disk, ids[1]);
    let told = fetched(&house, ids[1]).await;
    assert_eq!(
        (&told["code"], &told["advice"]),
        (&json!("ledger_damaged"), &json!("ask_operator"))
    );
    let problem = refunded(&house, ids[1]).await.problem();
    assert_eq!((problem.status, &*problem.code), (503, "ledger_damaged"));
    for sound in [ids[0], ids[2]] {
        assert_eq!(fetched(&house, sound).await["outcome"], "paid");
    }
}

#[tokio::test]
async fn an_invented_id_is_the_callers_mistake_and_charges_nothing() {
    let disk = SimDisk::default();
    let (house, ids) = paid(&disk, 3).await;
    for payment in ids.iter().copied().map(invented) {
        let told = fetched(&house, payment).await;
        assert_eq!(
            (&told["code"], &told["field"]),
            (&json!("invalid_request"), &json!("payment_id"))
        );
        let message = told["message"].as_str().unwrap();
        assert!(message.ends_with("Nothing was charged."), "{message}");
        assert_eq!(refunded(&house, payment).await.problem().code, "payment_unknown");
    }
}

/// A disk on which it takes a while to read a whole segment, and how many read one at once.
struct Slow {
    disk: Arc<dyn Disk>,
    walking: AtomicUsize,
    most: AtomicUsize,
    walks: AtomicUsize,
}

impl Disk for Slow {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.disk.create(name)
    }

    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        // A walk begins behind the segment's header and reads far; one record is read where it is.
        let begins = offset < INSIDE * 2 && into.len() > 100_000;
        if begins {
            let now = self.walking.fetch_add(1, SeqCst) + 1;
            self.most.fetch_max(now, SeqCst);
            self.walks.fetch_add(1, SeqCst);
            thread::sleep(Duration::from_millis(30));
            self.walking.fetch_sub(1, SeqCst);
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

#[tokio::test]
async fn for_many_invented_ids_one_segment_is_walked_at_a_time() {
    let disk = SimDisk::default();
    let (house, ids) = paid(&disk, 3).await;
    let House { dir, clock, engine } = house;
    engine.close().await;
    let none = || AtomicUsize::new(0);
    let slow = Arc::new(Slow { disk: disk.port(), walking: none(), most: none(), walks: none() });
    let store = Store::open(Arc::clone(&slow) as _, Options::bare(clock.clone())).unwrap();
    let engine = Engine::open(store, Rails::default(), clock.clone()).await.unwrap();
    let house = Arc::new(House { dir, clock, engine });
    slow.walks.store(0, SeqCst);
    let asking: Vec<_> = (0..8)
        .map(|nth| {
            let (house, payment) = (Arc::clone(&house), invented(ids[nth % 2]));
            tokio::spawn(async move { fetched(&house, payment).await })
        })
        .collect();
    for asked in asking {
        // In whichever order they are refused: three times the same is a loop.
        assert_eq!(asked.await.unwrap()["outcome"], "denied");
    }
    let (walks, most) = (slow.walks.load(SeqCst), slow.most.load(SeqCst));
    assert_eq!((walks, most), (8, 1), "one after the other");
}

#[tokio::test]
async fn behind_damage_nobody_can_say_that_an_id_is_invented() {
    let disk = SimDisk::default();
    let (house, ids) = paid(&disk, 4).await;
    damage(&disk, ids[1]);
    for payment in [ids[1], ids[2]].map(invented) {
        assert_eq!(fetched(&house, payment).await["code"], "ledger_damaged");
        assert_eq!(refunded(&house, payment).await.problem().code, "ledger_damaged");
    }
    assert_eq!(fetched(&house, invented(ids[0])).await["code"], "invalid_request", "before it");
}

#[tokio::test]
async fn a_page_that_runs_into_damage_says_so() {
    let disk = SimDisk::default();
    let (house, ids) = paid(&disk, 4).await;
    let page = |cursor: Value| house.call("ledger", "scout", json!({"limit": 2, "cursor": cursor}));
    let newest = page(Value::Null).await;
    let given = newest["next_cursor"].clone();
    let all = house.engine.ledger(LedgerAsked::page(None, None, Some(2))).await.unwrap();
    damage(&disk, ids[0]);
    assert_eq!(page(Value::Null).await, newest, "it ends before the damage");
    let told = page(given).await;
    assert_eq!(told["code"], "ledger_damaged", "{told}");
    let told = house
        .engine
        .ledger(LedgerAsked::page(None, all.next_cursor, Some(2)))
        .await
        .unwrap_err()
        .problem();
    assert_eq!(told.code, "ledger_damaged", "{}", told.detail);
}

#[tokio::test]
async fn a_cursor_into_the_middle_of_a_sound_record_was_never_given() {
    let disk = SimDisk::default();
    let (house, ids) = paid(&disk, 3).await;
    let cursor = |payment: PaymentId| format!("{:x}-1", payment.position() + INSIDE);
    let told = house.call("ledger", "scout", json!({"cursor": cursor(ids[1])})).await;
    assert_eq!((&told["code"], &told["field"]), (&json!("invalid_request"), &json!("cursor")));
    let told =
        house.engine.ledger(LedgerAsked::page(None, Some(cursor(ids[1])), None)).await.unwrap_err();
    assert!(matches!(told, EngineError::Cursor), "{told}");
    damage(&disk, ids[0]);
    let told = house.call("ledger", "scout", json!({"cursor": cursor(ids[1])})).await;
    assert_eq!(told["code"], "ledger_damaged", "behind damage nobody knows");
}

#[tokio::test]
async fn a_record_that_is_only_read_denies_nothing_that_it_may_have_lost() {
    let disk = SimDisk::default();
    let (house, ids) = paid(&disk, 3).await;
    let page = house.call("ledger", "scout", json!({"limit": 1})).await;
    house.engine.close().await;
    drop(house);
    damage(&disk, ids[0]);
    let house = house_on(&disk, Rails::default(), SEGMENT_BYTES).await;
    for payment in [ids[1], invented(ids[2])] {
        assert_eq!(fetched(&house, payment).await["code"], "ledger_damaged");
        assert_eq!(refunded(&house, payment).await.problem().code, "ledger_damaged");
    }
    let next = json!({"cursor": page["next_cursor"]});
    assert_eq!(house.call("ledger", "scout", next).await["code"], "ledger_damaged");
    for tool in ["get_balance", "ledger", "list_services"] {
        let told = house.call(tool, "nobody", json!({})).await;
        assert_eq!(told["code"], "ledger_damaged", "{tool}: the agent may be lost too: {told}");
    }
    let told = house.pay("nobody", json!({"payment_id": ids[0]})).await;
    assert_eq!(told["code"], "ledger_damaged", "{told}");
    let told =
        house.engine.ledger(LedgerAsked::page(Some("nobody".parse().unwrap()), None, None)).await;
    assert_eq!(told.unwrap_err().problem().code, "ledger_damaged");
}
