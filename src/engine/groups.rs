//! Groups of agents: read, and taken away. They are made and changed by a policy.

use super::{
    Engine, EngineError,
    gates::{Asker, Gate},
};
use crate::{
    policy::{
        group,
        names::GroupId,
        operate::OperateError,
        state::State,
        terms::{GroupRoll, GroupView, Groups},
    },
    store::Purpose,
};

impl Engine {
    /// Every group.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn groups(&self) -> Result<Groups, EngineError> {
        let roll = self.look(GroupRoll::of).await?;
        self.gates.pass(&Asker::Operator, Gate::Working, move || roll.views()).await
    }

    /// One group.
    ///
    /// # Errors
    /// If there is none of that name, or the store fails.
    pub async fn group(&self, name: &GroupId) -> Result<GroupView, EngineError> {
        let reading = name.clone();
        let look = move |state: &State, now| {
            state.group(&reading).map(|group| GroupView::of(state, group, now))
        };
        let view = self.look(look).await?;
        Ok(view.ok_or_else(|| OperateError::UnknownGroup(name.clone()))?)
    }

    /// Takes a group away, and says what it was.
    ///
    /// # Errors
    /// If there is none of that name, it is in use, or the store fails.
    pub async fn remove_group(&self, name: &GroupId) -> Result<GroupView, EngineError> {
        let removing = name.clone();
        let decide = move |state: &State, now| {
            let view = state.group(&removing).map(|group| GroupView::of(state, group, now));
            group::remove_group(state, &removing).map(|act| (act, view))
        };
        let removed = self.act(Purpose::Record, decide, |_, _, view| view).await?;
        tracing::info!(group = %name, "group removed");
        Ok(removed.ok_or_else(|| OperateError::UnknownGroup(name.clone()))?)
    }
}
