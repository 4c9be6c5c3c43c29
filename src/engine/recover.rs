//! What is put right when the record is opened.

use super::{Engine, EngineError};
use crate::{
    clock::Clock,
    policy::{entry::VoidCause, names::Handle, settle, state::State},
    store::{Decision, Purpose, Store},
};

impl Engine {
    /// Takes over a store: whatever was held and never sent when it was last left is released.
    ///
    /// What cannot be written down stays held: a sealed record, or one on a full disk, is still to
    /// be read.
    ///
    /// # Errors
    /// If the store fails in a way that leaves nothing to read.
    pub async fn open(store: Store, clock: Clock) -> Result<Self, EngineError> {
        let engine = Self { store, clock };
        match engine.void_unsent(None, VoidCause::Recovery).await {
            Ok(0) => {}
            Ok(voided) => tracing::warn!(voided, "released holds of which nothing was sent"),
            Err(EngineError::Store(error)) if error.leaves_reading() => {
                tracing::warn!(%error, "holds of which nothing was sent stay held");
            }
            Err(error) => return Err(error),
        }
        Ok(engine)
    }

    /// Releases every hold of which nothing was sent, of one agent or of all; says how many.
    pub(super) async fn void_unsent(
        &self,
        agent: Option<Handle>,
        cause: VoidCause,
    ) -> Result<usize, EngineError> {
        let mut voided = 0;
        loop {
            let agent = agent.clone();
            let decide = move |state: &State, _, _| {
                let drafts = settle::void_unsent(state, agent.as_ref(), cause);
                let count = drafts.len();
                if drafts.is_empty() {
                    return Decision::Answer(count);
                }
                let answer = Box::new(move |_: &State| count);
                Decision::Commit { drafts, durable: true, answer }
            };
            match self.store.commit(Purpose::Record, decide).await? {
                0 => return Ok(voided),
                some => voided += some,
            }
        }
    }

    /// Whether nothing is set aside: a `serve` that nobody uses may end.
    pub async fn is_idle(&self) -> bool {
        self.look(|state, _| state.all_open().next().is_none()).await.unwrap_or(true)
    }
}
