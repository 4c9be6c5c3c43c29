//! Whose turn it is for what takes a while: to read the record's files, and to work things out.
//!
//! Whoever asks for much waits for himself: each agent has one thing done at a time, so that in
//! front of another agent there is never more than one of each, and operators have gates of their
//! own. Payments pass none, but for calls with a long body before they are decided.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::EngineError;
use crate::{policy::names::Handle, store::StoreError};

/// How many agents have the record's files read at once: each may hold one whole record in memory,
/// and one may be as long as a policy of ten thousand agents.
const AGENTS_READING: usize = 3;
/// How many operators do, beside them.
const OPERATORS_READING: usize = 2;
/// Of how many agents a long call is read at once.
const CALLING: usize = 4;

/// Who asks, and has to wait for his turn.
#[derive(Clone, Debug)]
pub(super) enum Asker {
    /// An operator.
    Operator,
    /// An agent, or its model.
    Agent(Handle),
}

/// What there is to wait for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gate {
    /// Records are read where they are known to be, a few at once.
    Reading,
    /// Whole segments are read, one after the other.
    Walking,
    /// The whole record is read, which only operators have done.
    Replaying,
    /// Something is worked out from what was copied out of the state, one after the other.
    Working,
    /// A long call is read and priced: the few at once may each be read into many times its bytes.
    Calling,
}

/// The gates of agents, or of operators.
#[derive(Debug)]
struct Side {
    reading: Arc<Semaphore>,
    walking: Arc<Semaphore>,
    replaying: Arc<Semaphore>,
    working: Arc<Semaphore>,
    calling: Arc<Semaphore>,
}

impl Side {
    fn new(readers: usize) -> Self {
        let gate = |turns| Arc::new(Semaphore::new(turns));
        Self {
            reading: gate(readers),
            walking: gate(1),
            replaying: gate(1),
            working: gate(1),
            calling: gate(CALLING),
        }
    }

    fn gate(&self, gate: Gate) -> Arc<Semaphore> {
        Arc::clone(match gate {
            Gate::Reading => &self.reading,
            Gate::Walking => &self.walking,
            Gate::Replaying => &self.replaying,
            Gate::Working => &self.working,
            Gate::Calling => &self.calling,
        })
    }
}

/// All gates there are.
#[derive(Debug)]
pub(super) struct Gates {
    operators: Side,
    agents: Side,
    /// The one turn of each agent that has something done or waits for it, for as long as it does.
    own: Mutex<HashMap<Handle, Weak<Semaphore>>>,
}

/// Somebody's turn: the next one's comes when it is dropped.
pub(super) struct Turn {
    _own: Option<OwnedSemaphorePermit>,
    _gate: Option<OwnedSemaphorePermit>,
}

impl Default for Gates {
    fn default() -> Self {
        let (operators, agents) = (Side::new(OPERATORS_READING), Side::new(AGENTS_READING));
        Self { operators, agents, own: Mutex::default() }
    }
}

impl Gates {
    /// Waits until it is his turn. Of an agent one call at most stands at a gate, the others behind
    /// it and out of everybody's way.
    async fn turn(&self, asker: &Asker, gate: Gate) -> Turn {
        let (side, own) = match asker {
            Asker::Operator => (&self.operators, None),
            Asker::Agent(agent) => (&self.agents, Some(self.own(agent))),
        };
        let own = match own {
            Some(own) => own.acquire_owned().await.ok(),
            None => None,
        };
        Turn { _own: own, _gate: side.gate(gate).acquire_owned().await.ok() }
    }

    /// An agent's own turn. Those of whoever has nothing done any more are forgotten.
    fn own(&self, agent: &Handle) -> Arc<Semaphore> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = own.get(agent).and_then(Weak::upgrade) {
            return own;
        }
        own.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Semaphore::new(1));
        own.insert(agent.clone(), Arc::downgrade(&turn));
        turn
    }

    /// Does what takes a while when it is his turn, on a thread where nothing else waits.
    pub(super) async fn pass<R: Send + 'static>(
        &self,
        asker: &Asker,
        gate: Gate,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, EngineError> {
        let turn = self.turn(asker, gate).await;
        let worked = tokio::task::spawn_blocking(move || {
            // It goes on, and keeps its turn, also where nobody waits for it any more.
            let _turn = turn;
            work()
        });
        Ok(worked.await.map_err(|_| StoreError::Panicked)?)
    }
}
