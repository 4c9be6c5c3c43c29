//! Where sessions are kept: found by their agent, token and id, bounded for each agent and for all,
//! and, when there is no more room, told by how long nobody has used them.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::{NoRoom, SessionId};
use crate::policy::names::{Handle, TokenId};

/// How many sessions are looked at, at most, to find one that nobody uses.
const LOOKED_AT: usize = 256;

/// A session as far as it is to be kept and found.
pub(super) trait Kept: Clone {
    fn agent(&self) -> &Handle;
    fn token(&self) -> &TokenId;
    fn id(&self) -> &SessionId;
    /// Since when nobody has used it, if nobody does.
    fn idle_since(&self) -> Option<Instant>;
}

/// The most sessions of one agent, by whichever of its tokens, and of all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) of_one: usize,
    pub(super) of_all: usize,
}

/// When a session was last known to be used, and a number that no other has.
type Age = (Instant, u64);

/// The sessions that are open.
#[derive(Debug)]
pub(super) struct Shelf<S> {
    agents: HashMap<Handle, HashMap<SessionId, (Age, S)>>,
    /// By age. A session may have been used since: it then moves on when its turn has come.
    by_age: BTreeMap<Age, S>,
    next: u64,
    bounds: Bounds,
}

impl<S: Kept> Shelf<S> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { agents: HashMap::new(), by_age: BTreeMap::new(), next: 0, bounds }
    }

    /// Which session must go before one more of this agent's is put here, if any must: of an agent
    /// that has all it may, its own that was used longest ago; else of all, whosever it is.
    pub(super) fn in_the_way(&mut self, agent: &Handle) -> Result<Option<S>, NoRoom> {
        if let Some(own) = self.agents.get(agent).filter(|own| own.len() >= self.bounds.of_one) {
            let all = own.values().map(|(_, session)| session);
            let idle = all.filter_map(|session| Some((session.idle_since()?, session)));
            let (_, longest) = idle.min_by_key(|(since, _)| *since).ok_or(NoRoom)?;
            return Ok(Some(longest.clone()));
        }
        if self.by_age.len() >= self.bounds.of_all {
            return self.longest_idle().map(Some).ok_or(NoRoom);
        }
        Ok(None)
    }

    pub(super) fn put(&mut self, session: S) {
        let age = self.age(session.idle_since());
        let own = self.agents.entry(session.agent().clone()).or_default();
        own.insert(session.id().clone(), (age, session.clone()));
        self.by_age.insert(age, session);
    }

    /// The session of that name, if it was opened by this token of this agent's.
    pub(super) fn get(&self, agent: &Handle, token: &TokenId, id: &str) -> Option<&S> {
        let (_, session) = self.agents.get(agent)?.get(id)?;
        Some(session).filter(|session| session.token() == token)
    }

    /// Takes a session away, if it is here.
    pub(super) fn take(&mut self, agent: &Handle, token: &TokenId, id: &str) -> Option<S> {
        self.get(agent, token, id)?;
        let own = self.agents.get_mut(agent)?;
        let (age, session) = own.remove(id)?;
        if own.is_empty() {
            self.agents.remove(agent);
        }
        self.by_age.remove(&age);
        Some(session)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &S> {
        self.by_age.values()
    }

    /// Of the sessions that nobody uses, the one that was used longest ago: no other's age can be
    /// less than what is known of it.
    fn longest_idle(&mut self) -> Option<S> {
        for _ in 0..LOOKED_AT {
            let (age, session) = self.by_age.pop_first()?;
            let used = session.idle_since();
            let is_known = used == Some(age.0);
            let age = if is_known { age } else { self.age(used) };
            self.by_age.insert(age, session.clone());
            if is_known {
                return Some(session);
            }
            let own = self.agents.get_mut(session.agent());
            if let Some((known, _)) = own.and_then(|own| own.get_mut(session.id())) {
                *known = age;
            }
        }
        None
    }

    fn age(&mut self, used: Option<Instant>) -> Age {
        self.next += 1;
        (used.unwrap_or_else(Instant::now), self.next)
    }
}

#[cfg(test)]
mod tests;
