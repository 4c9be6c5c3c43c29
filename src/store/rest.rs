//! The state while the writer waits for something to do: whoever only looks need not wake it.

use std::sync::{PoisonError, RwLock};

use super::format::Head;
use crate::policy::state::State;

/// Where the writer lays down the state, with the head that it belongs to, each time that
/// everybody has been answered: nothing in it then waits for a sync.
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
