//! The state while the writer waits for something to do: whoever only looks need not wake it.

use std::sync::{PoisonError, RwLock};

use super::format::Head;
use crate::policy::state::State;

/// Where the writer lays down the state, with the head that it belongs to, while it waits. Whatever
/// somebody waits to have synced is synced by then, though who also waits for the anchor may not be
/// answered yet. What nobody waits for, as a denial, may follow unsynced for a second; and after a
/// failed sync there is what was decided, synced or not.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    laid: RwLock<Option<(State, Head)>>,
}

impl Rest {
    /// Lays the state down. The writer has none until it takes it up again.
    pub(crate) fn lay_down(&self, state: State, head: Head) {
        *self.laid.write().unwrap_or_else(PoisonError::into_inner) = Some((state, head));
    }

    /// Takes the state up, once nobody looks at it.
    pub(crate) fn take_up(&self) -> Option<State> {
        let mut laid = self.laid.write().unwrap_or_else(PoisonError::into_inner);
        laid.take().map(|(state, _)| state)
    }

    /// Looks at the state if it is here, on the caller's thread.
    ///
    /// # Errors
    /// The writer has it, or is about to take it: whoever wants to look is given back.
    pub(crate) fn look<R, L: FnOnce(&State, Head) -> R>(&self, look: L) -> Result<R, L> {
        match self.laid.try_read().as_deref() {
            Ok(Some((state, head))) => Ok(look(state, *head)),
            Ok(None) | Err(_) => Err(look),
        }
    }
}
