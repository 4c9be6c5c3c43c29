//! The head anchor: how far the record went, kept where a copy of the record does not take it.
//!
//! A journal that is shorter than it was and valid is no different from one that never got
//! further, but for what is known elsewhere. The anchor is one small file of two slots that are
//! written in turn, so that a power cut leaves at least one, and it never runs ahead of the
//! journal's sync.
//!
//! ```text
//! slot  magic 8 · version u32 · 0 u32 · store id 16 · turn u64 · seq u64 · position u64 · hash 32
//!       · time i64 (µs) · zeros · crc32c u32 over all before (512 in all)
//! ```

use std::{
    fmt::Write,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use jiff::Timestamp;

use super::{
    StoreError,
    condition::Shared,
    disk::Disk,
    format::{Head, StoreId, array, none, some},
    queue::Reply,
};
use crate::policy::entry::Hash;

const SLOT: usize = 512;
const SUM: usize = SLOT - 4;
const MAGIC: &[u8; 8] = b"pettyanc";
const VERSION: u32 = 1;

/// What the anchor of a store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The last record that was known to be synced.
    pub(crate) head: Head,
    /// When that was written.
    at: Timestamp,
    /// How many slots were written before.
    turn: u64,
}

/// What was found in the place of an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// One that verifies.
    Held(Slot),
    /// No file.
    Missing,
    /// A file of which no slot verifies.
    Unreadable(String),
}

impl Found {
    /// The last record that was known to be synced.
    pub(crate) fn head(&self) -> Option<Head> {
        match self {
            Self::Held(slot) => Some(slot.head),
            Self::Missing | Self::Unreadable(_) => None,
        }
    }
}

/// The name of the anchor of a store.
fn name(store: StoreId) -> String {
    let mut name = String::new();
    for byte in store {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    name + ".anchor"
}

/// Looks for the anchor of `store`.
pub(crate) fn find(disk: &dyn Disk, store: StoreId) -> Found {
    let mut bytes = [0; 2 * SLOT];
    match disk.read(&name(store), 0, &mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
        Err(error) => Found::Unreadable(error.to_string()),
        Ok(_) => {
            let slots = bytes.chunks_exact(SLOT).filter_map(|slot| decode(slot, store));
            let newest = slots.max_by_key(|slot| slot.turn);
            newest.map_or_else(|| Found::Unreadable("it does not verify".to_owned()), Found::Held)
        }
    }
}

fn encode(slot: &Slot, store: StoreId) -> [u8; SLOT] {
    let Slot { head, at, turn } = slot;
    let mut bytes = [0; SLOT];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..32].copy_from_slice(&store);
    bytes[32..40].copy_from_slice(&turn.to_le_bytes());
    bytes[40..48].copy_from_slice(&head.seq.to_le_bytes());
    bytes[48..56].copy_from_slice(&none(head.position).to_le_bytes());
    bytes[56..88].copy_from_slice(&head.hash.0);
    bytes[88..96].copy_from_slice(&at.as_microsecond().to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..SUM]);
    bytes[SUM..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], store: StoreId) -> Option<Slot> {
    let sum = u32::from_le_bytes(array(bytes, SUM));
    let sound = bytes[..8] == *MAGIC && sum == crc32c::crc32c(&bytes[..SUM]);
    let ours = u32::from_le_bytes(array(bytes, 8)) == VERSION && bytes[16..32] == store;
    let word = |at| u64::from_le_bytes(array(bytes, at));
    let head = Head { seq: word(40), position: some(word(48)), hash: Hash(array(bytes, 56)) };
    let at = Timestamp::from_microsecond(i64::from_le_bytes(array(bytes, 88))).ok()?;
    (sound && ours).then_some(Slot { head, at, turn: word(32) })
}

/// The anchor of one store, to be written.
pub(crate) struct Anchor {
    disk: Arc<dyn Disk>,
    name: String,
    store: StoreId,
    turn: u64,
    /// The last record it names.
    named: Option<Head>,
}

impl Anchor {
    /// Takes up the anchor that was found, and makes it if there is none.
    pub(crate) fn resume(disk: Arc<dyn Disk>, store: StoreId, found: &Found) -> io::Result<Self> {
        let name = name(store);
        let (turn, named) = match found {
            Found::Held(slot) => (slot.turn + 1, Some(slot.head)),
            Found::Missing => {
                disk.create(&name)?;
                (0, None)
            }
            Found::Unreadable(_) => (0, None),
        };
        if named.is_none() {
            // Both slots get their blocks now, so that a full disk does not stop the anchor.
            disk.write(&name, 0, &[0; 2 * SLOT])?;
            disk.sync(&name)?;
        }
        Ok(Self { disk, name, store, turn, named })
    }

    /// Names `head`, which must be synced. A slot that could not be written is tried again the
    /// next time; the other one stands.
    pub(crate) fn write(&mut self, head: Head, at: Timestamp) -> io::Result<()> {
        if self.named == Some(head) {
            return Ok(());
        }
        let slot = encode(&Slot { head, at, turn: self.turn }, self.store);
        self.disk.write(&self.name, self.turn % 2 * SLOT as u64, &slot)?;
        self.disk.sync(&self.name)?;
        self.turn += 1;
        self.named = Some(head);
        Ok(())
    }
}

#[derive(Default)]
struct Todo {
    head: Option<(Head, Timestamp)>,
    replies: Vec<Reply>,
    end: bool,
}

#[derive(Default)]
struct Desk {
    todo: Mutex<Todo>,
    filled: Condvar,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Todo> {
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that writes the anchor, so that no payment waits for it.
pub(crate) struct AnchorThread {
    desk: Arc<Desk>,
    thread: JoinHandle<()>,
}

impl AnchorThread {
    pub(crate) fn start(anchor: Anchor, condition: Shared) -> Result<Self, StoreError> {
        let desk = Arc::new(Desk::default());
        let theirs = Arc::clone(&desk);
        let thread = thread::Builder::new().name("anchor".to_owned());
        let thread = thread.spawn(move || keep(anchor, &theirs, &condition));
        let thread = thread.map_err(|error| StoreError::io("start", "the anchor", &error))?;
        Ok(Self { desk, thread })
    }

    /// Has the anchor name `head`, which is synced, and answers `replies` after that.
    pub(crate) fn hand_over(&self, head: Head, at: Timestamp, replies: &mut Vec<Reply>) {
        let mut todo = self.desk.lock();
        todo.head = Some((head, at));
        todo.replies.append(replies);
        drop(todo);
        self.desk.filled.notify_one();
    }

    /// Lets it end, with everything it was given on disk.
    pub(crate) fn finish(self) {
        self.desk.lock().end = true;
        self.desk.filled.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("the anchor's thread broke off");
        }
    }
}

fn keep(mut anchor: Anchor, desk: &Desk, condition: &Shared) {
    loop {
        let idle = |todo: &mut Todo| todo.head.is_none() && !todo.end;
        let todo = desk.filled.wait_while(desk.lock(), idle);
        let mut todo = todo.unwrap_or_else(PoisonError::into_inner);
        let (head, replies) = (todo.head.take(), std::mem::take(&mut todo.replies));
        let end = todo.end;
        drop(todo);
        if let Some((head, at)) = head {
            let written = anchor.write(head, at);
            let was_kept = condition.set_anchored(written.is_ok());
            match written {
                Err(error) if was_kept => {
                    tracing::error!(%error, "the head anchor cannot be written: an older copy of \
                        the record may go unnoticed");
                }
                Err(_) | Ok(()) => {}
            }
        }
        // The record itself is synced; without an anchor it is as safe as its disk.
        for reply in replies {
            reply(Ok(()));
        }
        if end {
            return;
        }
    }
}
