//! A full disk, and one that fails: what narrows a budget is done all the same.

use std::{io::ErrorKind, time::Duration};

use pettycash::policy::{book::Standing, entry::Incident};

use super::*;

const MIB: usize = 1024 * 1024;

fn standing(state: &State, agent: &str) -> Standing {
    state.book(&handle(agent)).unwrap().standing.clone()
}

async fn is_revoked(store: &Store, agent: &str) -> bool {
    matches!(standing(&state_of(store).await, agent), Standing::Revoked { .. })
}

async fn until(what: &str, is: impl AsyncFn() -> bool) {
    for _ in 0..500 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: it did not come to that");
}

/// Uses up what room there is.
async fn fill(store: &Store) -> StoreError {
    fill_for(store, "scout").await
}

/// The same with credits to another.
async fn fill_for(store: &Store, agent: &str) -> StoreError {
    loop {
        if let Err(error) = commit(store, vec![credit(agent, 1)]).await {
            return error;
        }
    }
}

#[test]
fn little_room_refuses_new_payments_and_nothing_else() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        disk.set_capacity(disk.used() + 10 * MIB);
        let spend = vec![credit("scout", 1)];
        let refused = commit_for(&store, Purpose::Spend, spend).await.unwrap_err();
        assert!(matches!(refused, StoreError::Low { .. }), "{refused}");
        let told = "only 10 MiB are free on the disk, new payments need 64 MiB";
        assert_eq!(refused.to_string(), told);
        assert!(matches!(store.condition().recording, Recording::Low { .. }));
        commit(&store, vec![credit("scout", 1)]).await.unwrap();
        lower(&store, vec![revoked("scout")]).await.unwrap();
        store.close().await;
    });
}

#[test]
fn the_ballast_makes_room_for_a_revocation_and_is_put_back() {
    let disk = SimDisk::default();
    let options = Options { ballast: MIB as u64, ..options(SEGMENT_BYTES) };
    let holds = |name: &str| disk.names().iter().any(|found| found == name);
    block_on(async {
        let store = Store::open(disk.port(), options).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        until("ballast", async || holds("ballast") && disk.bytes("ballast").len() == MIB).await;
        disk.set_capacity(disk.used());
        let full = fill(&store).await;
        assert!(matches!(full, StoreError::Full), "{full}");
        assert!(matches!(store.condition().recording, Recording::Full | Recording::Low { .. }));
        lower(&store, vec![revoked("scout")]).await.unwrap();
        assert!(!holds("ballast"), "given up");
        let (state, ..) = fold(&disk);
        assert!(matches!(standing(&state, "scout"), Standing::Revoked { .. }), "and recorded");
        disk.set_capacity(usize::MAX);
        until("refilled", async || holds("ballast") && disk.bytes("ballast").len() == MIB).await;
        store.close().await;
    });
}

#[test]
fn a_revocation_without_room_is_in_force_and_recorded_before_anything_else() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout"), opened("intern")]).await.unwrap();
        disk.set_capacity(disk.used());
        fill(&store).await;
        for agent in ["scout", "intern"] {
            let told = lower(&store, vec![revoked(agent)]).await.unwrap_err();
            assert!(matches!(told, StoreError::InMemory { .. }), "{told}");
            assert!(is_revoked(&store, agent).await);
        }
        assert_eq!(store.condition().in_memory, 2);
        let (state, before, _) = fold(&disk);
        assert_eq!(standing(&state, "scout"), Standing::Active, "not recorded");
        disk.set_capacity(usize::MAX);
        commit(&store, vec![credit("intern", 9)]).await.unwrap();
        assert_eq!(store.condition().in_memory, 0);
        let (state, after, _) = fold(&disk);
        assert_eq!(state, state_of(&store).await);
        let facts = after[before.len()..].iter().flat_map(|record| &record.lines);
        let facts: Vec<Fact> = facts.map(|line| line.entry.fact.clone()).collect();
        assert!(
            matches!(
                &facts[..],
                [Fact::Revoked { .. }, Fact::Revoked { .. }, Fact::Credited { .. }]
            ),
            "{facts:?}"
        );
        store.close().await;
    });
}

#[test]
fn more_than_one_record_holds_in_memory_becomes_as_many_records_as_it_takes() {
    let disk = SimDisk::default();
    let agents: Vec<String> = (0..200).map(|n| format!("agent-{n}")).collect();
    block_on(async {
        let store = Store::open(disk.port(), options(MIB as u64 / 2)).unwrap();
        for some in agents.chunks(50) {
            commit(&store, some.iter().map(|agent| opened(agent)).collect()).await.unwrap();
        }
        disk.set_capacity(disk.used());
        fill_for(&store, &agents[0]).await;
        // Together they are longer than the room that there is again, and not much shorter.
        let narrow = |agent: &String| narrowed(agent, 60);
        lower(&store, agents.iter().map(narrow).collect()).await.unwrap_err();
        assert_eq!(store.condition().in_memory, agents.len());
        let (_, before, _) = fold(&disk);
        disk.set_capacity(disk.used() + MIB / 2);
        commit(&store, vec![credit(&agents[0], 9)]).await.unwrap_err();
        assert!(fold(&disk).1.len() > before.len(), "as many as there is room for");
        disk.set_capacity(usize::MAX);
        commit(&store, vec![credit(&agents[0], 9)]).await.unwrap();
        assert_eq!(store.condition().in_memory, 0);
        let (state, after, _) = fold(&disk);
        assert_eq!(state, state_of(&store).await);
        let records = &after[before.len()..];
        assert!(records.len() > 2, "{}", records.len());
        let told = records.iter().flat_map(|record| &record.lines);
        let told = told.filter(|line| matches!(line.entry.fact, Fact::MandateSet { .. }));
        let told: Vec<_> = told.map(|line| line.entry.agent.clone().unwrap().to_string()).collect();
        assert_eq!(told, agents, "each once, in order");
        store.close().await;
    });
}

#[test]
fn a_record_larger_than_any_days_makes_its_own_room_or_changes_nothing() {
    let disk = SimDisk::default();
    let agents: Vec<String> = (0..6_000).map(|n| format!("agent-{n}")).collect();
    let all = || agents.iter().map(|agent| opened(agent)).collect();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        disk.set_capacity(disk.used() + MIB / 2);
        let full = commit(&store, all()).await.unwrap_err();
        assert!(matches!(full, StoreError::Full), "{full}");
        assert_eq!(state_of(&store).await.books().count(), 1, "nothing of it");
        disk.set_capacity(usize::MAX);
        let id = commit(&store, all()).await.unwrap();
        assert_eq!(store.record(id.position()).unwrap().lines.len(), agents.len());
        commit(&store, vec![credit("scout", 1)]).await.unwrap();
        store.close().await;
        let (state, records, _) = fold(&disk);
        assert_eq!((state.books().count(), records.len()), (agents.len() + 1, 3));
    });
}

#[test]
fn a_disk_that_fails_while_a_large_record_makes_its_room_is_not_written_again() {
    let disk = SimDisk::default();
    let all = || (0..6_000).map(|n| opened(&format!("agent-{n}"))).collect();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        disk.fail_at(disk.boundaries() + 1, ErrorKind::Other);
        let failed = commit(&store, all()).await.unwrap_err();
        assert!(matches!(failed, StoreError::Poisoned { .. }), "{failed}");
        let boundaries = disk.boundaries();
        let after = commit(&store, vec![credit("scout", 1)]).await.unwrap_err();
        assert!(matches!(after, StoreError::Poisoned { .. }), "{after}");
        store.close().await;
        assert_eq!(disk.boundaries(), boundaries, "nothing is written or synced again");
    });
}

/// A mandate that denies so many services of long names.
fn narrowed(agent: &str, services: usize) -> Draft {
    let Draft { agent, by, fact } = opened(agent);
    let Fact::Opened { mut mandate } = fact else { panic!("{fact:?}") };
    let long = "s".repeat(60);
    mandate.deny = (0..services).map(|n| format!("{long}{n}").parse().unwrap()).collect();
    Draft { agent, by, fact: Fact::MandateSet { mandate, moved: None, tightens: false } }
}

#[test]
fn a_revocation_without_room_is_recorded_at_the_next_tick_by_itself() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        disk.set_capacity(disk.used());
        fill(&store).await;
        lower(&store, vec![revoked("scout")]).await.unwrap_err();
        disk.set_capacity(usize::MAX);
        let recorded =
            async || matches!(standing(&fold(&disk).0, "scout"), Standing::Revoked { .. });
        until("recorded", recorded).await;
        assert_eq!(store.condition().in_memory, 0);
        store.close().await;
    });
}

#[test]
fn a_full_disk_at_start_is_opened_read_and_revokes() {
    let disk = SimDisk::default();
    history(&disk, SEGMENT_BYTES);
    let used = disk.used();
    for room in [0, 100, 5000, MIB] {
        let disk = disk.copy();
        disk.set_capacity(used + room);
        block_on(async {
            let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
            let (full, _) = (fill(&store).await, state_of(&store).await);
            assert!(matches!(full, StoreError::Full), "{full}");
            lower(&store, vec![revoked("scout")]).await.unwrap_err();
            assert!(is_revoked(&store, "scout").await);
            store.close().await;
        });
    }
}

#[test]
fn a_failed_disk_still_revokes_in_memory_and_writes_nothing_more() {
    for failing in [1, 2] {
        let disk = SimDisk::default();
        block_on(async {
            let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
            commit(&store, vec![opened("scout"), opened("intern")]).await.unwrap();
            disk.fail_at(disk.boundaries() + failing, ErrorKind::Other);
            // The one that meets the failure may be on the disk, and is in force.
            let met = lower(&store, vec![revoked("intern")]).await.unwrap_err();
            assert!(matches!(met, StoreError::InMemory { .. }), "{met}");
            let boundaries = disk.boundaries();
            let told = lower(&store, vec![revoked("scout")]).await.unwrap_err();
            assert!(matches!(told, StoreError::InMemory { .. }), "{told}");
            for agent in ["scout", "intern"] {
                assert!(is_revoked(&store, agent).await, "{agent}");
            }
            let condition = store.condition();
            assert!(matches!(condition.recording, Recording::Poisoned { .. }), "{condition:?}");
            let spend = commit_for(&store, Purpose::Spend, vec![credit("scout", 1)]).await;
            assert!(matches!(spend, Err(StoreError::Poisoned { .. })), "{spend:?}");
            store.close().await;
            assert_eq!(disk.boundaries(), boundaries, "nothing is written or synced again");
        });
    }
}

#[test]
fn pages_end_with_what_was_written_where_a_write_failed() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout"), credit("scout", 1)]).await.unwrap();
        disk.fail_at(disk.boundaries() + 1, ErrorKind::Other);
        let both = vec![credit("scout", 2), opened("late"), credit("scout", 3)];
        commit(&store, both).await.unwrap_err();
        let (state, head) = store.read(|state, head| (state.clone(), head)).await.unwrap();
        assert_eq!(head.seq, 1);
        let link = state.link(&handle("scout")).unwrap();
        let start = Cursor { position: link.position, n: link.n };
        let page = store.agent_entries(&handle("scout"), start, 10).unwrap();
        assert_eq!(page.lines.len(), 2);
        assert_eq!(state.link(&handle("late")).unwrap().n, 0, "it has no entry");
        let all = store.all_entries(Cursor::all(head.position.unwrap()), 10).unwrap();
        assert_eq!(all.lines.len(), 2);
        store.close().await;
    });
}

#[test]
fn a_tail_that_was_cut_and_an_anchor_that_was_adopted_have_entries() {
    let disk = SimDisk::default();
    history(&disk, SEGMENT_BYTES);
    let name = &disk.names()[0];
    let end = end_of(&disk, name);
    disk.tamper(name, |bytes| bytes[end + 100] = 7);
    let options = Options { anchor: Some(SimDisk::default().port()), ..options(SEGMENT_BYTES) };
    let store = Store::open(disk.port(), options).unwrap();
    block_on(store.close());
    let (_, records, _) = fold(&disk);
    let lines = &records.last().unwrap().lines;
    let incidents: Vec<_> = lines.iter().map(|line| line.entry.fact.clone()).collect();
    let cut = Incident::TailCut { file: name.clone(), offset: end as u64, bytes: 101 };
    assert_eq!(incidents, [cut, Incident::AnchorAdopted].map(Fact::Incident));
}
