//! Payments by a rail that is called: what is recorded before, what comes of each answer, and what
//! becomes of them when somebody goes away.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::SignedDuration;
use pettycash::{
    clock::Clock,
    engine::{Call, Engine},
    policy::{
        came::Came,
        entry::{By, CaptureFlag, Fact},
        names::PaymentId,
    },
    rails::{Rails, Verdict},
    store::{Options, SEGMENT_BYTES, Store, replay},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    house::House,
    private_dir,
    scripted::{Act, Scripted},
    sim_disk::SimDisk,
};

/// A house with an agent of $5.00 a day, `maps` at $0.10 and `meter` without a price on the rail.
async fn house(rail: &Scripted) -> House {
    furnished(House::with(rail.rails()).await).await
}

async fn furnished(house: House) -> House {
    house.scout().await;
    let maps = json!({"id": "maps", "payee": "Acme", "price_usd": "0.10", "rail": "scripted"});
    house.service(maps).await;
    house.service(json!({"id": "search", "payee": "Acme Search", "price_usd": "0.02"})).await;
    house.service(json!({"id": "meter", "payee": "Acme", "rail": "scripted"})).await;
    house
}

/// The same on a disk in memory, whose segments have so many bytes.
pub(super) async fn house_on(disk: &SimDisk, rails: Rails, segment_bytes: u64) -> House {
    let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
    let options = Options { segment_bytes, ..Options::bare(clock.clone()) };
    let store = Store::open(disk.port(), options).unwrap();
    let engine = Engine::open(store, rails, clock.clone()).await.unwrap();
    House { dir: private_dir(), clock, engine }
}

fn maps() -> Value {
    json!({"service_id": "maps"})
}

fn keyed(key: &str) -> Value {
    json!({"service_id": "maps", "idempotency_key": key})
}

/// Asks and goes away, once the rail was called.
async fn ask_and_leave(house: &House, rail: &Scripted, arguments: Value) {
    let called = rail.calls().len() + 1;
    tokio::select! {
        answer = house.pay("scout", arguments) => panic!("{answer}"),
        () = rail.called(called) => {}
    }
}

async fn held(house: &House) -> Value {
    house.call("get_balance", "scout", json!({})).await["held_usd"].clone()
}

/// Waits until nothing is under way, and nothing held.
pub(super) async fn settled(house: &House) {
    let idle = async {
        while !house.engine.is_idle().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), idle).await.expect("an end");
}

/// The id of the newest payment.
async fn newest(house: &House) -> Value {
    house.lines("scout").await[0]["payment_id"].clone()
}

async fn fetch(house: &House, payment: &Value) -> Value {
    house.pay("scout", json!({"payment_id": payment})).await
}

#[tokio::test]
async fn a_payment_is_held_and_sent_and_what_the_rail_takes_is_captured() {
    let some = Verdict::Captured("0.07".parse().unwrap());
    let rail = Scripted::new([Act::Take, Act::Say(some)]);
    let house = house(&rail).await;
    let paid = house.pay("scout", maps()).await;
    let id = &paid["payment_id"];
    assert_eq!(
        paid,
        json!({"outcome": "paid", "payment_id": id, "service_id": "maps",
            "charged_usd": "0.10", "available_usd": "4.90"})
    );
    let order = &rail.calls()[0];
    assert_eq!(json!(order.payment), *id);
    assert_eq!((order.agent.as_str(), order.service.id.as_str()), ("scout", "maps"));
    let less = house.pay("scout", maps()).await;
    assert_eq!((&less["charged_usd"], &less["available_usd"]), (&json!("0.07"), &json!("4.83")));
    assert_eq!(held(&house).await, "0.00", "the rest of the hold came back");
    let fetched = fetch(&house, &less["payment_id"]).await;
    assert_eq!((&fetched["outcome"], &fetched["charged_usd"]), (&json!("paid"), &json!("0.07")));
    assert_eq!(
        house.outcomes("scout").await,
        ["captured", "sent", "held", "captured", "sent", "held", "created"]
    );
}

#[tokio::test]
async fn the_hold_is_durable_before_the_rail_is_called_and_a_crash_then_leaves_it_in_doubt() {
    let disk = SimDisk::default();
    let rail = Scripted::new([Act::Hang]);
    let house = furnished(house_on(&disk, rail.rails(), SEGMENT_BYTES).await).await;
    let at_call = Arc::new(std::sync::Mutex::new(SimDisk::default()));
    let (seen, kept) = (disk.clone(), Arc::clone(&at_call));
    rail.witness(move |order| {
        // What a power cut leaves that comes right now.
        let found = seen.after_power_cut(|_| false);
        let mut facts = Vec::new();
        let read = replay(found.port(), None, |record| {
            facts.extend(record.lines.iter().map(|line| line.entry.fact.clone()));
        });
        *kept.lock().unwrap() = found;
        let held = |fact: &Fact| fact.begins() == Some(order.payment);
        read.is_ok()
            && facts.iter().any(held)
            && facts.contains(&Fact::Sent { payment: order.payment })
    });
    ask_and_leave(&house, &rail, keyed("k1")).await;
    assert_eq!(rail.witnessed(), [true]);
    let crashed = at_call.lock().unwrap().clone();
    let other = Scripted::new([Act::Take]);
    let house = house_on(&crashed, other.rails(), SEGMENT_BYTES).await;
    let doubt = house.pay("scout", keyed("k1")).await;
    assert_eq!((&doubt["outcome"], &doubt["replayed"]), (&json!("in_doubt"), &json!(true)));
    assert_eq!(held(&house).await, "0.10");
    assert_eq!(house.outcomes("scout").await, ["in_doubt", "sent", "held", "created"]);
    assert_eq!(other.calls().len(), 0, "what may have been paid is never sent again");
}

#[tokio::test]
async fn what_the_rail_refuses_or_cannot_send_is_charged_nothing() {
    let rail = Scripted::new([Act::Say(Verdict::Failed), Act::Say(Verdict::NotSent), Act::Take]);
    let house = house(&rail).await;
    let failed = house.pay("scout", keyed("k1")).await;
    let id = &failed["payment_id"];
    assert_eq!(
        failed,
        json!({"outcome": "failed", "code": "payment_failed", "advice": "wait",
            "message": "The payee's side refused this payment. Nothing was charged.",
            "retry_after_s": 5, "payment_id": id})
    );
    let again = house.pay("scout", keyed("k1")).await;
    assert_eq!((&again["outcome"], &again["replayed"]), (&json!("failed"), &json!(true)));
    assert_eq!(fetch(&house, id).await, again);
    let unsent = house.pay("scout", keyed("k2")).await;
    assert_eq!((&unsent["outcome"], &unsent["code"]), (&json!("failed"), &json!("payment_failed")));
    assert_eq!(held(&house).await, "0.00");
    assert_eq!(rail.calls().len(), 2, "a key that failed is not sent again");
    let paid = house.pay("scout", keyed("k2")).await;
    assert_eq!(paid["outcome"], "paid", "what was never sent frees its key");
    assert_eq!(house.outcomes("scout").await[3..6], ["voided", "sent", "held"]);
}

#[tokio::test]
async fn what_is_in_doubt_keeps_its_money_held_and_a_restart_changes_nothing() {
    let rail = Scripted::within(Duration::from_millis(50), [Act::Hang]);
    let house = house(&rail).await;
    let doubt = house.pay("scout", keyed("k1")).await;
    let id = doubt["payment_id"].clone();
    assert_eq!(
        doubt,
        json!({"outcome": "in_doubt", "code": "payment_in_doubt",
            "message": "Nobody knows yet whether this payment reached the payee, so $0.10 stays \
                held. Do not pay again; call with this payment_id alone to learn the outcome.",
            "advice": "wait", "retry_after_s": 60, "payment_id": id, "service_id": "maps"})
    );
    let mut house = house;
    for _ in 0..2 {
        assert_eq!(held(&house).await, "0.10");
        let replayed = house.pay("scout", keyed("k1")).await;
        assert_eq!((&replayed["outcome"], &replayed["payment_id"]), (&json!("in_doubt"), &id));
        assert_eq!(fetch(&house, &id).await["outcome"], "in_doubt");
        assert!(!house.engine.is_idle().await, "somebody must settle it");
        assert_eq!(house.outcomes("scout").await, ["in_doubt", "sent", "held", "created"]);
        house = house.reopened_with(rail.rails()).await;
    }
    assert_eq!(rail.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rail_that_breaks_blocks_or_takes_too_much_leaves_a_doubt() {
    let more = Verdict::Captured("0.11".parse().unwrap());
    let (long, short) = (Duration::from_secs(60), Duration::from_millis(100));
    let late = Act::Block(Duration::from_millis(300));
    let broken = [Act::Panic, Act::Say(more), Act::Say(Verdict::InDoubt)].map(|act| (act, long));
    for (act, within) in broken.into_iter().chain([(late, short)]) {
        let rail = Scripted::within(within, [act]);
        let house = house(&rail).await;
        let doubt = house.pay("scout", maps()).await;
        assert_eq!(doubt["outcome"], "in_doubt", "{act:?}: {doubt}");
        assert_eq!(held(&house).await, "0.10", "{act:?}");
        let balance = house.call("get_balance", "scout", json!({})).await;
        assert_eq!(balance["caps"][0]["held_usd"], "0.10", "{act:?}");
    }
}

#[tokio::test]
async fn what_is_metered_at_more_than_was_held_is_taken_in_full_and_told() {
    let flagged = |amount: &str, flag| Act::Say(Verdict::Flagged(amount.parse().unwrap(), flag));
    let rail = Scripted::new([
        flagged("4.95", CaptureFlag::Overrun),
        flagged("0.10", CaptureFlag::OutcomeUnknown),
        flagged("0.11", CaptureFlag::OutcomeUnknown),
    ]);
    let house = house(&rail).await;
    let paid = house.pay("scout", keyed("k1")).await;
    assert_eq!((&paid["outcome"], &paid["charged_usd"]), (&json!("paid"), &json!("4.95")));
    assert_eq!(paid["available_usd"], "0.05");
    let again = house.pay("scout", keyed("k1")).await;
    assert_eq!((&again["replayed"], &again["charged_usd"]), (&json!(true), &json!("4.95")));
    let line = house.lines("scout").await[0].clone();
    assert_eq!((&line["outcome"], &line["amount_usd"]), (&json!("captured"), &json!("4.95")));
    assert_eq!(line["detail"], "more than was held, for it is metered at the end");
    let denied = house.pay("scout", maps()).await;
    assert_eq!(denied["code"], "cap_exceeded", "{denied}");
    let house = house.reopened_with(rail.rails()).await;
    let balance = house.call("get_balance", "scout", json!({})).await;
    assert_eq!((&balance["available_usd"], &balance["held_usd"]), (&json!("0.05"), &json!("0.00")));
    house.pass(SignedDuration::from_hours(24));
    assert_eq!(house.pay("scout", maps()).await["outcome"], "paid");
    let line = house.lines("scout").await[0].clone();
    assert_eq!(line["detail"], "nobody knows whether it was charged: the service has it count");
    assert_eq!(house.pay("scout", maps()).await["outcome"], "in_doubt", "it does not meter");
}

#[tokio::test]
async fn the_same_key_while_a_payment_is_under_way_is_told_so_and_sent_once() {
    let rail = Scripted::new([Act::OnCue]);
    let house = house(&rail).await;
    ask_and_leave(&house, &rail, keyed("k1")).await;
    let id = newest(&house).await;
    for asked in [keyed("k1"), json!({"payment_id": id})] {
        let meanwhile = house.pay("scout", asked).await;
        assert_eq!((&meanwhile["outcome"], &meanwhile["payment_id"]), (&json!("in_progress"), &id));
    }
    rail.cue(Verdict::Captured("0.10".parse().unwrap()));
    settled(&house).await;
    for asked in [keyed("k1"), json!({"payment_id": id})] {
        let paid = house.pay("scout", asked).await;
        assert_eq!((&paid["outcome"], &paid["payment_id"]), (&json!("paid"), &id));
        assert_eq!(paid["replayed"], true);
    }
    assert_eq!(rail.calls().len(), 1);
    assert_eq!(house.outcomes("scout").await, ["captured", "sent", "held", "created"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_with_one_key_call_the_rail_once() {
    let rail = Scripted::new([Act::TakeAfter(Duration::from_millis(50))]);
    let house = house(&rail).await;
    let answers = join_all((0..50).map(|_| house.pay("scout", keyed("k1")))).await;
    let count = |outcome: &str| answers.iter().filter(|a| a["outcome"] == outcome).count();
    assert_eq!(count("paid") + count("in_progress"), 50, "{answers:?}");
    assert!(count("paid") >= 1);
    assert!(answers.windows(2).all(|two| two[0]["payment_id"] == two[1]["payment_id"]));
    assert_eq!(rail.calls().len(), 1);
    assert_eq!(house.outcomes("scout").await, ["captured", "sent", "held", "created"]);
}

#[tokio::test]
async fn an_equal_payment_without_a_key_may_be_a_duplicate_only_while_the_other_is_open() {
    let rail = Scripted::new([Act::OnCue]);
    let house = house(&rail).await;
    let meter = |amount| json!({"service_id": "meter", "amount_usd": amount});
    ask_and_leave(&house, &rail, meter("0.10")).await;
    let first = newest(&house).await;
    let denied = house.pay("scout", meter("0.10")).await;
    assert_eq!(
        (&denied["code"], &denied["advice"]),
        (&json!("possible_duplicate"), &json!("wait"))
    );
    let message = denied["message"].as_str().unwrap();
    assert!(message.contains(first.as_str().unwrap()) && message.contains("Nothing was charged"));
    // Another amount, service or agent, and one with a name of its own, are other payments.
    house.agent(json!({"handle": "other", "funding": "prepaid"})).await;
    house.top_up("other", "1.00").await;
    let named = json!({"service_id": "meter", "amount_usd": "0.10", "idempotency_key": "two"});
    let (cent, maps) = (meter("0.11"), maps());
    let others = [("scout", cent), ("scout", maps), ("scout", named), ("other", meter("0.10"))];
    let asked = others.map(|(agent, ask)| house.pay(agent, ask));
    tokio::select! {
        answers = join_all(asked) => panic!("{answers:?}"),
        () = rail.called(5) => {}
    }
    rail.cue(Verdict::InDoubt);
    let doubtful = async {
        while fetch(&house, &first).await["outcome"] != "in_doubt" {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), doubtful).await.unwrap();
    let denied = house.pay("scout", meter("0.10")).await;
    assert_eq!(denied["code"], "possible_duplicate", "nobody knows whether the first was made");
    house.revoke("scout").await;
    let denied = house.pay("scout", meter("0.10")).await;
    assert_eq!((&denied["code"], &denied["advice"]), (&json!("agent_revoked"), &json!("stop")));
}

#[tokio::test]
async fn equal_payments_that_are_settled_or_recorded_only_are_no_duplicates() {
    let rail = Scripted::within(Duration::from_millis(50), [Act::Take, Act::Take, Act::Hang]);
    let house = house(&rail).await;
    for _ in 0..2 {
        assert_eq!(house.pay("scout", maps()).await["outcome"], "paid");
    }
    // An equal payment by the record is never open, whatever is open beside it.
    house.service(json!({"id": "owed", "payee": "Acme", "price_usd": "0.10"})).await;
    assert_eq!(house.pay("scout", maps()).await["outcome"], "in_doubt");
    for _ in 0..2 {
        assert_eq!(house.pay("scout", json!({"service_id": "owed"})).await["outcome"], "paid");
    }
    let maps_owed = json!({"id": "maps", "payee": "Acme", "price_usd": "0.10", "replace": true});
    house.service(maps_owed).await;
    assert_eq!(house.pay("scout", maps()).await["outcome"], "paid", "the doubt is another rail's");
}

#[tokio::test]
async fn what_was_sent_settles_to_the_truth_after_a_revocation_or_a_freeze() {
    for verdict in [Verdict::Captured("0.10".parse().unwrap()), Verdict::Failed, Verdict::InDoubt] {
        for freezes in [false, true] {
            let rail = Scripted::new([Act::OnCue]);
            let house = house(&rail).await;
            ask_and_leave(&house, &rail, keyed("k1")).await;
            if freezes {
                let freezing = serde_json::from_value(json!({"reason": "review"})).unwrap();
                house.engine.freeze(&"scout".parse().unwrap(), freezing).await.unwrap();
            } else {
                house.revoke("scout").await;
            }
            assert_eq!(held(&house).await, "0.10", "what was sent cannot be called back");
            rail.cue(verdict);
            let (outcome, left) = match verdict {
                Verdict::Captured(_) | Verdict::Flagged(..) => ("paid", "0.00"),
                Verdict::Failed => ("failed", "0.00"),
                Verdict::NotSent | Verdict::NotReady | Verdict::InDoubt => ("in_doubt", "0.10"),
            };
            let truth = async {
                while house.pay("scout", keyed("k1")).await["outcome"] != outcome {
                    tokio::task::yield_now().await;
                }
            };
            timeout(Duration::from_secs(20), truth).await.expect("the truth");
            assert_eq!(held(&house).await, left, "{verdict:?}");
            let code = if freezes { "agent_frozen" } else { "agent_revoked" };
            assert_eq!(house.pay("scout", json!({"service_id": "search"})).await["code"], code);
        }
    }
}

#[tokio::test]
async fn a_caller_is_answered_in_time_and_the_payment_goes_on() {
    let rail = Scripted::new([Act::OnCue]);
    let house = house(&rail).await;
    let pay = house.pay("scout", maps());
    let watch = async {
        rail.called(1).await;
        // Nothing is with the store now: the time may run ahead.
        tokio::time::pause();
        tokio::time::Instant::now()
    };
    let (answer, began) = tokio::join!(pay, watch);
    let waited = began.elapsed();
    tokio::time::resume();
    assert_eq!(answer["outcome"], "in_progress");
    assert!(answer["payment_id"].is_string(), "{answer}");
    assert!(waited <= Duration::from_secs(21), "{waited:?}");
    assert!(!house.engine.is_idle().await, "it is under way");
    let short = Duration::from_millis(50);
    assert!(timeout(short, house.engine.all_ended()).await.is_err(), "it is under way");
    rail.cue(Verdict::Captured("0.10".parse().unwrap()));
    timeout(Duration::from_secs(20), house.engine.all_ended()).await.expect("its end");
    assert_eq!(fetch(&house, &answer["payment_id"]).await["outcome"], "paid");
}

#[tokio::test]
async fn an_outcome_that_finds_no_room_is_recorded_once_there_is_some() {
    let disk = SimDisk::default();
    let rail = Scripted::new([Act::OnCue]);
    let house = furnished(house_on(&disk, rail.rails(), 1).await).await;
    ask_and_leave(&house, &rail, keyed("k1")).await;
    disk.set_capacity(disk.used());
    rail.cue(Verdict::Captured("0.10".parse().unwrap()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(house.pay("scout", keyed("k1")).await["outcome"], "in_progress");
    assert!(!house.engine.is_idle().await);
    disk.set_capacity(usize::MAX);
    settled(&house).await;
    assert_eq!(house.pay("scout", keyed("k1")).await["outcome"], "paid");
    assert_eq!(rail.calls().len(), 1);
}

#[tokio::test]
async fn an_outcome_that_cannot_be_recorded_is_in_doubt_from_the_next_start_on() {
    let disk = SimDisk::default();
    let rail = Scripted::new([Act::OnCue]);
    let house = furnished(house_on(&disk, rail.rails(), SEGMENT_BYTES).await).await;
    ask_and_leave(&house, &rail, keyed("k1")).await;
    let id = newest(&house).await;
    disk.power_off_at(disk.boundaries() + 1);
    let waiting = house.pay("scout", keyed("k1")).await;
    assert_eq!(waiting["outcome"], "in_progress");
    rail.cue(Verdict::Captured("0.10".parse().unwrap()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let unsure = house.pay("scout", keyed("k1")).await;
    assert_eq!(unsure["outcome"], "in_progress", "{unsure}");
    let found = disk.after_power_cut(|_| false);
    let house = house_on(&found, Scripted::new([Act::Take]).rails(), SEGMENT_BYTES).await;
    assert_eq!(fetch(&house, &id).await["outcome"], "in_doubt");
    assert_eq!(house.outcomes("scout").await[..3], ["in_doubt", "sent", "held"]);
}

#[tokio::test]
async fn a_service_is_paid_by_a_rail_that_there_is() {
    let rail = Scripted::new([Act::Take]);
    let house = house(&rail).await;
    let new = json!({"id": "far", "payee": "Acme", "rail": "telegraph"});
    let refused = house.engine.add_service(serde_json::from_value(new).unwrap()).await;
    let problem = refused.unwrap_err().problem();
    assert_eq!((problem.status, &*problem.code), (422, "rail_unknown"));
    assert_eq!(problem.detail, "there is no rail `telegraph`: there is `iou`, `scripted`");
    let services = house.engine.services().await.unwrap().services;
    assert!(services.iter().all(|service| service.service_id.0.as_str() != "far"));
    // A start without a rail that services are paid by pays nothing for them.
    let house = house.reopened().await;
    let denied = house.pay("scout", maps()).await;
    assert_eq!((&denied["outcome"], &denied["advice"]), (&json!("denied"), &json!("wait")));
    assert_eq!(house.outcomes("scout").await, ["created"]);
    assert_eq!(house.pay("scout", json!({"service_id": "search"})).await["outcome"], "paid");
}

#[tokio::test]
async fn the_record_says_who_asked() {
    let disk = SimDisk::default();
    let rail = Scripted::new([Act::Take]);
    let house = furnished(house_on(&disk, rail.rails(), SEGMENT_BYTES).await).await;
    for by in [By::Agent, By::Operator] {
        for arguments in [json!({"service_id": "search"}), maps(), json!({"service_id": "nope"})] {
            let agent = "scout".parse().unwrap();
            let came = if by == By::Agent { Came::Local } else { Came::Operator(None) };
            let call = Call { agent, run: None, call_id: None, arguments, came, via: None };
            house.engine.call("pay_for_api_call", call).await.unwrap();
        }
    }
    house.engine.close().await;
    let mut asked: Vec<(PaymentId, By)> = Vec::new();
    replay(disk.port(), None, |record| {
        let begun = record
            .lines
            .iter()
            .filter_map(|line| line.entry.fact.begins().map(|payment| (payment, line.entry.by)));
        asked.extend(begun);
    })
    .unwrap();
    let by: Vec<By> = asked.into_iter().map(|(_, by)| by).collect();
    assert_eq!(by[..3], [By::Agent; 3]);
    assert_eq!(by[3..], [By::Operator; 3]);
    let outside = json!({"agent": "scout", "by": "operator"});
    assert!(serde_json::from_value::<Call>(outside).is_err(), "no call from outside says so");
}

#[tokio::test]
async fn operators_read_in_words_what_an_entry_says_beyond_its_line() {
    let rail = Scripted::new([Act::Say(Verdict::NotSent)]);
    let house = house(&rail).await;
    house.pay("scout", maps()).await;
    let lines = house.lines("scout").await;
    assert_eq!(lines[0]["detail"], "the rail proved that nothing was sent");
    let granted = "allowance, 5.00/day, at most $0.25 a payment, days of UTC";
    assert_eq!(lines.last().unwrap()["detail"], granted);
    let own = house.call("ledger", "scout", json!({})).await;
    assert!(!own.to_string().contains("detail"), "agents read lines only: {own}");
}
