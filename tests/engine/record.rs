//! What is recorded, read back, recovered and verified.

use std::{path::Path, sync::Arc};

use pettycash::{
    clock::Clock,
    engine::{Engine, recover::Places, verify},
    policy::{
        entry::{Binding, By, Draft, Fact, Hold, Windows},
        names::{Handle, PaymentId},
        terms::{LedgerAsked, LedgerPage, Revocation},
    },
    rails::Rails,
    store::{Decision, Options, Purpose, Store},
};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    file_disk,
    house::{House, store},
    private_dir,
    sim_disk::SimDisk,
};

#[tokio::test]
async fn what_the_operator_notes_is_not_for_the_agent() {
    let house = House::new().await;
    house.scout().await;
    let note = "suspected of theft";
    let (reason, note) = ("theft".parse().unwrap(), Some(note.parse().unwrap()));
    house.engine.revoke(&"scout".parse().unwrap(), Revocation { reason, note }).await.unwrap();
    for tool in ["ledger", "get_balance"] {
        let answer = house.call(tool, "scout", json!({})).await.to_string();
        assert!(!answer.contains("suspected"), "{answer}");
    }
    assert_eq!(house.lines("scout").await[0]["note"], "suspected of theft");
}

#[tokio::test]
async fn a_revocation_releases_more_holds_than_one_record_carries() {
    let house = House::new().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    house.top_up("intern", "1000.00").await;
    house.engine.close().await;
    let House { dir, clock, engine } = house;
    drop(engine);
    let records = store(dir.path(), &clock);
    let intern: Handle = "intern".parse().unwrap();
    for _ in 0..1_500 {
        let agent = intern.clone();
        records.commit(Purpose::Record, move |_, id, _| hold(&agent, id, false)).await.unwrap();
    }
    records.close().await;
    drop(records);
    let engine =
        Engine::open(store(dir.path(), &clock), Rails::default(), clock.clone()).await.unwrap();
    let house = House { dir, clock, engine };
    let balance = house.call("get_balance", "intern", json!({})).await;
    assert_eq!(balance["held_usd"], "0.00");
}

#[tokio::test]
async fn counted_denials_are_written_when_the_engine_closes() {
    let house = House::new().await;
    house.scout().await;
    for _ in 0..3 {
        house.pay("scout", json!({"service_id": "nope"})).await;
    }
    let house = house.reopened().await;
    let outcomes = house.outcomes("scout").await;
    assert_eq!(outcomes, ["denied", "denied_again", "denied", "created"]);
}

#[tokio::test]
async fn at_open_what_was_held_is_voided_and_what_was_sent_is_in_doubt() {
    let house = House::new().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    house.top_up("intern", "1.00").await;
    house.engine.close().await;
    let House { dir, clock, engine } = house;
    drop(engine);
    let intern: Handle = "intern".parse().unwrap();
    let records = store(dir.path(), &clock);
    let mut held = Vec::new();
    for sent in [false, true] {
        let agent = intern.clone();
        held.push(
            records.commit(Purpose::Record, move |_, id, _| hold(&agent, id, sent)).await.unwrap(),
        );
    }
    records.close().await;
    drop(records);
    let engine =
        Engine::open(store(dir.path(), &clock), Rails::default(), clock.clone()).await.unwrap();
    let house = House { dir, clock, engine };
    assert_eq!(house.outcomes("intern").await[..2], ["in_doubt", "voided"]);
    let balance = house.call("get_balance", "intern", json!({})).await;
    assert_eq!(balance["held_usd"], "0.30", "what was sent stays held");
    assert_eq!(balance["available_usd"], "0.70");
    let voided = house.pay("intern", json!({"payment_id": held[0]})).await;
    assert_eq!(voided["outcome"], "failed");
    let open = house.pay("intern", json!({"payment_id": held[1]})).await;
    assert_eq!(open["outcome"], "in_doubt");
    // The key of what was never sent is free again, that of what was sent is not.
    let retry = |sent: bool| {
        json!({"service_id": "report", "amount_usd": "0.30",
        "idempotency_key": format!("sent-{sent}")})
    };
    let fresh = house.pay("intern", retry(false)).await;
    assert_eq!(fresh["outcome"], "paid");
    assert_eq!(fresh.get("replayed"), None);
    let open = house.pay("intern", retry(true)).await;
    assert_eq!(open["outcome"], "in_doubt");
    assert_eq!(open["payment_id"], json!(held[1]));
}

fn hold(agent: &Handle, id: PaymentId, sent: bool) -> Decision<PaymentId> {
    let hold = Hold {
        payment: id,
        service: "report".parse().unwrap(),
        payee: "Acme Reports".parse().unwrap(),
        amount: "0.30".parse().unwrap(),
        windows: Windows { hour: 0, day: 0, week: 0, month: 0, minute: None },
        binding: Some(Binding {
            key: format!("sent-{sent}").parse().unwrap(),
            call: None,
            asked: Some("0.30".parse().unwrap()),
            until: "2027-01-01T00:00:00Z".parse().unwrap(),
        }),
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
    let draft = |fact| Draft { agent: Some(agent.clone()), by: By::Agent, fact };
    let mut drafts = vec![draft(Fact::Held(hold))];
    if sent {
        drafts.push(draft(Fact::Sent { payment: id }));
    }
    Decision::Commit { drafts, durable: true, answer: Box::new(move |_| id) }
}

#[tokio::test]
async fn the_ledger_pages_without_gaps_or_repeats() {
    let house = House::new().await;
    house.scout().await;
    let mut paid = Vec::new();
    for _ in 0..45 {
        let answer = house.pay("scout", json!({"service_id": "search"})).await;
        paid.push(answer["payment_id"].as_str().unwrap().to_owned());
    }
    let mut seen = Vec::new();
    let mut ask = json!({"limit": 20});
    loop {
        let page = house.call("ledger", "scout", ask).await;
        let entries = page["entries"].as_array().unwrap();
        seen.extend(
            entries.iter().filter_map(|line| line["payment_id"].as_str().map(String::from)),
        );
        // A payment made meanwhile is newer than every page to come.
        house.pay("scout", json!({"service_id": "search"})).await;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        ask = json!({"limit": 20, "cursor": cursor});
    }
    paid.reverse();
    assert_eq!(seen, paid);
}

#[tokio::test]
async fn a_made_up_cursor_is_an_invalid_request() {
    let house = House::new().await;
    house.scout().await;
    house.agent(json!({"handle": "other", "funding": "prepaid"})).await;
    house.top_up("other", "1.00").await;
    let page = house
        .engine
        .ledger(LedgerAsked::page(Some("other".parse().unwrap()), None, Some(1)))
        .await
        .unwrap();
    let theirs = page.next_cursor.unwrap();
    house.pay("scout", json!({"service_id": "search"})).await;
    let own = house.call("ledger", "scout", json!({"limit": 1})).await;
    let misspelt = format!("0{}", own["next_cursor"].as_str().unwrap());
    for cursor in [
        &*theirs,
        &*misspelt,
        "",
        "x",
        "0-0",
        "ffff-1",
        "+1-1",
        "01-1",
        "1-1-1",
        "ffffffffffffffff-1",
    ] {
        let answer = house.call("ledger", "scout", json!({"cursor": cursor})).await;
        assert_eq!(answer["code"], "invalid_request", "{cursor}");
        assert_eq!(answer["field"], "cursor");
    }
}

#[tokio::test]
async fn the_catalogue_pages_and_leaves_out_what_may_not_be_paid() {
    let house = House::new().await;
    house.agent(json!({"handle": "narrow", "funding": "prepaid", "deny": ["report"]})).await;
    let all = house.call("list_services", "narrow", json!({})).await;
    assert_eq!(
        all,
        json!({"services": [{"service_id": "search", "payee": "Acme Search", "price_usd": "0.02"}]})
    );
    for n in 0..5 {
        house.service(json!({"id": format!("s{n}"), "payee": "P"})).await;
    }
    let first = house.call("list_services", "narrow", json!({"limit": 4})).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = house.call("list_services", "narrow", json!({"limit": 4, "cursor": cursor})).await;
    let names: Vec<_> = [&first, &rest]
        .iter()
        .flat_map(|page| page["services"].as_array().unwrap())
        .map(|service| service["service_id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["s0", "s1", "s2", "s3", "s4", "search"]);
    assert_eq!(rest.get("next_cursor"), None);
    let made_up = house.call("list_services", "narrow", json!({"cursor": "zzzz"})).await;
    assert_eq!(
        (&made_up["code"], &made_up["field"]),
        (&json!("invalid_request"), &json!("cursor"))
    );
    let as_text = house.call("list_services", "narrow", json!({"limit": "2"})).await;
    assert_eq!(as_text["services"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn everybodys_ledger_holds_every_entry_once() {
    let house = House::new().await;
    house.scout().await;
    house.agent(json!({"handle": "intern", "funding": "prepaid"})).await;
    house.top_up("intern", "1.00").await;
    house.pay("scout", json!({"service_id": "search"})).await;
    let mut told = Vec::new();
    let mut cursor = None;
    loop {
        let LedgerPage { entries, next_cursor } =
            house.engine.ledger(LedgerAsked::page(None, cursor, Some(2))).await.unwrap();
        told.extend(entries.into_iter().map(|entry| entry.line.outcome));
        cursor = next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let all = ["paid", "credited", "created", "created", "service_set", "service_set"];
    assert_eq!(told, all);
}

#[tokio::test]
async fn verify_finds_the_books_of_a_living_engine_right() {
    let house = House::new().await;
    house.scout().await;
    for amount in ["0.10", "0.40", "0.40", "0.20"] {
        house.pay("scout", json!({"service_id": "report", "amount_usd": amount})).await;
    }
    let mut books = house.engine.books().await.unwrap();
    let found = verify::verify_beside(&places(&house.dir), &books).unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert_eq!(found.agents, 1);
    books.books[0].captured = "0.29".parse().unwrap();
    let found = verify::verify_beside(&places(&house.dir), &books).unwrap();
    assert_eq!(found.problems.len(), 1, "a book that is not its entries went unnoticed");
}

fn places(dir: &TempDir) -> Places {
    let (journal, desk) = (dir.path().join("journal"), dir.path().join("desk"));
    Places { journal, archive: None, desk, anchors: None }
}

/// Looks once nobody holds the locks: a process that another test starts does until it runs.
fn kept(places: &Places) -> verify::Kept {
    let looked = (0..500).find_map(|_| match verify::Kept::look(places) {
        Err(verify::VerifyError::InUse) => {
            std::thread::sleep(std::time::Duration::from_millis(10));
            None
        }
        looked => Some(looked.unwrap()),
    });
    looked.expect("the locks")
}

#[tokio::test]
async fn verify_alone_compares_the_desk_with_the_journal() {
    let house = House::new().await;
    house.scout().await;
    house.pay("scout", json!({"service_id": "search"})).await;
    house.engine.close().await;
    let House { dir, engine, .. } = house;
    drop(engine);
    let (journal, desk) = (dir.path().join("journal"), dir.path().join("desk"));
    let found = kept(&places(&dir)).verify().unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert_eq!((found.agents, found.entries), (1, 4));
    // A journal that is gone is not an empty one.
    std::fs::rename(&journal, dir.path().join("elsewhere")).unwrap();
    assert!(matches!(verify::Kept::look(&places(&dir)), Err(verify::VerifyError::Broken(_))));
    std::fs::rename(dir.path().join("elsewhere"), &journal).unwrap();
    // A desk that cannot be read is rebuilt at the next start: it speaks against nothing.
    std::fs::write(desk.join("conf"), "rubbish").unwrap();
    let found = kept(&places(&dir)).verify().unwrap();
    assert_eq!((found.problems.len(), found.entries), (0, 4));
}

#[tokio::test]
async fn after_a_failed_sync_nobody_is_told_that_nothing_was_charged() {
    let disk = SimDisk::default();
    let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
    let options = Options::bare(clock.clone());
    let records = Store::open(disk.port(), options.clone()).unwrap();
    let engine = Engine::open(records, Rails::default(), clock.clone()).await.unwrap();
    let house = House { dir: private_dir(), clock: clock.clone(), engine };
    house.scout().await;
    house.service(json!({"id": "search", "payee": "Acme", "price_usd": "0.02"})).await;
    disk.fail_at(disk.boundaries() + 2, std::io::ErrorKind::Other);
    let ask = json!({"service_id": "search", "idempotency_key": "k1"});
    let unknown = house.pay("scout", ask.clone()).await;
    assert_eq!(unknown["outcome"], "in_progress", "{unknown}");
    assert_eq!(unknown["idempotency_key"], "k1");
    let refused = house.pay("scout", json!({"service_id": "search"})).await;
    assert_eq!(refused["code"], "ledger_unwritable");
    assert_eq!(refused["advice"], "ask_operator");
    let asked_again = house.pay("scout", ask.clone()).await;
    assert_eq!(asked_again["outcome"], "in_progress", "the key stands for what may be lost yet");
    // What was written is found when the record is opened again, and the key knows it.
    let records = Store::open(disk.copy().port(), options).unwrap();
    let engine = Engine::open(records, Rails::default(), clock.clone()).await.unwrap();
    let house = House { engine, ..house };
    let known = house.pay("scout", ask).await;
    assert_eq!((&known["outcome"], &known["replayed"]), (&json!("paid"), &json!(true)));
}

#[tokio::test]
async fn segments_that_were_moved_away_are_missed_honestly_and_verify_with_the_archive() {
    let dir = private_dir();
    let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
    let (journal, archive) = (dir.path().join("journal"), private_dir());
    let open = || {
        let options = Options::new(clock.clone(), dir.path().join("desk"));
        let options = Options { segment_bytes: 4_000, ..options };
        Store::open(Arc::new(file_disk(&journal)), options).unwrap()
    };
    let engine = Engine::open(open(), Rails::default(), clock.clone()).await.unwrap();
    let house = House { dir: private_dir(), clock: clock.clone(), engine };
    house.scout().await;
    house.service(json!({"id": "search", "payee": "Acme", "price_usd": "0.02"})).await;
    for _ in 0..40 {
        house.pay("scout", json!({"service_id": "search"})).await;
    }
    house.engine.close().await;
    drop(house);
    let mut segments: Vec<_> =
        std::fs::read_dir(&journal).unwrap().map(|found| found.unwrap().file_name()).collect();
    segments.retain(|name| name.to_string_lossy().ends_with(".journal"));
    segments.sort();
    assert!(segments.len() > 3, "{segments:?}");
    for name in &segments[..2] {
        std::fs::rename(journal.join(name), archive.path().join(name)).unwrap();
    }
    // It opens, goes on, and pages end where the segments are missing, and say so.
    let engine = Engine::open(open(), Rails::default(), clock.clone()).await.unwrap();
    let house = House { dir: private_dir(), clock: clock.clone(), engine };
    let paid = house.pay("scout", json!({"service_id": "search"})).await;
    assert_eq!(paid["outcome"], "paid");
    let (mut cursor, mut seen) = (None, 0);
    let error = loop {
        let scout = Some("scout".parse().unwrap());
        match house.engine.ledger(LedgerAsked::page(scout, cursor, Some(10))).await {
            Ok(LedgerPage { entries, next_cursor }) => {
                seen += entries.len();
                cursor = next_cursor;
                assert!(cursor.is_some(), "the ledger seems to end");
            }
            Err(error) => break error,
        }
    };
    assert!(seen > 10, "{seen}");
    let problem = error.problem();
    assert!(problem.detail.contains("moved out of the journal"), "{}", problem.detail);
    assert!(problem.hint.is_some());
    house.engine.close().await;
    drop(house);
    let alone = places(&dir);
    let whole = Places { archive: Some(archive.path().to_owned()), ..alone.clone() };
    let found = kept(&whole).verify().unwrap();
    assert_eq!((found.problems, found.skipped), (vec![], 0));
    let found = kept(&alone).verify().unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(found.skipped > 10, "{}", found.skipped);
    // Damage is found with the archive, and in what is here without it.
    let spoil = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[300] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    spoil(&archive.path().join(&segments[0]));
    assert!(kept(&alone).verify().is_ok());
    assert!(matches!(kept(&whole).verify(), Err(verify::VerifyError::Broken(_))));
    spoil(&journal.join(&segments[2]));
    assert!(matches!(kept(&alone).verify(), Err(verify::VerifyError::Broken(_))));
}
