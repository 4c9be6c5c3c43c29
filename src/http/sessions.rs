//! The sessions of MCP clients, each bound to the token that opened it.
//!
//! A session is found only under its token: with another one it is a session that there is not.
//! Its id is random, no credential, and never logged. It ends with its token, with its client, or
//! when nobody has used it for long; but whoever waits in it for an answer gets that first.

mod manager;
mod session;
mod shelf;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::bearer::Bearer;
use crate::policy::names::{Handle, TokenId};

pub(super) use manager::Manager;
pub(super) use session::{Begun, Ended, Outgoing, Session, Transport};
use shelf::{Bounds, Kept, Shelf};

/// The most sessions of one agent, by all its tokens together, and of all agents. One more ends
/// the one that was used longest ago: of the agent's own, or of all.
const BOUNDS: Bounds = Bounds { of_one: 1_024, of_all: 16_384 };
/// How long a session stays that nobody uses: no request, no answer to come, no stream.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// How often it is looked which tokens still stand: a stream outlives its token by no more.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a session is called by its client.
pub(super) type SessionId = Arc<str>;

/// The sessions of one transport. Clones are the same sessions.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    open: Arc<Mutex<Open>>,
    /// Set when nothing more is asked.
    finishing: Arc<AtomicBool>,
}

type Open = Shelf<Arc<Session>>;

impl Default for Sessions {
    fn default() -> Self {
        let open = Arc::new(Mutex::new(Shelf::new(BOUNDS)));
        Self { open, finishing: Arc::default() }
    }
}

impl Kept for Arc<Session> {
    fn agent(&self) -> &Handle {
        self.bearer.agent()
    }

    fn token(&self) -> &TokenId {
        self.bearer.token()
    }

    fn id(&self) -> &SessionId {
        &self.id
    }

    fn idle_since(&self) -> Option<Instant> {
        Session::idle_since(self)
    }
}

/// There is no room or no time left for another session, or no randomness for its id.
#[derive(Debug, thiserror::Error)]
#[error("no more sessions can be opened")]
pub(super) struct NoRoom;

impl Sessions {
    /// Opens a session for a client, answered in one way or the other.
    pub(super) fn open(&self, bearer: &Bearer, out: Outgoing) -> Result<Transport, NoRoom> {
        let id = random_id().ok_or(NoRoom)?;
        let mut open = self.lock();
        // Looked at under the lock: it is seen here, or the session is seen by `finish`.
        if self.is_finishing() && matches!(out, Outgoing::Stream(_)) {
            return Err(NoRoom);
        }
        let gone = open.in_the_way(bearer.agent())?;
        if let Some(gone) = &gone {
            open.take(gone.agent(), gone.token(), gone.id());
        }
        let (session, transport) = Session::new(id, bearer.clone(), out);
        open.put(session);
        drop(open);
        if let Some(gone) = gone {
            gone.leave();
        }
        Ok(transport)
    }

    /// Whether a session of this bearer's could be opened now.
    pub(super) fn has_room(&self, bearer: &Bearer) -> bool {
        self.lock().in_the_way(bearer.agent()).is_ok()
    }

    /// This bearer's session of that name.
    pub(super) fn of(&self, bearer: &Bearer, id: &str) -> Option<Arc<Session>> {
        self.lock().get(bearer.agent(), bearer.token(), id).cloned()
    }

    /// Lets nobody into a session any more, if it is open: it ends with its last answer.
    pub(super) fn let_go(&self, bearer: &Bearer, id: &str) {
        let gone = self.lock().take(bearer.agent(), bearer.token(), id);
        if let Some(session) = gone {
            session.leave();
        }
    }

    /// Ends a session where it stands, for there is nobody any more who could be answered.
    pub(super) fn end(&self, bearer: &Bearer, id: &str) {
        let gone = self.lock().take(bearer.agent(), bearer.token(), id);
        if let Some(session) = gone {
            session.end();
        }
    }

    /// Lets go of the sessions whose token no longer stands, and of those that nobody uses.
    pub(super) fn look(&self) {
        let mut stand = HashMap::new();
        for session in self.all() {
            let bearer = &session.bearer;
            let stands = *stand.entry(bearer.token().clone()).or_insert_with(|| bearer.stands());
            let idle = session.idle_since().is_some_and(|since| since.elapsed() >= IDLE);
            if !stands || idle {
                self.let_go(bearer, session.id());
            }
        }
    }

    /// Ends the streams on which nothing is to come, and every session with its last answer.
    pub(super) fn finish(&self) {
        self.finishing.store(true, SeqCst);
        for session in self.all() {
            session.leave();
        }
    }

    /// Whether nothing more is asked, so that no stream is opened any more.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing.load(SeqCst)
    }

    fn all(&self) -> Vec<Arc<Session>> {
        self.lock().all().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random_id() -> Option<SessionId> {
    let halves = getrandom::u64().and_then(|high| Ok((high, getrandom::u64()?)));
    halves.ok().map(|(high, low)| format!("{high:016x}{low:016x}").into())
}
