//! The desk: only ever a copy, and never believed over the journal.

use jiff::SignedDuration;
use pettycash::policy::{
    entry::{Binding, Hold, VoidCause, Windows},
    mandate::Cap,
    window::Period,
};

use super::*;

#[test]
fn the_desk_gives_the_same_state_as_the_journal() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("desk");
    let disk = SimDisk::default();
    let open = || Store::open(disk.port(), with_desk(&path)).unwrap();
    block_on(async {
        let store = open();
        commit(&store, vec![opened("scout"), credit("scout", 1)]).await.unwrap();
        let state = state_of(&store).await;
        store.close().await;

        let store = open();
        assert_eq!(store.opened().replayed, 0, "all of it is on the desk");
        assert_eq!(state_of(&store).await, state);
        commit(&store, vec![opened("intern"), credit("scout", 2)]).await.unwrap();
        let state = state_of(&store).await;
        store.close().await;

        let looked = pettycash::store::look(disk.port(), &path, None).unwrap();
        let (head, documents) = looked.desk.unwrap();
        assert_eq!(looked.head, head);
        assert_eq!((head.seq, documents.len()), (2, 2));
        let folded = fold(&disk);
        assert_eq!((folded.0, folded.2.head), (state.clone(), head));

        // Gone, or damaged in any byte: it is rebuilt.
        fs::remove_dir_all(&path).unwrap();
        let store = open();
        assert!(store.opened().rebuilt);
        assert_eq!(state_of(&store).await, state);
        store.close().await;
        let db = path.join("db");
        let good = fs::read(&db).unwrap();
        for at in (0..good.len()).filter(|at| good[*at] != 0).step_by(97) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x04;
            fs::write(&db, bytes).unwrap();
            let store = open();
            assert_eq!(state_of(&store).await, state, "byte {at}");
            store.close().await;
        }
    });
}

#[test]
fn a_desk_that_lags_behind_is_brought_up_from_the_journal() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("desk");
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), with_desk(&path)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        store.close().await;
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![credit("scout", 3)]).await.unwrap();
        let state = state_of(&store).await;
        store.close().await;
        fs::write(path.join("snap.0000.generating"), b"half").unwrap();
        let store = Store::open(disk.port(), with_desk(&path)).unwrap();
        assert_eq!((store.opened().replayed, store.opened().rebuilt), (1, false));
        assert_eq!(state_of(&store).await, state);
        store.close().await;
    });
}

#[test]
fn an_older_journal_than_the_desk_seals_the_store() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("desk");
    let (disk, older) = older_than_its_desk(&path);
    let ahead = older.copy();
    block_on(async {
        let store = Store::open(ahead.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![credit("scout", 4)]).await.unwrap();
        commit(&store, vec![credit("scout", 4)]).await.unwrap();
        store.close().await;
    });
    let other = SimDisk::default();
    history(&other, SMALL);
    let refused = sealed(Store::open(other.port(), with_desk(&path)));
    assert!(refused.to_string().contains("another store"), "{refused}");
    for (what, journal) in
        [("older", older), ("gone", SimDisk::default()), ("forked", ahead), ("other", other)]
    {
        let files = journal.names();
        let refused = sealed(Store::open(journal.port(), with_desk(&path)));
        assert!(
            matches!(refused, StoreError::OlderThanDesk { desk: 2, .. }),
            "{what}: {refused:?}"
        );
        assert_eq!(journal.names(), files, "{what}: nothing is touched");
        let store = Store::open(journal.port(), with_desk(&path)).unwrap();
        let known = block_on(state_of(&store)).book(&handle("scout")).unwrap().credited;
        assert_eq!(known.to_string(), "$0.03", "{what}: the desk still knows");
        block_on(store.close());
    }
    let damaged = disk.copy();
    let name = &damaged.names()[0];
    let end = end_of(&damaged, name);
    damaged.tamper(name, |bytes| bytes[end - 20] ^= 1);
    let refused = sealed(Store::open(damaged.port(), with_desk(&path)));
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
}

/// The desk as sled has it.
fn locked(path: &Path) -> sled::Db {
    // A process that another test starts holds our files, and their locks, until it runs.
    let db = (0..500).find_map(|_| {
        let db = sled::open(path).ok();
        db.or_else(|| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            None
        })
    });
    db.expect("the lock on the desk")
}

#[test]
fn a_desk_whose_documents_do_not_add_up_is_rebuilt() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("desk");
    let disk = SimDisk::default();
    let state = block_on(async {
        let store = Store::open(disk.port(), with_desk(&path)).unwrap();
        commit(&store, vec![opened("scout"), credit("scout", 100)]).await.unwrap();
        commit(&store, vec![opened("intern")]).await.unwrap();
        let state = state_of(&store).await;
        store.close().await;
        state
    });
    // What sled itself takes for sound: a document gone, changed, added, and no mark at all.
    let tricks: [fn(&sled::Db); 4] = [
        |db| drop(db.remove("book/intern").unwrap()),
        |db| {
            let book = db.get("book/scout").unwrap().unwrap();
            let richer =
                String::from_utf8(book.to_vec()).unwrap().replace("1000000000", "9000000000");
            assert_ne!(richer.as_bytes(), &book[..]);
            db.insert("book/scout", richer.as_bytes()).unwrap();
        },
        |db| drop(db.insert("book/zoe", db.get("book/intern").unwrap().unwrap()).unwrap()),
        |db| drop(db.remove("!mark").unwrap()),
    ];
    for (which, trick) in tricks.iter().enumerate() {
        let db = locked(&path);
        trick(&db);
        db.flush().unwrap();
        drop(db);
        block_on(async {
            let store = Store::open(disk.port(), with_desk(&path)).unwrap();
            assert!(store.opened().rebuilt, "trick {which}");
            assert_eq!(state_of(&store).await, state, "trick {which}");
            store.close().await;
        });
    }
}

/// A payment with a key that is kept for some minutes.
fn keyed(id: PaymentId, key: &str, minutes: i64, fact: fn(Hold) -> Fact) -> Draft {
    let until = clock().now().checked_add(SignedDuration::from_mins(minutes)).unwrap();
    let binding = Binding { key: key.parse().unwrap(), call: None, asked: None, until };
    let hold = Hold {
        payment: id,
        service: "report".parse().unwrap(),
        payee: "Acme".parse().unwrap(),
        amount: "0.30".parse().unwrap(),
        windows: Windows { hour: 0, day: 0, week: 0, month: 0, minute: None },
        binding: Some(binding),
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
    Draft { agent: Some(handle("scout")), by: By::Agent, fact: fact(hold) }
}

#[test]
fn the_keys_on_the_desk_are_those_of_the_journal_and_none_may_be_missing() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("desk");
    let disk = SimDisk::default();
    let clock = clock();
    let open = || {
        let options = Options { clock: clock.clone(), ..with_desk(&path) };
        let store = Store::open(disk.port(), options).unwrap();
        let state = block_on(state_of(&store));
        assert_eq!(fold(&disk).0, state);
        (store, state)
    };
    let id = |n| PaymentId::new(n, 0);
    let void = |payment| {
        let fact = Fact::Voided { payment, cause: VoidCause::NotSent };
        Draft { agent: Some(handle("scout")), by: By::Engine, fact }
    };
    let at_work = |drafts: Vec<Draft>| {
        let (store, _) = open();
        block_on(commit(&store, drafts)).unwrap();
        block_on(store.close());
        let (store, state) = open();
        assert_eq!((store.opened().replayed, store.opened().rebuilt), (0, false));
        block_on(store.close());
        state
    };
    let bound = |state: &State, key: &str| {
        let key = key.parse().unwrap();
        state.bound(&handle("scout"), &key, clock.now()).map(|bound| bound.payment)
    };
    at_work(vec![
        opened("scout"),
        keyed(id(1), "kept", 900, Fact::Paid),
        keyed(id(2), "freed", 900, Fact::Held),
        keyed(id(3), "again", 900, Fact::Held),
        keyed(id(4), "open", 1, Fact::Held),
    ]);
    let again = keyed(id(5), "again", 10, Fact::Paid);
    let state = at_work(vec![void(id(2)), void(id(3)), again]);
    let found = ["kept", "freed", "again", "open"].map(|key| bound(&state, key));
    assert_eq!(found, [Some(id(1)), None, Some(id(5)), Some(id(4))]);
    clock.advance(SignedDuration::from_mins(60));
    let state = at_work(vec![credit("scout", 1)]);
    let found = ["kept", "freed", "again", "open"].map(|key| bound(&state, key));
    assert_eq!(found, [Some(id(1)), None, None, Some(id(4))]);

    let db = locked(&path);
    let chunks: Vec<_> = db.scan_prefix("keys/").keys().map(Result::unwrap).collect();
    assert_eq!(chunks.len(), 3, "what was bound, what was freed, and what is open: {chunks:?}");
    drop(db.remove(&chunks[1]).unwrap());
    db.flush().unwrap();
    drop(db);
    let (store, rebuilt) = open();
    assert!(store.opened().rebuilt, "a chunk is missing");
    assert_eq!(rebuilt, state);
    block_on(store.close());
}

/// A payment in `run`, of an agent whose runs are capped.
async fn pay_in(store: &Store, run: &str) {
    let run = Some(run.parse().unwrap());
    let decide = move |state: &State, payment, now| {
        let hold = Hold {
            payment,
            service: "report".parse().unwrap(),
            payee: "Acme".parse().unwrap(),
            amount: "0.30".parse().unwrap(),
            windows: state.book(&handle("scout")).unwrap().windows(now),
            binding: None,
            run,
            via: None,
            category: None,
            groups: Vec::new(),
            task: None,
            task_type: None,
            shadow: Vec::new(),
            request: None,
            model: None,
        };
        let agent = Some(handle("scout"));
        let drafts = vec![Draft { agent, by: By::Agent, fact: Fact::Paid(hold) }];
        Decision::Commit { drafts, durable: true, answer: Box::new(|_: &State| ()) }
    };
    store.commit(Purpose::Spend, decide).await.unwrap();
}

#[test]
fn runs_that_ended_are_let_go_of_on_the_desk_too() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("desk");
    let disk = SimDisk::default();
    let clock = clock();
    let open = || {
        let options = Options { clock: clock.clone(), ..with_desk(&path) };
        let store = Store::open(disk.port(), options).unwrap();
        assert!(!store.opened().rebuilt && store.opened().replayed == 0, "it is the desk's");
        store
    };
    let runs = |state: &State| -> Vec<String> {
        state.book(&handle("scout")).unwrap().runs.keys().map(ToString::to_string).collect()
    };
    block_on(async {
        let mut scout = opened("scout");
        if let Fact::Opened { mandate } = &mut scout.fact {
            mandate.caps = vec![Cap::of(Period::Run, "1.00".parse().unwrap())];
        }
        let store = open();
        commit(&store, vec![scout, credit("scout", 500)]).await.unwrap();
        for run in ["first", "second"] {
            pay_in(&store, run).await;
        }
        store.close().await;
        let store = open();
        assert_eq!(runs(&state_of(&store).await), ["=first", "=second"]);
        clock.advance(SignedDuration::from_hours(31 * 24));
        pay_in(&store, "third").await;
        store.close().await;
        let store = open();
        let state = state_of(&store).await;
        assert_eq!(runs(&state), ["=third"]);
        assert_eq!(state, fold(&disk).0);
        store.close().await;
    });
}

#[test]
fn what_is_in_force_in_memory_only_is_no_business_of_the_desk() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("desk");
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), with_desk(&path)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        store.close().await;
        let store = Store::open(disk.port(), with_desk(&path)).unwrap();
        disk.set_capacity(disk.used());
        while commit(&store, vec![credit("scout", 1)]).await.is_ok() {}
        let told = lower(&store, vec![revoked("scout")]).await.unwrap_err();
        assert!(matches!(told, StoreError::InMemory { .. }), "{told}");
        assert_ne!(state_of(&store).await, fold(&disk).0);
        // It ends with the disk still full, and leaves the desk behind.
        store.close().await;
        disk.set_capacity(usize::MAX);
        let store = Store::open(disk.port(), with_desk(&path)).unwrap();
        assert!(!store.opened().rebuilt, "it is the desk's");
        assert_eq!(state_of(&store).await, fold(&disk).0);
        store.close().await;
    });
}
