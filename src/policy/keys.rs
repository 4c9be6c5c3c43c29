//! Callers' keys: which payment each stands for, and until when.
//!
//! Nearly every payment brings one, so there are as many as payments in their time. A key is kept
//! as its digest with the little that an answer needs, filed under the minute in which its time is
//! over; it is forgotten with all of its minute. The desk keeps keys in chunks that only ever
//! follow one another, so that a key is not a document of its own.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    num::NonZeroU64,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    entry::{Binding, Fact, Hash, Hold},
    failures::Failed,
    money::Usd,
    names::{Handle, IdempotencyKey, PaymentId, ServiceId},
    planted::{self, Bug},
    task::TaskId,
};

/// The most keys of one chunk, so that its document stays below 4 KiB.
const IN_CHUNK: usize = 27;
/// How many chunks a minute may have beyond twice what it needs, before they are written anew.
const LOOSE: usize = 8;
/// For how many minutes a key is filed again that outlives its time.
const OPEN_FOR: u32 = 60;
/// The microseconds of a minute.
const MICROS: i64 = 60_000_000;

/// What a key is known by: the start of the digest of whose it is and how it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(u64, u64);

impl KeyName {
    fn of(agent: &Handle, key: &IdempotencyKey) -> Self {
        let [high, low, ..] = digest(&[agent.as_str(), key.as_str()]);
        Self(high, low)
    }
}

/// What became of the payment that a key is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The money is set aside.
    Open,
    /// So much was taken.
    Captured(Usd),
    /// The time was up and nothing was taken.
    Expired,
    /// The rail said no, and why.
    Failed(Failed),
}

impl Outcome {
    /// What an entry ends a payment with; nothing if it ends none, or as if it never was.
    pub(super) fn of(fact: &Fact) -> Option<Self> {
        if let Fact::Captured { amount, .. } = fact {
            Some(Self::Captured(*amount))
        } else if let Fact::Failed { status, .. } = fact {
            Some(Self::Failed(Failed::with(*status)))
        } else {
            matches!(fact, Fact::Expired { .. }).then_some(Self::Expired)
        }
    }
}

/// The payment that a caller's key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The payment.
    pub payment: PaymentId,
    /// What became of it.
    pub outcome: Outcome,
    /// The start of the digest of what was asked.
    asked: u64,
    /// That of the id of the call which first used the key.
    call: Option<NonZeroU64>,
    /// When the key may be forgotten, unless the payment is open: µs since 1970.
    until: i64,
}

impl Bound {
    fn of(hold: &Hold, binding: &Binding, outcome: Outcome) -> Self {
        Self {
            payment: hold.payment,
            outcome,
            asked: asked(&hold.service, binding.asked, hold.task, hold.request),
            call: binding.call.as_ref().map(called),
            until: binding.until.as_microsecond(),
        }
    }

    /// Whether the payment is what is asked for now, `request` being the digest of the call that is
    /// to be paid for. One that belongs to no task stands for the same in any: so do those of
    /// before there were tasks.
    pub fn is_for(
        &self,
        service: &ServiceId,
        amount: Option<Usd>,
        task: Option<TaskId>,
        request: Option<Hash>,
    ) -> bool {
        [task, None].into_iter().any(|task| self.asked == asked(service, amount, task, request))
    }

    /// Whether it was this very call that first used the key.
    pub fn is_of_call(&self, call: &IdempotencyKey) -> bool {
        self.call == Some(called(call))
    }

    /// A key outlives its time while its payment is open.
    fn lives(&self, now: Timestamp) -> bool {
        let late = planted::is(Bug::KeyKeptTooLong) && self.until == now.as_microsecond();
        let open = self.outcome == Outcome::Open && !planted::is(Bug::KeyEndsWhileOpen);
        self.until > now.as_microsecond() || open || late
    }
}

fn asked(
    service: &ServiceId,
    amount: Option<Usd>,
    task: Option<TaskId>,
    request: Option<Hash>,
) -> u64 {
    let amount = amount.filter(|_| !planted::is(Bug::KeyForgetsAmount));
    let amount = amount.map(Usd::decimal).unwrap_or_default();
    let task = task.filter(|_| !planted::is(Bug::KeyForgetsTask)).map(|task| task.to_string());
    // Neither reads as the other: one of them may be alone.
    let request = request.map(|request| format!("sha256:{request}"));
    let named = [service.as_str(), &amount].into_iter();
    let texts: Vec<&str> = named.chain(task.as_deref()).chain(request.as_deref()).collect();
    let [asked, ..] = digest(&texts);
    asked
}

fn called(call: &IdempotencyKey) -> NonZeroU64 {
    let [call, ..] = digest(&[call.as_str()]);
    NonZeroU64::new(call).unwrap_or(NonZeroU64::MIN)
}

/// The digest of texts none of which has a zero byte.
fn digest(texts: &[&str]) -> [u64; 4] {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(text.as_bytes());
        digest.update([0]);
    }
    let digest: [u8; 32] = digest.finalize().into();
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<8>().0) {
        *word = u64::from_be_bytes(*bytes);
    }
    words
}

/// Keys of one minute that the desk was told of at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    pub(super) minute: u32,
    /// The later chunk has the last word on a key.
    pub(super) n: u64,
    words: Vec<Word>,
}

/// What is known of a key: what it stands for, or that it is free, or filed under another minute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Line", try_from = "Line")]
struct Word {
    name: KeyName,
    bound: Option<Bound>,
}

/// A word in numbers: the name, the payment, what was asked, the call, the time, and what was taken
/// or, below zero, what else became of it.
#[derive(Serialize, Deserialize)]
struct Line(u64, u64, u64, u64, u64, i64, i64);

const OPEN: i64 = -1;
const EXPIRED: i64 = -2;
const FAILED: i64 = -3;
const FREE: i64 = -4;
const REFUSED: i64 = -5;

impl From<Word> for Line {
    fn from(Word { name: KeyName(high, low), bound }: Word) -> Self {
        let Some(bound) = bound else { return Self(high, low, 0, 0, 0, 0, FREE) };
        let Bound { payment, outcome, asked, call, until } = bound;
        let outcome = match outcome {
            Outcome::Open => OPEN,
            Outcome::Captured(amount) => amount.nanos(),
            Outcome::Expired => EXPIRED,
            Outcome::Failed(Failed::ForNow) => FAILED,
            Outcome::Failed(Failed::Refused) => REFUSED,
        };
        Self(high, low, payment.number(), asked, call.map_or(0, NonZeroU64::get), until, outcome)
    }
}

impl TryFrom<Line> for Word {
    type Error = &'static str;

    fn try_from(line: Line) -> Result<Self, Self::Error> {
        let Line(high, low, payment, asked, call, until, outcome) = line;
        let outcome = match outcome {
            OPEN => Some(Outcome::Open),
            EXPIRED => Some(Outcome::Expired),
            FAILED => Some(Outcome::Failed(Failed::ForNow)),
            REFUSED => Some(Outcome::Failed(Failed::Refused)),
            FREE => None,
            nanos => {
                Some(Outcome::Captured(Usd::try_from(nanos).map_err(|_| "an unknown outcome")?))
            }
        };
        let (payment, call) = (PaymentId::numbered(payment), NonZeroU64::new(call));
        let bound = outcome.map(|outcome| Bound { payment, outcome, asked, call, until });
        Ok(Self { name: KeyName(high, low), bound })
    }
}

/// A key that is kept, and the minute it is filed under.
#[derive(Clone, Copy, Debug)]
struct Kept {
    bound: Bound,
    minute: u32,
}

/// What came to be filed under one minute.
#[derive(Clone, Debug, Default)]
struct Minute {
    /// Every key that was; it may be gone again, or be named twice.
    names: Vec<KeyName>,
    /// The chunks that the desk has of it.
    chunks: Vec<u64>,
}

/// What the desk is to be told: which chunks are new, and which are gone.
pub(super) struct Changed {
    pub(super) new: Vec<Chunk>,
    pub(super) gone: Vec<(u32, u64)>,
}

/// Every agent's keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    kept: HashMap<KeyName, Kept>,
    minutes: BTreeMap<u32, Minute>,
    /// What changed in each minute since the desk was told; a key may be named twice.
    touched: BTreeMap<u32, Vec<KeyName>>,
    gone: Vec<(u32, u64)>,
    next_chunk: u64,
}

impl Keys {
    /// What a key stands for at `now`.
    pub(super) fn get(
        &self,
        agent: &Handle,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Option<&Bound> {
        let kept = self.kept.get(&KeyName::of(agent, key))?;
        kept.bound.lives(now).then_some(&kept.bound)
    }

    /// How many keys are kept, living or not.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// How many keys stand for something at `now` on one side, and not for the same on the other.
    pub(super) fn differing(&self, other: &Self, now: Timestamp) -> usize {
        let lives = |kept: &&Kept| kept.bound.lives(now);
        let same = |name: &KeyName, kept: &Kept| {
            other.kept.get(name).is_some_and(|there| there.bound == kept.bound)
        };
        let here = self.kept.iter().filter(|(_, kept)| lives(kept));
        let here = here.filter(|(name, kept)| !same(name, kept)).count();
        let lacks = |name: &KeyName| !self.kept.get(name).as_ref().is_some_and(lives);
        let there = other.kept.iter().filter(|(name, kept)| lives(kept) && lacks(name)).count();
        here.saturating_add(there)
    }

    /// Has a key stand for a payment.
    pub(super) fn bind(&mut self, agent: &Handle, hold: &Hold, outcome: Outcome) {
        let Some(binding) = &hold.binding else { return };
        let bound = Bound::of(hold, binding, outcome);
        let minute = minute_after(bound.until);
        self.file(KeyName::of(agent, &binding.key), Kept { bound, minute });
    }

    /// Has a key stand for nothing.
    pub(super) fn free(&mut self, agent: &Handle, key: &IdempotencyKey) {
        let name = KeyName::of(agent, key);
        if let Some(kept) = self.kept.remove(&name) {
            self.touched.entry(kept.minute).or_default().push(name);
        }
    }

    fn file(&mut self, name: KeyName, kept: Kept) {
        let minute = kept.minute;
        let before = self.kept.insert(name, kept).map(|before| before.minute);
        if before != Some(minute) {
            self.minutes.entry(minute).or_default().names.push(name);
            // The desk must not find it where it was.
            if let Some(before) = before {
                self.touched.entry(before).or_default().push(name);
            }
        }
        self.touched.entry(minute).or_default().push(name);
    }

    fn is_filed(&self, name: KeyName, minute: u32) -> bool {
        self.kept.get(&name).is_some_and(|kept| kept.minute == minute)
    }

    /// Drops every minute that is over at `now`, and says how many keys went with them.
    pub(super) fn forget(&mut self, now: Timestamp) -> usize {
        let before = self.kept.len();
        let over = now.as_microsecond().div_euclid(MICROS);
        while let Some(first) = self.minutes.first_entry().filter(|m| i64::from(*m.key()) <= over) {
            let (minute, Minute { names, chunks }) = first.remove_entry();
            self.gone.extend(chunks.into_iter().map(|n| (minute, n)));
            self.touched.remove(&minute);
            for name in names {
                let Some(kept) = self.kept.get(&name).copied() else { continue };
                if kept.minute != minute {
                    continue;
                }
                self.kept.remove(&name);
                if kept.bound.outcome == Outcome::Open {
                    let minute = minute_after(now.as_microsecond()).saturating_add(OPEN_FOR);
                    self.file(name, Kept { minute, ..kept });
                }
            }
        }
        before.saturating_sub(self.kept.len())
    }

    /// What the desk does not know yet; `all` if it knows nothing.
    pub(super) fn drain(&mut self, all: bool) -> Changed {
        let mut gone = mem::take(&mut self.gone);
        if all {
            gone.clear();
            for (minute, there) in &mut self.minutes {
                there.chunks.clear();
                self.touched.entry(*minute).or_default();
            }
        }
        let mut new = Vec::new();
        for (minute, mut names) in mem::take(&mut self.touched) {
            let mut there = self.minutes.remove(&minute).unwrap_or_default();
            let needed = there.names.len().div_ceil(IN_CHUNK);
            if all || there.chunks.len() > needed.saturating_mul(2).saturating_add(LOOSE) {
                gone.extend(there.chunks.drain(..).map(|n| (minute, n)));
                there.names.sort_unstable();
                there.names.dedup();
                there.names.retain(|name| self.is_filed(*name, minute));
                names.clone_from(&there.names);
            }
            names.sort_unstable();
            names.dedup();
            for some in names.chunks(IN_CHUNK) {
                let word = |name: &KeyName| {
                    let kept = self.kept.get(name).filter(|kept| kept.minute == minute);
                    Word { name: *name, bound: kept.map(|kept| kept.bound) }
                };
                let chunk =
                    Chunk { minute, n: self.next_chunk, words: some.iter().map(word).collect() };
                there.chunks.push(chunk.n);
                self.next_chunk = self.next_chunk.saturating_add(1);
                new.push(chunk);
            }
            self.minutes.insert(minute, there);
        }
        Changed { new, gone }
    }

    /// Puts back the chunks that the desk kept, in any order.
    pub(super) fn restore(&mut self, mut chunks: Vec<Chunk>) {
        chunks.sort_unstable_by_key(|chunk| chunk.n);
        for Chunk { minute, n, words } in chunks {
            for Word { name, bound } in words {
                match bound {
                    Some(bound) => self.file(name, Kept { bound, minute }),
                    None if self.is_filed(name, minute) => drop(self.kept.remove(&name)),
                    None => {}
                }
            }
            self.minutes.entry(minute).or_default().chunks.push(n);
            self.next_chunk = self.next_chunk.max(n.saturating_add(1));
        }
        self.touched.clear();
    }
}

/// The first full minute that is not before a time.
fn minute_after(micros: i64) -> u32 {
    let minute = micros.saturating_add(MICROS.saturating_sub(1)).div_euclid(MICROS);
    u32::try_from(minute.max(0)).unwrap_or(u32::MAX)
}
