//! The desk: the state as sled keeps it, so that opening does not take the whole journal.
//!
//! It is written behind the acknowledgement, by a thread of its own, and its loss costs a rebuild,
//! never money. sled's `flush` does not survive a power cut, and a flipped bit may silently drop
//! what follows it. So the mark that says how far the desk goes carries a sum over every document,
//! and a desk that does not add up is thrown away.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sled::{Batch, IVec};

use super::{
    StoreError,
    format::{Head, StoreId, digest},
    journal::Journal,
    sled_files,
};
use crate::policy::{
    documents::{DocKey, Document},
    state::State,
};

/// The key of the mark; no document's key starts like it.
const MARK: &[u8] = b"!mark";

/// How far the desk goes, and what it must add up to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) store: StoreId,
    pub(crate) head: Head,
    /// The latest time that any entry carried.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub(crate) now: Timestamp,
    sum: Sum,
    /// What the documents count: a desk that counts less is made anew.
    #[serde(default)]
    version: u32,
}

/// What the documents of this program count. Since 1: how many payments there are, beside how much.
const VERSION: u32 = 1;

/// What the desk held when it was opened.
pub(crate) struct Held {
    pub(crate) mark: Mark,
    pub(crate) documents: Vec<Document>,
}

/// A sum over documents that does not depend on their order, so that one can be exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sum([u64; 4]);

impl Sum {
    fn change(&mut self, key: &[u8], value: &[u8], by: fn(u64, u64) -> u64) {
        let mut text = Vec::with_capacity(8 + key.len() + value.len());
        text.extend_from_slice(&(key.len() as u64).to_le_bytes());
        text.extend_from_slice(key);
        text.extend_from_slice(value);
        let digest = digest(&text);
        for (part, bytes) in self.0.iter_mut().zip(digest.0.chunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            *part = by(*part, u64::from_le_bytes(word));
        }
    }
}

/// The open desk.
pub(crate) struct Desk {
    path: PathBuf,
    db: sled::Db,
    sum: Sum,
}

impl Desk {
    /// Opens the desk and reads it; one that is odd in any way is emptied.
    ///
    /// Nothing but a desk that another process holds, or that is not private, is an error: without
    /// a desk the store only opens more slowly.
    pub(crate) fn open(path: &Path) -> Result<(Option<Self>, Option<Held>), StoreError> {
        match sled_files::prepare(path) {
            Err(StoreError::Full) => return Ok((None, None)),
            prepared => prepared?,
        }
        let problem = match Self::try_open(path) {
            Ok((desk, held)) if held.is_some() || desk.db.is_empty() => {
                return Ok((Some(desk), held));
            }
            Ok(_) => "it has no mark of this version".to_owned(),
            Err(Odd::InUse) => return Err(StoreError::InUse { path: path.into() }),
            // It is as good as it was: to empty it would only lose what it knows of the journal.
            Err(Odd::Full) => {
                tracing::warn!("there is no room to open the desk: opening takes longer");
                return Ok((None, None));
            }
            Err(Odd::Other(problem)) => problem,
        };
        tracing::warn!(%problem, "the desk is of no use and is rebuilt from the journal");
        let opened = sled_files::empty(path).map_err(|error| error.to_string());
        match opened.and_then(|()| Self::try_open(path).map_err(|odd| odd.to_string())) {
            Ok((desk, _)) => Ok((Some(desk), None)),
            Err(problem) => {
                tracing::error!(%problem, "there is no desk: opening will take longer");
                Ok((None, None))
            }
        }
    }

    /// Reads the desk of a store that nobody has open, for `verify`.
    pub(crate) fn look(path: &Path) -> Result<Option<Held>, StoreError> {
        sled_files::prepare(path)?;
        match Self::try_open(path) {
            Ok((_, held)) => Ok(held),
            Err(Odd::InUse) => Err(StoreError::InUse { path: path.into() }),
            Err(Odd::Full) => Err(StoreError::Full),
            Err(Odd::Other(cause)) => {
                Err(StoreError::Io { doing: "read", file: path.display().to_string(), cause })
            }
        }
    }

    fn try_open(path: &Path) -> Result<(Self, Option<Held>), Odd> {
        let db = sled_files::open(path)?;
        // sled panics on some of what a damaged disk can hand it.
        let read = catch_unwind(AssertUnwindSafe(|| read(&db)));
        let held = read.unwrap_or_else(|_| Err("sled broke off".to_owned())).map_err(Odd::Other)?;
        let sum = held.as_ref().map(|held| held.mark.sum).unwrap_or_default();
        Ok((Self { path: path.into(), db, sum }, held))
    }

    /// Puts the changes down, all or nothing.
    fn put(&mut self, changes: Changes) -> Result<(), String> {
        if changes.all {
            self.db.clear().map_err(|error| error.to_string())?;
            self.sum = Sum::default();
        }
        let mut sum = self.sum;
        let mut batch = Batch::default();
        for (key, document) in changes.documents {
            let key = key_bytes(&key);
            let value = document.map(|document| serde_json::to_vec(&document)).transpose();
            let value = value.map_err(|error| error.to_string())?;
            let old = self.db.get(&key).map_err(|error| error.to_string())?;
            if let Some(old) = old {
                sum.change(&key, &old, u64::wrapping_sub);
            }
            match value {
                Some(value) => {
                    sum.change(&key, &value, u64::wrapping_add);
                    batch.insert(key, value);
                }
                None => batch.remove(key),
            }
        }
        let Changes { store, head, now, .. } = changes;
        let mark = serde_json::to_vec(&Mark { store, head, now, sum, version: VERSION });
        let mark = mark.map_err(|error| error.to_string())?;
        batch.insert(MARK, [digest(&mark).0.as_slice(), mark.as_slice()].concat());
        self.db.apply_batch(batch).map_err(|error| error.to_string())?;
        self.sum = sum;
        Ok(())
    }
}

/// Why a desk did not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Odd {
    #[error("the disk is full")]
    Full,
    #[error("it is in use")]
    InUse,
    #[error("{0}")]
    Other(String),
}

fn read(db: &sled::Db) -> Result<Option<Held>, String> {
    let mut sum = Sum::default();
    let mut mark = None;
    let mut documents = Vec::new();
    for pair in db.iter() {
        let (key, value): (IVec, IVec) = pair.map_err(|error| error.to_string())?;
        if key == MARK {
            mark = Some(value);
            continue;
        }
        sum.change(&key, &value, u64::wrapping_add);
        let document = serde_json::from_slice(&value);
        documents.push(document.map_err(|error| format!("a document does not read: {error}")));
    }
    let Some(mark) = mark else { return Ok(None) };
    let (hash, text) = mark.split_at_checked(32).ok_or("the mark is cut")?;
    if digest(text).0 != hash {
        return Err("the mark does not verify".to_owned());
    }
    let mark: Mark = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if mark.version != VERSION {
        return Ok(None);
    }
    if mark.sum != sum {
        return Err("the documents do not add up to the mark".to_owned());
    }
    let documents: Result<_, String> = documents.into_iter().collect();
    Ok(Some(Held { mark, documents: documents? }))
}

/// What the desk is to be told: the state at one synced record.
pub(crate) struct Changes {
    /// Whether these are all documents there are.
    all: bool,
    documents: Vec<(DocKey, Option<Document>)>,
    store: StoreId,
    head: Head,
    now: Timestamp,
}

impl Changes {
    /// What was touched since the last time, or everything.
    pub(crate) fn of(state: &mut State, all: bool, journal: &Journal) -> Self {
        let documents = state.drain(all);
        Self { all, documents, store: journal.store(), head: journal.head(), now: state.now() }
    }
}

fn key_bytes(key: &DocKey) -> Vec<u8> {
    let text = match key {
        DocKey::Book(agent) => format!("book/{agent}"),
        DocKey::Run(agent, run) => format!("run/{agent}/{run}"),
        DocKey::Service(service) => format!("service/{service}"),
        DocKey::Open(payment) => format!("open/{payment}"),
        DocKey::Keys(minute, n) => format!("keys/{minute:020}/{n:020}"),
        DocKey::Refunded(payment) => format!("refunded/{payment}"),
        DocKey::Token(token) => format!("token/{token}"),
        DocKey::Passphrase => "passphrase".to_owned(),
        DocKey::Prices => "prices".to_owned(),
        DocKey::Group(group) => format!("group/{group}"),
        DocKey::Task(agent, task) => format!("task/{agent}/{task}"),
    };
    text.into_bytes()
}

/// The thread that writes the desk behind the payments.
pub(crate) struct DeskThread {
    changes: SyncSender<Changes>,
    busy: Arc<Busy>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Busy {
    is: Mutex<bool>,
    over: Condvar,
}

impl Busy {
    fn set(&self, busy: bool) {
        *self.is.lock().unwrap_or_else(PoisonError::into_inner) = busy;
        self.over.notify_all();
    }
}

impl DeskThread {
    pub(crate) fn start(desk: Desk) -> Result<Self, StoreError> {
        let (changes, todo) = sync_channel(1);
        let busy = Arc::new(Busy::default());
        let theirs = Arc::clone(&busy);
        let thread = thread::Builder::new().name("desk".to_owned());
        let thread = thread.spawn(move || keep(desk, todo, &theirs));
        let thread = thread.map_err(|error| StoreError::io("start", "the desk", &error))?;
        Ok(Self { changes, busy, thread })
    }

    /// Whether it is still at the changes before.
    pub(crate) fn is_busy(&self) -> bool {
        *self.busy.is.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is not.
    pub(crate) fn wait(&self) {
        let busy = self.busy.is.lock().unwrap_or_else(PoisonError::into_inner);
        let over = self.busy.over.wait_while(busy, |busy| *busy);
        drop(over.unwrap_or_else(PoisonError::into_inner));
    }

    /// Gives it the next changes; a desk that has stopped takes none.
    pub(crate) fn hand_over(&self, changes: Changes) {
        self.busy.set(true);
        if self.changes.send(changes).is_err() {
            self.busy.set(false);
        }
    }

    /// Lets it end, with everything it was given on disk.
    pub(crate) fn finish(self) {
        drop(self.changes);
        if self.thread.join().is_err() {
            tracing::error!("the desk's thread broke off");
        }
    }
}

fn keep(mut desk: Desk, todo: Receiver<Changes>, busy: &Busy) {
    while let Ok(changes) = todo.recv() {
        let put = catch_unwind(AssertUnwindSafe(|| desk.put(changes)));
        if let Err(problem) = put.unwrap_or_else(|_| Err("sled broke off".to_owned())) {
            // Payments go on; the next start replays more of the journal.
            tracing::error!(%problem, "the desk is not written any more");
            // First the channel, or changes handed over just now would seem to be in work for ever.
            drop(todo);
            return busy.set(false);
        }
        busy.set(false);
    }
    sled_files::settle(&desk.db, &desk.path);
}
