//! The sessions of MCP clients, each bound to the token that opened it.
//!
//! A session is found only under its token: with another one it is a session that there is not.
//! Its id is random, no credential, and never logged. It ends with its token, with its client, or
//! when nobody has used it for long.

mod manager;
mod session;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::bearer::Bearer;
use crate::policy::names::TokenId;

pub(super) use manager::Manager;
pub(super) use session::{Begun, Ended, Outgoing, Session, Transport};

/// The most sessions of one token. One more ends the one that was used longest ago.
const MAX_OF_ONE: usize = 256;
/// The most sessions of all tokens.
const MAX_OF_ALL: usize = 16_384;
/// How long a session stays that nobody uses: no request, no answer to come, no stream.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// How often it is looked which tokens still stand: a stream outlives its token by no more.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a session is called by its client.
pub(super) type SessionId = Arc<str>;

/// The sessions of one transport. Clones are the same sessions.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    open: Arc<Mutex<Open>>,
    /// Set when nothing more is asked.
    finishing: watch::Sender<bool>,
}

type Open = HashMap<TokenId, HashMap<SessionId, Arc<Session>>>;

/// There is no room for another session, or no randomness for its id.
#[derive(Debug, thiserror::Error)]
#[error("no more sessions can be opened")]
pub(super) struct NoRoom;

impl Sessions {
    /// Opens a session for a client, answered in one way or the other.
    pub(super) fn open(&self, bearer: &Bearer, out: Outgoing) -> Result<Transport, NoRoom> {
        let id = random_id().ok_or(NoRoom)?;
        let mut open = self.lock();
        let all: usize = open.values().map(HashMap::len).sum();
        let own = open.entry(bearer.token().clone()).or_default();
        if own.len() >= MAX_OF_ONE || all >= MAX_OF_ALL {
            let longest = longest_idle(own).ok_or(NoRoom)?;
            own.remove(&longest.id);
            longest.end();
        }
        let (session, transport) = Session::new(id.clone(), bearer.clone(), out);
        own.insert(id, session);
        Ok(transport)
    }

    /// Whether a session of this bearer's could be opened now.
    pub(super) fn has_room(&self, bearer: &Bearer) -> bool {
        let open = self.lock();
        let all: usize = open.values().map(HashMap::len).sum();
        let own = open.get(bearer.token());
        let room = all < MAX_OF_ALL && own.is_none_or(|own| own.len() < MAX_OF_ONE);
        room || own.and_then(longest_idle).is_some()
    }

    /// This bearer's session of that name.
    pub(super) fn of(&self, bearer: &Bearer, id: &str) -> Option<Arc<Session>> {
        self.lock().get(bearer.token())?.get(id).cloned()
    }

    /// Ends a session, if it is open.
    pub(super) fn end(&self, bearer: &Bearer, id: &str) {
        let mut open = self.lock();
        let Some(own) = open.get_mut(bearer.token()) else { return };
        let ended = own.remove(id);
        if own.is_empty() {
            open.remove(bearer.token());
        }
        drop(open);
        if let Some(session) = ended {
            session.end();
        }
    }

    /// Ends the sessions whose token no longer stands, and those that nobody uses.
    pub(super) fn look(&self) {
        let mut ended = Vec::new();
        self.lock().retain(|_, own| {
            let stands = own.values().next().is_some_and(|session| session.bearer.stands());
            own.retain(|_, session| {
                let stays = stands && session.idle_since().is_none_or(|at| at.elapsed() < IDLE);
                if !stays {
                    ended.push(session.clone());
                }
                stays
            });
            !own.is_empty()
        });
        for session in ended {
            session.end();
        }
    }

    /// Ends the streams on which nothing is to come, and every session with its last answer.
    pub(super) fn finish(&self) {
        self.finishing.send_replace(true);
        let open: Vec<_> = self.lock().values().flat_map(HashMap::values).cloned().collect();
        for session in open {
            session.end_when_quiet();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session that was used longest ago, of those that nobody uses.
fn longest_idle(own: &HashMap<SessionId, Arc<Session>>) -> Option<Arc<Session>> {
    let idle = own.values().filter_map(|session| Some((session.idle_since()?, session)));
    idle.min_by_key(|(since, _)| *since).map(|(_, session)| session.clone())
}

fn random_id() -> Option<SessionId> {
    let halves = getrandom::u64().and_then(|high| Ok((high, getrandom::u64()?)));
    halves.ok().map(|(high, low)| format!("{high:016x}{low:016x}").into())
}
