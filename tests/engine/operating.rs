//! What the operator does to agents and payments where the disk or the rail fails.

use std::{io::ErrorKind, sync::Arc};

use pettycash::{
    clock::Clock,
    engine::{Call, Engine, EngineError, RefundError},
    policy::{
        book::Book,
        came::Came,
        entry::{By, Draft, Fact, Hold, VoidCause, Windows},
        money::Usd,
        names::{Handle, PaymentId},
        state::State,
        terms::{Condition, Freezing, MandatePatch, Refund, Unfreezing},
    },
    rails::Rails,
    store::{Decision, Options, Purpose, Store, StoreError},
};
use serde_json::json;

use crate::support::{
    house::{House, store},
    sim_disk::SimDisk,
};

/// An engine on a simulated disk, with so many prepaid agents.
async fn engine(disk: &SimDisk, agents: usize) -> Engine {
    let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
    let store = Store::open(disk.port(), Options::bare(clock.clone())).unwrap();
    let engine = Engine::open(store, Rails::default(), clock).await.unwrap();
    for n in 0..agents {
        let new = json!({"handle": format!("a{n}"), "funding": "prepaid"});
        engine.create_agent(serde_json::from_value(new).unwrap()).await.unwrap();
    }
    engine
}

/// Leaves no room for another record.
async fn fill(disk: &SimDisk, engine: &Engine) {
    disk.set_capacity(disk.used());
    let top_up = || serde_json::from_value(json!({"amount_usd": "0.01"})).unwrap();
    while engine.top_up(&"a0".parse().unwrap(), top_up()).await.is_ok() {}
}

fn freezing() -> Freezing {
    Freezing { reason: "bill".parse().unwrap(), note: None }
}

fn in_memory<T>(answer: &Result<T, EngineError>) -> bool {
    matches!(answer, Err(EngineError::Store(StoreError::InMemory { .. })))
}

#[tokio::test]
async fn a_failed_disk_keeps_nobody_out_of_a_freeze_of_all() {
    let disk = SimDisk::default();
    let engine = engine(&disk, 300).await;
    assert_eq!(engine.record_health().condition, Condition::Sound);
    disk.fail_at(disk.boundaries() + 1, ErrorKind::Other);
    assert!(in_memory(&engine.freeze_all(freezing()).await), "it says that it is not recorded");
    let agents = engine.agents().await.unwrap().agents;
    let active = agents.iter().filter(|agent| agent.balance.standing.as_deref() != Some("frozen"));
    assert_eq!(active.map(|agent| agent.handle().to_owned()).collect::<Vec<_>>(), [""; 0]);
    let health = engine.record_health();
    assert_eq!(health.condition, Condition::Unwritable);
    assert!(health.in_memory > 0, "those that came after the failure are surely not recorded");
    let unfrozen = engine.unfreeze(&"a1".parse().unwrap(), Unfreezing::default()).await;
    assert!(unfrozen.is_err() && !in_memory(&unfrozen), "what raises is not done in memory");
}

#[tokio::test]
async fn once_a_freeze_of_all_is_answered_nobody_pays_however_many_they_are() {
    let engine = Arc::new(engine(&SimDisk::default(), 200).await);
    let service = json!({"id": "search", "payee": "Acme", "price_usd": "0.01"});
    engine.add_service(serde_json::from_value(service).unwrap()).await.unwrap();
    let agents: Vec<Handle> = (0..200).map(|n| format!("a{n}").parse().unwrap()).collect();
    for agent in &agents {
        let top_up = serde_json::from_value(json!({"amount_usd": "100.00"})).unwrap();
        engine.top_up(agent, top_up).await.unwrap();
    }
    let payer = Arc::clone(&engine);
    let pay = move |agent: Handle| {
        let engine = Arc::clone(&payer);
        let arguments = json!({"service_id": "search"});
        let call =
            Call { agent, run: None, call_id: None, arguments, came: Came::Local, via: None };
        async move { engine.call("pay_for_api_call", call).await.unwrap() }
    };
    // Each pays as fast as it can for as long as it may.
    let paying: Vec<_> = agents
        .iter()
        .cloned()
        .map(|agent| {
            let pay = pay.clone();
            tokio::spawn(async move { while pay(agent.clone()).await["outcome"] == "paid" {} })
        })
        .collect();
    let frozen = engine.freeze_all(freezing()).await.unwrap();
    let then = engine.books().await.unwrap().books;
    assert_eq!(frozen.changed.len(), agents.len());
    for agent in agents {
        assert_eq!(pay(agent).await["code"], "agent_frozen");
    }
    for paying in paying {
        paying.await.unwrap();
    }
    let spent = |books: &[Book]| books.iter().map(|book| book.captured).collect::<Vec<_>>();
    assert_eq!(spent(&engine.books().await.unwrap().books), spent(&then));
    engine.close().await;
}

#[tokio::test]
async fn a_failed_disk_takes_a_tighter_mandate_and_no_looser_one() {
    let disk = SimDisk::default();
    let engine = engine(&disk, 1).await;
    let agent: Handle = "a0".parse().unwrap();
    let patch = |text: serde_json::Value| -> MandatePatch { serde_json::from_value(text).unwrap() };
    let limit = |text: &str| patch(json!({"per_call_limit_usd": text}));
    engine.change_mandate(&agent, limit("1.00"), None).await.unwrap();
    disk.fail_at(disk.boundaries() + 1, ErrorKind::Other);
    assert!(in_memory(&engine.change_mandate(&agent, limit("0.50"), None).await));
    let shown = engine.mandate(&agent).await.unwrap();
    assert_eq!(shown.per_call_limit_usd, Some("0.50".parse().unwrap()));
    for looser in [json!({"per_call_limit_usd": "2.00"}), json!({"per_call_limit_usd": null})] {
        assert!(!in_memory(&engine.change_mandate(&agent, patch(looser), None).await));
    }
    assert_eq!(engine.mandate(&agent).await.unwrap(), shown);
}

#[tokio::test]
async fn what_is_in_force_in_memory_only_is_told_again_and_keeps_serve_from_idling() {
    let disk = SimDisk::default();
    let engine = engine(&disk, 1).await;
    let agent: Handle = "a0".parse().unwrap();
    assert!(engine.is_idle().await);
    fill(&disk, &engine).await;
    for _ in 0..2 {
        assert!(in_memory(&engine.freeze(&agent, freezing()).await), "again as at first");
    }
    assert!(!engine.is_idle().await, "the next `serve` would not know of it");
    let books = engine.books().await.unwrap();
    assert!(books.ahead, "and `verify` must not call it damage");
    disk.set_capacity(usize::MAX);
    engine.freeze(&agent, freezing()).await.unwrap();
    assert!(engine.is_idle().await);
    assert!(!engine.books().await.unwrap().ahead);
}

#[tokio::test]
async fn a_cap_that_was_set_in_memory_counts_from_the_entry_that_tells_of_it() {
    let disk = SimDisk::default();
    let engine = engine(&disk, 1).await;
    let agent: Handle = "a0".parse().unwrap();
    let patch = json!({"caps": [{"period": "rolling_24h", "cap_usd": "5.00"},
        {"period": "run", "cap_usd": "1.00"}]});
    let patch = || -> MandatePatch { serde_json::from_value(patch.clone()).unwrap() };
    fill(&disk, &engine).await;
    assert!(in_memory(&engine.change_mandate(&agent, patch(), None).await));
    disk.set_capacity(usize::MAX);
    engine
        .top_up(&agent, serde_json::from_value(json!({"amount_usd": "2.00"})).unwrap())
        .await
        .unwrap();
    let books = engine.books().await.unwrap();
    engine.close().await;
    let mut folded = State::default();
    pettycash::store::replay(disk.port(), None, |record| record.fold(&mut folded)).unwrap();
    assert_eq!(folded.book(&agent), Some(&books.books[0]), "the fold of the entries is the book");
}

/// Records what a rail would bring about: each of the facts that follow a hold.
async fn held(records: &Store, agent: &Handle, then: Vec<fn(PaymentId) -> Fact>) -> PaymentId {
    let whose = agent.clone();
    let decide = move |state: &pettycash::policy::state::State, payment, now| {
        let windows: Windows = state.book(&whose).unwrap().windows(now);
        let hold = Hold {
            payment,
            service: "report".parse().unwrap(),
            payee: "Acme Reports".parse().unwrap(),
            amount: "0.50".parse().unwrap(),
            windows,
            binding: None,
            run: None,
            via: None,
            category: None,
            groups: Vec::new(),
            task: None,
            task_type: None,
            shadow: Vec::new(),
            request: None,
            model: None,
        };
        let facts = std::iter::once(Fact::Held(hold)).chain(then.iter().map(|fact| fact(payment)));
        let draft = |fact| Draft { agent: Some(whose.clone()), by: By::Engine, fact };
        let drafts = facts.map(draft).collect();
        Decision::Commit { drafts, durable: true, answer: Box::new(move |_| payment) }
    };
    records.commit(Purpose::Record, decide).await.unwrap()
}

#[tokio::test]
async fn an_engine_opens_on_a_full_disk_keeps_what_is_held_and_still_freezes() {
    let disk = SimDisk::default();
    let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
    let agent: Handle = "a0".parse().unwrap();
    engine(&disk, 1).await.close().await;
    let records = Store::open(disk.port(), Options::bare(clock)).unwrap();
    held(&records, &agent, Vec::new()).await;
    disk.set_capacity(disk.used());
    let credit = || {
        let fact = Fact::Credited { amount: "0.01".parse().unwrap(), note: None };
        let drafts = vec![Draft { agent: Some(agent.clone()), by: By::Operator, fact }];
        move |_: &State, _, _| Decision::Commit { drafts, durable: true, answer: Box::new(|_| ()) }
    };
    while records.commit(Purpose::Record, credit()).await.is_ok() {}
    records.close().await;
    let engine_on = || engine(&disk, 0);
    let held = async |engine: &Engine| engine.agent(&agent).await.unwrap().balance.held_usd;
    let engine = engine_on().await;
    assert_eq!(engine.record_health().condition, Condition::Full);
    assert_eq!(held(&engine).await, Some("0.50".parse().unwrap()), "its end is not recorded");
    assert!(in_memory(&engine.freeze(&agent, freezing()).await));
    disk.set_capacity(usize::MAX);
    engine.close().await;
    let engine = engine_on().await;
    assert_eq!(held(&engine).await, Some(Usd::ZERO));
    let standing = engine.agent(&agent).await.unwrap().balance.standing;
    assert_eq!(standing.as_deref(), Some("frozen"));
    engine.close().await;
}

#[tokio::test]
async fn only_what_a_rail_took_comes_back() {
    let house = House::new().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    house.top_up("intern", "5.00").await;
    house.engine.close().await;
    let House { dir, clock, engine } = house;
    drop(engine);
    let records = store(dir.path(), &clock);
    let intern: Handle = "intern".parse().unwrap();
    let took = |payment| Fact::Captured { payment, amount: "0.30".parse().unwrap(), flag: None };
    let sent = |payment| Fact::Sent { payment };
    let released = |payment| Fact::Voided { payment, cause: VoidCause::NotSent };
    let taken = held(&records, &intern, vec![sent, took]).await;
    let open = held(&records, &intern, vec![sent]).await;
    let voided = held(&records, &intern, vec![released]).await;
    records.close().await;
    drop(records);
    let records = store(dir.path(), &clock);
    let engine = Engine::open(records, Rails::default(), clock.clone()).await.unwrap();
    let engine = Arc::new(engine);
    let refund = |payment, amount: Option<&str>| {
        let (engine, amount) = (Arc::clone(&engine), amount.map(|text| text.parse().unwrap()));
        async move { engine.refund(payment, Refund { amount_usd: amount, note: None }).await }
    };
    let refused = |answer: Result<_, EngineError>| match answer.unwrap_err() {
        EngineError::Refund(why) => why,
        other => panic!("{other}"),
    };
    assert_eq!(refused(refund(open, None).await), RefundError::Open(open));
    assert_eq!(refused(refund(voided, None).await), RefundError::NotTaken(voided));
    let too_much = refused(refund(taken, Some("0.31")).await);
    assert!(matches!(too_much, RefundError::Settle(_)), "{too_much}");
    let back = refund(taken, None).await.unwrap();
    assert_eq!(back.refunded_usd, "0.30".parse().unwrap(), "what was taken, not what was held");
    assert_eq!(back.agent.balance.balance_usd, Some("5.00".parse().unwrap()));
    assert_eq!(refused(refund(taken, None).await), RefundError::AllBack(taken));
}

#[tokio::test]
async fn two_refunds_at_once_give_no_more_than_was_taken() {
    let house = House::new().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    house.top_up("intern", "5.00").await;
    let paid = house.pay("intern", json!({"service_id": "search"})).await;
    let id: PaymentId = paid["payment_id"].as_str().unwrap().parse().unwrap();
    let refunds = (0..20).map(|_| {
        let engine = house.engine.clone();
        let refund = Refund { amount_usd: Some("0.02".parse().unwrap()), note: None };
        tokio::spawn(async move { engine.refund(id, refund).await.is_ok() })
    });
    let mut given = 0;
    for refund in refunds.collect::<Vec<_>>() {
        given += usize::from(refund.await.unwrap());
    }
    assert_eq!(given, 1);
    let balance = house.call("get_balance", "intern", json!({})).await;
    assert_eq!(balance["balance_usd"], "5.00");
}
