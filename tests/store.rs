//! What the record promises: what was acknowledged survives, and no damage goes unnoticed.

mod accept;
mod anchor;
mod clock;
mod damage;
mod desk;
mod evidence;

mod files;
mod pages;
mod power;
mod space;
mod writer;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex},
};

use pettycash::{
    clock::Clock,
    policy::{
        denial::{Denial, Denied, Refusal},
        entry::{By, Draft, Entry, Fact, Hash},
        mandate::{Funding, LocalUse, Mandate},
        money::Usd,
        names::{Handle, PaymentId},
        state::State,
        task::TasksBy,
        terms::Head,
        window::Zone,
    },
    store::{
        Cursor, Decision, FileDisk, Options, Purpose, Record, Recording, Replayed, SEGMENT_BYTES,
        Store, StoreError, look, replay,
    },
};

use crate::support::{file_disk, sim_disk::SimDisk};

// Short histories: a book, credits, denials. The policy behind them is tested elsewhere.

fn handle(name: &str) -> Handle {
    name.parse().unwrap()
}

fn clock() -> Clock {
    Clock::fixed("2026-11-21T10:00:00Z".parse().unwrap())
}

fn options(segment_bytes: u64) -> Options {
    Options { segment_bytes, ..Options::bare(clock()) }
}

fn with_desk(desk: &Path) -> Options {
    Options { desk: Some(desk.to_owned()), ..options(SEGMENT_BYTES) }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn opened(agent: &str) -> Draft {
    let mandate = Mandate {
        funding: Funding::Prepaid,
        per_call_limit: None,
        caps: Vec::new(),
        zone: Zone::utc(),
        allow: BTreeSet::new(),
        deny: BTreeSet::new(),
        expires_at: None,
        local: LocalUse::Allowed,
        rates: Vec::new(),
        burst: None,
        denials: None,
        hours: None,
        days: None,
        cooldown: None,
        group: None,
        tasks: TasksBy::Operator,
        pinned: std::collections::BTreeMap::new(),
        first_payee: pettycash::policy::payee::FirstPayee::Free,
        tiers: Vec::new(),
        shadow_caps: Vec::new(),
        max_output_tokens: None,
        downgrade_at: None,
        downgrade_to: None,
    };
    let fact = Fact::Opened { mandate: Box::new(mandate) };
    Draft { agent: Some(handle(agent)), by: By::Operator, fact }
}

fn credit(agent: &str, cents: u32) -> Draft {
    let amount: Usd = format!("{}.{:02}", cents / 100, cents % 100).parse().unwrap();
    let fact = Fact::Credited { amount, note: None };
    Draft { agent: Some(handle(agent)), by: By::Operator, fact }
}

fn denied(agent: &str, payment: PaymentId) -> Draft {
    let bad = Denial::AgentUnknown { handle: handle(agent) };
    let refusal = Refusal::only(bad);
    let (service, asked, run, via, call, task) = (None, None, None, None, None, None);
    let denied = Denied { payment, service, asked, refusal, run, via, call, task };
    Draft { agent: Some(handle(agent)), by: By::Agent, fact: Fact::Denied(Box::new(denied)) }
}

fn revoked(agent: &str) -> Draft {
    let fact = Fact::Revoked { reason: "compromised".parse().unwrap(), note: None };
    Draft { agent: Some(handle(agent)), by: By::Operator, fact }
}

/// Narrows what an agent may do, as a revocation does.
async fn lower(store: &Store, drafts: Vec<Draft>) -> Result<PaymentId, StoreError> {
    commit_for(store, Purpose::Lower, drafts).await
}

/// Commits, durably, and says where.
async fn commit(store: &Store, drafts: Vec<Draft>) -> Result<PaymentId, StoreError> {
    commit_for(store, Purpose::Record, drafts).await
}

async fn commit_for(
    store: &Store,
    purpose: Purpose,
    drafts: Vec<Draft>,
) -> Result<PaymentId, StoreError> {
    let decide = move |_: &State, id, _| Decision::Commit {
        drafts,
        durable: true,
        answer: Box::new(move |_: &State| id),
    };
    store.commit(purpose, decide).await
}

/// Denies as the engine does: recorded, and not synced.
async fn deny(store: &Store, agent: &'static str) -> Result<PaymentId, StoreError> {
    let decide = move |_: &State, id, _| Decision::Commit {
        drafts: vec![denied(agent, id)],
        durable: false,
        answer: Box::new(move |_: &State| id),
    };
    store.commit(Purpose::Record, decide).await
}

/// The state as it is.
async fn state_of(store: &Store) -> State {
    store.read(|state, _| state.clone()).await.unwrap()
}

/// What a store is sealed for.
fn sealed(store: Result<Store, StoreError>) -> StoreError {
    let store = store.expect("what is wrong is read all the same");
    let Recording::Sealed(error) = store.condition().recording else {
        panic!("{:?}", store.condition())
    };
    block_on(async {
        let refused = commit(&store, vec![credit("scout", 1)]).await.unwrap_err();
        assert_eq!(refused.to_string(), error.to_string());
        store.read(|_, _| ()).await.expect("it is read");
        store.close().await;
    });
    error
}

/// The fold of a journal, all of it checked.
fn fold(disk: &SimDisk) -> (State, Vec<Record>, Replayed) {
    let mut state = State::default();
    let mut records = Vec::new();
    let replayed = replay(disk.port(), None, |record| {
        record.fold(&mut state);
        records.push(record.clone());
    });
    (state, records, replayed.unwrap())
}

/// So small that a short history fills several segments.
const SMALL: u64 = 1200;

/// A short history that comes by every kind of boundary: two agents, rotations behind synced and
/// unsynced records, denials between durable commits. Gives back the ids of what was acknowledged
/// as durable.
fn history(disk: &SimDisk, segment_bytes: u64) -> Vec<PaymentId> {
    let mut acknowledged = Vec::new();
    let Ok(store) = Store::open(disk.port(), options(segment_bytes)) else { return acknowledged };
    block_on(async {
        for step in 0..16 {
            let done = match step {
                0 => commit(&store, vec![opened("scout"), credit("scout", 500)]).await,
                1 => commit(&store, vec![opened("intern")]).await,
                4 | 7..=10 => {
                    let _ = deny(&store, "scout").await;
                    continue;
                }
                _ if step % 2 == 0 => commit(&store, vec![credit("scout", step)]).await,
                _ => commit(&store, vec![credit("intern", step)]).await,
            };
            acknowledged.extend(done.ok());
        }
        store.close().await;
    });
    acknowledged
}

/// A journal with a desk at `path`, and a copy of it from before its last record, of which the desk
/// knows.
fn older_than_its_desk(path: &Path) -> (SimDisk, SimDisk) {
    let disk = SimDisk::default();
    let older = block_on(async {
        let store = Store::open(disk.port(), with_desk(path)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        let older = disk.copy();
        commit(&store, vec![credit("scout", 3)]).await.unwrap();
        store.close().await;
        older
    });
    (disk, older)
}

/// Where the last byte of the last record is, and one further.
fn end_of(disk: &SimDisk, name: &str) -> usize {
    disk.bytes(name).iter().rposition(|byte| *byte != 0).unwrap() + 1
}
