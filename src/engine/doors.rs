//! Who is let in by which token, in memory: no look-up waits for the writer or a disk.
//!
//! The writer's thread brings this up to date with every act, before the act is answered. So
//! nothing that was revoked lets anybody in once somebody was told that it was revoked.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;
use subtle::ConstantTimeEq;

use crate::policy::{
    entry::{Draft, Fact, Hash},
    names::{Handle, RunId, TokenId},
    proof::Phc,
    state::State,
    token::{Power, Token},
};

/// How long a use is not written down after one that was.
const WRITTEN_EVERY_S: i64 = 24 * 60 * 60;
/// When a token was used that never was.
const NEVER: i64 = i64::MIN;

/// Whom a token is of: an agent, or, of none, the operators.
pub(super) type Owner = Option<Handle>;

/// One token.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) id: TokenId,
    digest: Hash,
    pub(super) owner: Owner,
    pub(super) run: Option<RunId>,
    pub(super) may: BTreeSet<Power>,
    expires_at: Option<Timestamp>,
    /// The second when it last let somebody in, and the last one of those that was written down.
    used: AtomicI64,
    written: AtomicI64,
}

impl Door {
    fn of(token: &Token, before: Option<&Arc<Self>>) -> Self {
        let recorded = token.used_at.map_or(NEVER, Timestamp::as_second);
        let known = |seen: fn(&Self) -> &AtomicI64| {
            before.map_or(NEVER, |before| seen(before).load(Ordering::Relaxed)).max(recorded)
        };
        Self {
            id: token.id.clone(),
            digest: token.digest,
            owner: token.agent.clone(),
            run: token.run.clone(),
            may: token.may.clone(),
            expires_at: token.expires_at,
            used: AtomicI64::new(known(|door| &door.used)),
            written: AtomicI64::new(known(|door| &door.written)),
        }
    }

    /// Notes a use, and says whether it is to be written down.
    fn used(&self, now: Timestamp) -> bool {
        let second = now.as_second();
        self.used.fetch_max(second, Ordering::Relaxed);
        let written = self.written.load(Ordering::Relaxed);
        let due = second.saturating_sub(written) >= WRITTEN_EVERY_S;
        // Of all that come at once, one has it written down.
        let set = (written, second);
        due && self
            .written
            .compare_exchange(set.0, set.1, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

/// The first bytes of a digest, by which it is found; all of it is compared in constant time.
type Place = [u8; 8];

fn place(digest: &Hash) -> Place {
    let mut place = [0; 8];
    place.copy_from_slice(&digest.0[..8]);
    place
}

#[derive(Debug, Default)]
struct Known {
    /// The hash of the operators' passphrase, once there is one.
    passphrase: Option<Phc>,
    doors: HashMap<Place, Vec<Arc<Door>>>,
    of: HashMap<Owner, BTreeMap<TokenId, Arc<Door>>>,
}

/// Uses that are to be written down.
#[derive(Debug, Default)]
struct Due {
    tokens: Vec<(TokenId, Timestamp)>,
    /// Whether somebody is at it.
    writing: bool,
}

/// Every token that lets somebody in.
#[derive(Debug, Default)]
pub(super) struct Doors {
    /// Read by every request and written by operators, so that readers do not wait for each other.
    known: RwLock<Known>,
    due: Mutex<Due>,
}

impl Doors {
    /// The token of that digest, if it lets anybody in at `now`; and whether a use of it is to be
    /// written down by the caller: see [`Doors::take_due`].
    pub(super) fn opened_by(&self, digest: &Hash, now: Timestamp) -> Option<(Arc<Door>, bool)> {
        let door = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let near = known.doors.get(&place(digest))?;
            let same = |door: &&Arc<Door>| bool::from(door.digest.0.ct_eq(&digest.0));
            Arc::clone(near.iter().find(same)?)
        };
        if door.expires_at.is_some_and(|end| now >= end) {
            return None;
        }
        let begin = door.used(now) && self.is_due(door.id.clone(), now);
        Some((door, begin))
    }

    /// The hash of the operators' passphrase, once there is one.
    pub(super) fn passphrase(&self) -> Option<Phc> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).passphrase.clone()
    }

    /// Whether an agent's token lets anybody in at `now`.
    pub(super) fn stands(&self, agent: &Handle, token: &TokenId, now: Timestamp) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let door = known.of.get(&Some(agent.clone())).and_then(|doors| doors.get(token));
        door.is_some_and(|door| door.expires_at.is_none_or(|end| now < end))
    }

    /// When the tokens of an owner last let somebody in, as far as that is known here.
    pub(super) fn seen(&self, owner: &Owner) -> BTreeMap<TokenId, Timestamp> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let doors = known.of.get(owner).into_iter().flat_map(BTreeMap::values);
        let seen = doors.filter_map(|door| {
            let second = door.used.load(Ordering::Relaxed);
            let at = Timestamp::from_second(second).ok().filter(|_| second != NEVER)?;
            Some((door.id.clone(), at))
        });
        seen.collect()
    }

    /// Has the tokens of these owners let in whom the state says.
    pub(super) fn refresh(&self, owners: &BTreeSet<Owner>, state: &State) {
        if owners.is_empty() {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for owner in owners {
            known.refresh(owner, state);
        }
    }

    /// Has every token let in whom the state says.
    pub(super) fn refresh_all(&self, state: &State) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut owners: BTreeSet<Owner> = known.of.keys().cloned().collect();
        owners.insert(None);
        owners.extend(state.tokens().map(|token| token.agent.clone()));
        for owner in &owners {
            known.refresh(owner, state);
        }
    }

    /// Puts a use to those that are to be written down, and says whether the caller is to begin.
    fn is_due(&self, token: TokenId, at: Timestamp) -> bool {
        let mut due = self.due();
        due.tokens.push((token, Timestamp::from_second(at.as_second()).unwrap_or(at)));
        !std::mem::replace(&mut due.writing, true)
    }

    /// Uses to be written down now, by whoever was told to begin; with none, that is over.
    pub(super) fn take_due(&self, most: usize) -> Vec<(TokenId, Timestamp)> {
        let mut due = self.due();
        let from = due.tokens.len().saturating_sub(most);
        let taken = due.tokens.split_off(from);
        due.writing = !taken.is_empty();
        taken
    }

    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn refresh(&mut self, owner: &Owner, state: &State) {
        let before = self.of.remove(owner).unwrap_or_default();
        for door in before.values() {
            if let Some(near) = self.doors.get_mut(&place(&door.digest)) {
                near.retain(|other| other.id != door.id);
                if near.is_empty() {
                    self.doors.remove(&place(&door.digest));
                }
            }
        }
        if owner.is_none() {
            self.passphrase = state.passphrase().cloned();
        }
        let tokens = state.tokens_of(owner.as_ref());
        let now: BTreeMap<TokenId, Arc<Door>> = tokens
            .map(|token| (token.id.clone(), Arc::new(Door::of(token, before.get(&token.id)))))
            .collect();
        for door in now.values() {
            self.doors.entry(place(&door.digest)).or_default().push(Arc::clone(door));
        }
        if !now.is_empty() {
            self.of.insert(owner.clone(), now);
        }
    }
}

/// Who is let in by other means than before, once these facts are so.
pub(super) fn changed_by(drafts: &[Draft]) -> BTreeSet<Owner> {
    let changed = drafts.iter().filter(|draft| {
        matches!(draft.fact, Fact::Token(_) | Fact::PassphraseSet { .. } | Fact::Revoked { .. })
    });
    changed.map(|draft| draft.agent.clone()).collect()
}
