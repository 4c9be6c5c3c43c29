//! The worst case if every cap is reached.

use super::{Engine, EngineError};
use crate::{
    policy::{names::Handle, operate::OperateError, state::State, terms::Exposure},
    store::StoreError,
};

impl Engine {
    /// What an agent, or all of them, can still spend if every cap is reached. It is worked out
    /// on copies, away from whoever pays.
    ///
    /// # Errors
    /// If there is no such agent, or the store fails.
    pub async fn exposure(&self, agent: Option<Handle>) -> Result<Exposure, EngineError> {
        let whose = agent.clone();
        let look = move |state: &State, now| (state.for_exposure(whose.as_ref()), now);
        let (excerpt, now) = self.look(look).await?;
        if let Some(agent) = agent.filter(|agent| excerpt.book(agent).is_none()) {
            return Err(OperateError::UnknownAgent(agent).into());
        }
        let weigh = move || Exposure::of(&excerpt, now);
        Ok(tokio::task::spawn_blocking(weigh).await.map_err(|_| StoreError::Panicked)?)
    }
}
