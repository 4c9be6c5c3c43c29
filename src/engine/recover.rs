//! What is put right when the record is opened.

use super::{Engine, EngineError};
use crate::{
    clock::Clock,
    policy::{entry::VoidCause, settle},
    store::{Decision, Store},
};

impl Engine {
    /// Takes over a store: whatever was held and never sent when it was last left is released.
    ///
    /// # Errors
    /// If that cannot be written down.
    pub async fn open(store: Store, clock: Clock) -> Result<Self, EngineError> {
        let voided = store
            .commit(|state, _, _| {
                let drafts = settle::void_unsent(state, None, VoidCause::Recovery);
                let count = drafts.len();
                if drafts.is_empty() {
                    return Decision::Answer(count);
                }
                Decision::Commit { drafts, durable: true, answer: Box::new(move |_| count) }
            })
            .await?;
        if voided > 0 {
            tracing::warn!(voided, "released holds of which nothing was sent");
        }
        Ok(Self { store, clock })
    }

    /// Whether nothing is set aside: a `serve` that nobody uses may end.
    pub async fn is_idle(&self) -> bool {
        self.look(|state, _| state.all_open().next().is_none()).await.unwrap_or(true)
    }
}
