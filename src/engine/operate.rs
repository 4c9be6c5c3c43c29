//! The operator's acts, on the same road as a payment: decide, commit, answer.

use jiff::Timestamp;

use super::{Engine, EngineError};
use crate::{
    policy::{
        answer::ServiceView,
        entry::VoidCause,
        names::Handle,
        operate::{self, Act, Existing, OperateError},
        state::State,
        terms::{AgentView, Agents, Books, NewAgent, NewService, Revocation, Services, TopUp},
    },
    store::{Decision, Purpose},
};

impl Engine {
    /// Creates an agent.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn create_agent(&self, new: NewAgent) -> Result<AgentView, EngineError> {
        let handle = new.handle.clone();
        let open = move |state: &State, agent: &Handle| operate::open(state, agent, new.mandate());
        let view = self.act_on(&handle, Purpose::Record, open).await?;
        tracing::info!(agent = %handle, "agent created");
        Ok(view)
    }

    /// Adds to an agent's balance.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn top_up(&self, agent: &Handle, top_up: TopUp) -> Result<AgentView, EngineError> {
        let TopUp { amount_usd, note } = top_up;
        let act =
            move |state: &State, agent: &Handle| operate::top_up(state, agent, amount_usd, note);
        let view = self.act_on(agent, Purpose::Record, act).await?;
        tracing::info!(%agent, amount = %amount_usd, "topped up");
        Ok(view)
    }

    /// Ends an agent's right to pay. Once this answers, nothing more is authorised for it.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn revoke(
        &self,
        agent: &Handle,
        revocation: Revocation,
    ) -> Result<AgentView, EngineError> {
        let Revocation { reason, note } = revocation;
        tracing::info!(%agent, %reason, "revoking");
        let revoke =
            move |state: &State, agent: &Handle| operate::revoke(state, agent, reason, note);
        let view = self.act_on(agent, Purpose::Lower, revoke).await?;
        self.void_unsent(Some(agent.clone()), VoidCause::Revoked).await?;
        Ok(view)
    }

    /// Adds a service to the catalogue.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn add_service(&self, new: NewService) -> Result<ServiceView, EngineError> {
        let service = new.service();
        let view = ServiceView::from(&service);
        let existing = if new.replace { Existing::Replace } else { Existing::Keep };
        let decide = move |state: &State| operate::set_service(state, service, existing);
        self.act(Purpose::Record, decide, |_, _| ()).await?;
        tracing::info!(service = %view.service_id.0, "service set");
        Ok(view)
    }

    /// One agent.
    ///
    /// # Errors
    /// If there is none of that name, or the store fails.
    pub async fn agent(&self, agent: &Handle) -> Result<AgentView, EngineError> {
        let handle = agent.clone();
        let look =
            move |state: &State, now| state.book(&handle).map(|book| AgentView::of(book, now));
        let view = self.look(look).await?;
        Ok(view.ok_or_else(|| OperateError::UnknownAgent(agent.clone()))?)
    }

    /// Every agent.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn agents(&self) -> Result<Agents, EngineError> {
        let look =
            |state: &State, now| state.books().map(|book| AgentView::of(book, now)).collect();
        Ok(Agents { agents: self.look(look).await? })
    }

    /// The catalogue.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn services(&self) -> Result<Services, EngineError> {
        let look = |state: &State, _| state.services().map(ServiceView::from).collect();
        Ok(Services { services: self.look(look).await? })
    }

    /// Every book at one head of the record, for `verify`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn books(&self) -> Result<Books, EngineError> {
        let read = |state: &State, head| Books { head, books: state.books().cloned().collect() };
        Ok(self.store.read(read).await?)
    }

    /// Does something to one agent and says how it stands then.
    async fn act_on(
        &self,
        agent: &Handle,
        purpose: Purpose,
        decide: impl FnOnce(&State, &Handle) -> Result<Act, OperateError> + Send + 'static,
    ) -> Result<AgentView, EngineError> {
        let (deciding, reading) = (agent.clone(), agent.clone());
        let view = self
            .act(
                purpose,
                move |state| decide(state, &deciding),
                move |state, now| state.book(&reading).map(|book| AgentView::of(book, now)),
            )
            .await?;
        Ok(view.ok_or_else(|| OperateError::UnknownAgent(agent.clone()))?)
    }

    /// Decides an act on the newest state, writes it down durably, and reads what came of it.
    async fn act<R: Send + 'static>(
        &self,
        purpose: Purpose,
        decide: impl FnOnce(&State) -> Result<Act, OperateError> + Send + 'static,
        read: impl FnOnce(&State, Timestamp) -> R + Send + 'static,
    ) -> Result<R, EngineError> {
        let decide = move |state: &State, _, now| match decide(state) {
            Err(error) => Decision::Answer(Err(error)),
            Ok(Act::Nothing) => Decision::Answer(Ok(read(state, now))),
            Ok(Act::Write(drafts)) => {
                let answer = Box::new(move |state: &State| Ok(read(state, now)));
                Decision::Commit { drafts, durable: true, answer }
            }
        };
        Ok(self.store.commit(purpose, decide).await??)
    }
}

/// The status, code and hint that an operator gets for a refused act.
pub(super) fn problem(error: &OperateError) -> (u16, &'static str, Option<&'static str>) {
    match error {
        OperateError::UnknownAgent(_) => {
            (404, "agent_unknown", Some("`pettycash agent list` shows the agents"))
        }
        OperateError::HandleTaken(_) => (
            409,
            "handle_taken",
            Some("handles are never given twice, not even after a revocation: choose another"),
        ),
        OperateError::Mandate(_) => (422, "mandate_invalid", None),
        OperateError::Revoked(_) => {
            (409, "agent_revoked", Some("create another agent; a revocation is for good"))
        }
        OperateError::NoBalance(_) => (
            409,
            "no_balance",
            Some("create an agent with `--funding prepaid` to spend from a balance"),
        ),
        OperateError::FundingFixed(_) => (
            409,
            "funding_fixed",
            Some("create another agent; handles and histories stay with their funding"),
        ),
        OperateError::UnknownService(_) => {
            (404, "service_unknown", Some("`pettycash service list` shows the catalogue"))
        }
        OperateError::Zero => (422, "amount_zero", None),
        OperateError::TooMuch => (422, "amount_too_large", None),
        OperateError::ServiceTaken(_) => (
            409,
            "service_taken",
            Some("`--replace` gives it the new payee and price; what was paid stays as it is"),
        ),
    }
}
