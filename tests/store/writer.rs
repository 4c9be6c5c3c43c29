//! The writer: order, sharing a sync, and what happens when something fails.

use std::{
    io,
    sync::{Condvar, mpsc},
    time::Duration,
};

use futures_util::FutureExt;
use jiff::Timestamp;
use pettycash::{
    policy::row::{Repeat, Repeated},
    store::Disk,
};

use super::*;

#[test]
fn a_failed_sync_poisons_and_reads_go_on() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        disk.fail_at(disk.boundaries() + 2, std::io::ErrorKind::Other);
        let failed = commit(&store, vec![credit("scout", 5)]).await.unwrap_err();
        assert!(matches!(failed, StoreError::Uncertain { .. }), "{failed}");
        let boundaries = disk.boundaries();
        let later = commit(&store, vec![credit("scout", 5)]).await.unwrap_err();
        assert!(matches!(later, StoreError::Poisoned { .. }), "{later}");
        let denial = deny(&store, "scout").await.unwrap_err();
        assert!(matches!(denial, StoreError::Poisoned { .. }), "{denial}");
        assert!(state_of(&store).await.book(&handle("scout")).is_some());
        store.close().await;
        assert_eq!(disk.boundaries(), boundaries, "nothing is written or synced again");
    });
}

#[test]
fn a_failed_write_poisons_whoever_waits_for_it() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        disk.fail_at(disk.boundaries() + 1, std::io::ErrorKind::Other);
        let failed = deny(&store, "scout").await.unwrap_err();
        assert!(matches!(failed, StoreError::Uncertain { .. }), "{failed}");
        store.close().await;
    });
}

/// A gate that may be shut.
#[derive(Default)]
struct Gate {
    /// Whether it is, and how many wait at it.
    shut: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        self.shut.lock().unwrap().0 = shut;
        self.changed.notify_all();
    }

    /// Waits at it while it is shut.
    fn pass(&self) {
        let mut shut = self.shut.lock().unwrap();
        shut.1 += 1;
        self.changed.notify_all();
        shut = self.changed.wait_while(shut, |(shut, _)| *shut).unwrap();
        shut.1 -= 1;
    }

    /// Waits until somebody waits at it.
    fn until_one_waits(&self) {
        let patience = Duration::from_secs(60);
        let shut = self.shut.lock().unwrap();
        let came = self.changed.wait_timeout_while(shut, patience, |(_, waiting)| *waiting == 0);
        assert!(!came.unwrap().1.timed_out(), "nobody came to the gate");
    }
}

/// A disk whose syncs wait at a gate.
struct Gated {
    disk: Arc<dyn Disk>,
    gate: Arc<Gate>,
}

impl Disk for Gated {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.disk.create(name)
    }

    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.disk.read(name, offset, into)
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(name, offset, bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.gate.pass();
        self.disk.sync(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn free(&self) -> io::Result<u64> {
        self.disk.free()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_saw_an_unsynced_record_is_answered_after_its_sync() {
    let gate = Arc::new(Gate::default());
    let disk = Gated { disk: SimDisk::default().port(), gate: gate.clone() };
    let store = Store::open(Arc::new(disk), options(SEGMENT_BYTES)).unwrap();
    commit(&store, vec![opened("scout")]).await.unwrap();
    // The writer is kept busy until all three wait for it, so that they are one batch.
    let (go, wait) = mpsc::channel::<()>();
    let (began, at_it) = mpsc::channel::<()>();
    let hold = move |_: &State, _: PaymentId, _: Timestamp| {
        let _ = began.send(());
        let _ = wait.recv();
        Decision::Answer(())
    };
    let mut busy = Box::pin(store.commit(Purpose::Record, hold));
    let mut paid = Box::pin(commit(&store, vec![credit("scout", 5)]));
    let mut read = Box::pin(store.read(|_, head| head));
    let mut denied = Box::pin(deny(&store, "scout"));
    // A first look at each puts it into the queue, in this order.
    assert!((&mut busy).now_or_never().is_none());
    at_it.recv().unwrap();
    assert!((&mut paid).now_or_never().is_none());
    assert!((&mut read).now_or_never().is_none());
    assert!((&mut denied).now_or_never().is_none());
    gate.set(true);
    go.send(()).unwrap();
    busy.await.unwrap();
    denied.await.unwrap();
    // The denial was answered after the write, and so would the others be if they did not wait for
    // the sync, which is at the gate by now.
    gate.until_one_waits();
    assert!((&mut paid).now_or_never().is_none(), "paid before its sync");
    assert!((&mut read).now_or_never().is_none(), "read before the sync of what it saw");
    gate.set(false);
    paid.await.unwrap();
    assert_eq!(read.await.unwrap().seq, 2);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_wakes_no_writer_that_rests_and_waits_for_one_that_syncs() {
    let gate = Arc::new(Gate::default());
    let disk = Gated { disk: SimDisk::default().port(), gate: gate.clone() };
    let store = Store::open(Arc::new(disk), options(SEGMENT_BYTES)).unwrap();
    commit(&store, vec![opened("scout")]).await.unwrap();
    let own = std::thread::current().id();
    let where_looked = || store.read(|_, _| std::thread::current().id());
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    // It rests once it has answered.
    while where_looked().await.unwrap() != own {
        assert!(tokio::time::Instant::now() < until, "every look goes to the writer");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    gate.set(true);
    let mut paid = Box::pin(commit(&store, vec![credit("scout", 5)]));
    assert!((&mut paid).now_or_never().is_none());
    gate.until_one_waits();
    // Only a look at a state that is laid down would be answered now: the writer is at the gate.
    let mut read = Box::pin(store.read(|_, head| head.seq));
    assert!((&mut read).now_or_never().is_none(), "seen before it is synced");
    gate.set(false);
    paid.await.unwrap();
    assert_eq!(read.await.unwrap(), 2);
    store.close().await;
    assert!(matches!(store.read(|_, head| head).await, Err(StoreError::Closed)));
}

#[test]
fn a_full_disk_refuses_and_recovers_when_there_is_room() {
    let disk = SimDisk::default();
    block_on(async {
        // What room there is ahead is used up first.
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        disk.set_capacity(disk.used());
        let mut done = 0;
        let full = loop {
            match commit(&store, vec![credit("scout", 1)]).await {
                Ok(_) => done += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, StoreError::Full), "{full}");
        assert!(done > 100, "{done}");
        disk.set_capacity(usize::MAX);
        commit(&store, vec![credit("scout", 1)]).await.unwrap();
        store.close().await;
        let (state, ..) = fold(&disk);
        let book = state.book(&handle("scout")).unwrap();
        assert_eq!(book.link.n, done + 2);
    });
}

#[test]
fn a_decision_that_panics_changes_nothing_and_the_next_one_runs() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        let panicked =
            store.commit(Purpose::Record, |_, _, _| -> Decision<()> { panic!("on purpose") }).await;
        assert!(matches!(panicked, Err(StoreError::Panicked)), "{panicked:?}");
        let looked = store.read(|_, _| -> () { panic!("on purpose") }).await;
        assert!(matches!(looked, Err(StoreError::Panicked)), "{looked:?}");
        let many = (0..60_000).map(|n| credit("scout", n)).collect();
        let large = commit(&store, many).await;
        let Err(StoreError::TooLarge { bytes }) = large else { panic!("{large:?}") };
        assert!(bytes < 8 * 1024 * 1024 + 4096, "{bytes}: it is not made to its end");
        let id = commit(&store, vec![opened("scout")]).await.unwrap();
        assert_eq!(store.record(id.position()).unwrap().seq, 1);
        store.close().await;
        let closed = commit(&store, vec![credit("scout", 1)]).await.unwrap_err();
        assert!(matches!(closed, StoreError::Closed), "{closed}");
        store.close().await;
    });
}

#[test]
fn many_callers_share_a_sync() {
    const CALLERS: u32 = 64;
    let root = tempfile::tempdir().unwrap();
    let counted = Counted::open(&root.path().join("journal"));
    let disk = Arc::clone(&counted);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(disk, options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        let before = counted.syncs();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        commit(&store, vec![credit("scout", 1)]).await.unwrap();
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        let syncs = counted.syncs() - before;
        assert!(syncs * 4 < CALLERS as usize * 20, "{syncs} syncs");
        let n = store.read(|state, _| state.link(&handle("scout")).unwrap().n).await.unwrap();
        assert_eq!(n, u64::from(CALLERS) * 20 + 1);
        store.close().await;
    });
}

/// Real files, with the syncs counted.
struct Counted {
    files: FileDisk,
    syncs: Mutex<usize>,
}

impl Counted {
    fn open(root: &Path) -> Arc<Self> {
        Arc::new(Self { files: FileDisk::open(root).unwrap(), syncs: Mutex::new(0) })
    }

    fn syncs(&self) -> usize {
        *self.syncs.lock().unwrap()
    }
}

impl pettycash::store::Disk for Counted {
    fn list(&self) -> std::io::Result<Vec<(String, u64)>> {
        self.files.list()
    }
    fn create(&self, name: &str) -> std::io::Result<()> {
        self.files.create(name)
    }
    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> std::io::Result<usize> {
        self.files.read(name, offset, into)
    }
    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.files.write(name, offset, bytes)
    }
    fn sync(&self, name: &str) -> std::io::Result<()> {
        *self.syncs.lock().unwrap() += 1;
        self.files.sync(name)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.files.remove(name)
    }
    fn free(&self) -> std::io::Result<u64> {
        self.files.free()
    }
}

#[test]
fn a_denial_waits_for_no_sync_and_a_durable_answer_does() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        assert_eq!(disk.pending(), 0);
        let syncs = disk.syncs();
        let id = deny(&store, "scout").await.unwrap();
        assert!(disk.pending() > 0, "written and not synced");
        assert_eq!(disk.syncs(), syncs);
        assert!(store.record(id.position()).is_ok(), "and it can be looked up");
        commit(&store, vec![credit("scout", 1)]).await.unwrap();
        assert_eq!(disk.pending(), 0);
        store.close().await;
    });
}

/// Denies `scout` once more, which is only counted.
async fn deny_again(store: &Store) {
    let again = |_: &State, _, _| Decision::Repeat {
        agent: handle("scout"),
        repeat: Repeat { how: Repeated::Same, likeness: "the same".to_owned(), call: None },
        answer: (),
    };
    store.commit(Purpose::Record, again).await.unwrap();
}

#[test]
fn the_last_of_a_long_row_is_written_though_nothing_follows() {
    let disk = SimDisk::default();
    block_on(async {
        let ticks_every = Duration::from_millis(2);
        let options = Options { ticks_every, ..options(SEGMENT_BYTES) };
        let store = Store::open(disk.port(), options).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        deny(&store, "scout").await.unwrap();
        for many in [100, 1] {
            for _ in 0..many {
                deny_again(&store).await;
            }
            let until = tokio::time::Instant::now() + Duration::from_secs(20);
            while store.read(|state, _| state.counts_repeats()).await.unwrap() {
                assert!(tokio::time::Instant::now() < until, "{many} are never written");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let all = state_of(&store).await.book(&handle("scout")).unwrap().row.clone().unwrap().all;
        assert_eq!(all, Some(102));
        store.close().await;
    });
}

#[test]
fn repeated_denials_are_counted_and_written_once() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        deny(&store, "scout").await.unwrap();
        let boundaries = disk.boundaries();
        for _ in 0..1000 {
            deny_again(&store).await;
        }
        assert!(disk.boundaries() < boundaries + 10, "not one by one");
        store.close().await;
    });
    let (_, records, _) = fold(&disk);
    let times = records
        .iter()
        .flat_map(|record| &record.lines)
        .map(|line| if let Fact::DeniedAgain { times, .. } = line.entry.fact { times } else { 0 });
    assert_eq!(times.sum::<u64>(), 1000);
}
