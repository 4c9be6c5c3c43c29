//! The operator's acts, on the same road as a payment: decide, commit, answer.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::{Call, Engine, EngineError, doors::changed_by, prices, proof, tasks};
use crate::{
    policy::{
        answer::{PayAnswer, Refused},
        came::Came,
        denial::Code,
        entry::{Draft, VoidCause},
        names::{Handle, PaymentId, ServiceId},
        operate::{self, Act, Existing, MAX_AT_ONCE, OperateError},
        payee,
        state::State,
        terms::{
            Acted, ActedOnAll, AgentView, Agents, Books, Freezing, NewAgent, NewService,
            PaymentTerms, Repin, Revocation, ServiceEntry, Services, TopUp, Unfreezing,
        },
    },
    store::{Decision, Purpose, StoreError},
};

/// How many records an act on all agents may take: more agents than a machine has room for.
const MAX_ROUNDS: usize = 10_000;

impl Engine {
    /// Creates an agent.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn create_agent(&self, new: NewAgent) -> Result<AgentView, EngineError> {
        let handle = new.handle.clone();
        let open = move |state: &State, agent: &Handle| operate::open(state, agent, new.mandate());
        let Acted { agent, .. } = self.act_on(&handle, Purpose::Record, open).await?;
        tracing::info!(agent = %handle, "agent created");
        Ok(agent)
    }

    /// Adds to an agent's balance.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn top_up(&self, agent: &Handle, top_up: TopUp) -> Result<AgentView, EngineError> {
        let TopUp { amount_usd, note } = top_up;
        let act =
            move |state: &State, agent: &Handle| operate::top_up(state, agent, amount_usd, note);
        let acted = self.act_on(agent, Purpose::Record, act).await?;
        tracing::info!(%agent, amount = %amount_usd, "topped up");
        Ok(acted.agent)
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
        let acted = self.act_on(agent, Purpose::Lower, revoke).await?;
        self.void_unsent(Some(agent.clone()), VoidCause::Revoked).await?;
        Ok(acted.agent)
    }

    /// Stops an agent for now. Once this answers, nothing more is authorised for it.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn freeze(&self, agent: &Handle, freezing: Freezing) -> Result<Acted, EngineError> {
        let Freezing { reason, note } = freezing;
        tracing::info!(%agent, %reason, "freezing");
        let freeze =
            move |state: &State, agent: &Handle| operate::freeze(state, agent, reason, note);
        self.act_on(agent, Purpose::Lower, freeze).await
    }

    /// Lets a frozen agent pay again.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn unfreeze(
        &self,
        agent: &Handle,
        unfreezing: Unfreezing,
    ) -> Result<Acted, EngineError> {
        let Unfreezing { note } = unfreezing;
        let unfreeze = move |state: &State, agent: &Handle| operate::unfreeze(state, agent, note);
        let acted = self.act_on(agent, Purpose::Record, unfreeze).await?;
        tracing::info!(%agent, changed = acted.changed, "unfrozen");
        Ok(acted)
    }

    /// Has a service of an agent, whose first payees stay, pay another.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn repin(&self, agent: &Handle, repin: Repin) -> Result<Acted, EngineError> {
        let Repin { service_id, payee } = repin;
        let service = service_id.clone();
        let act =
            move |state: &State, agent: &Handle| payee::repin(state, agent, &service_id, &payee);
        let acted = self.act_on(agent, Purpose::Record, act).await?;
        tracing::info!(%agent, %service, changed = acted.changed, "payee set");
        Ok(acted)
    }

    /// Stops every active agent for now.
    ///
    /// # Errors
    /// If the store refuses.
    pub async fn freeze_all(&self, freezing: Freezing) -> Result<ActedOnAll, EngineError> {
        let Freezing { reason, note } = freezing;
        tracing::info!(%reason, "freezing every agent");
        let freeze = move |state: &State| operate::freeze_all(state, &reason, note.as_ref());
        self.act_on_all(Purpose::Lower, freeze).await
    }

    /// Lets every frozen agent pay again.
    ///
    /// # Errors
    /// If the store refuses.
    pub async fn unfreeze_all(&self, unfreezing: Unfreezing) -> Result<ActedOnAll, EngineError> {
        let Unfreezing { note } = unfreezing;
        let unfreeze = move |state: &State| operate::unfreeze_all(state, note.as_ref());
        let acted = self.act_on_all(Purpose::Record, unfreeze).await?;
        tracing::info!(agents = acted.changed.len(), "unfrozen");
        Ok(acted)
    }

    /// Adds a service to the catalogue.
    ///
    /// # Errors
    /// If policy or the store refuses.
    pub async fn add_service(&self, new: NewService) -> Result<ServiceEntry, EngineError> {
        self.knows_rail(&new.rail)?;
        let service = new.service();
        new.endpoint.check(&service).map_err(OperateError::from)?;
        let view = ServiceEntry::from(&service);
        let existing = if new.replace { Existing::Replace } else { Existing::Keep };
        let decide = move |state: &State, _| {
            operate::set_service(state, service, existing).map(|act| (act, ()))
        };
        self.act(Purpose::Record, decide, |_, _, ()| ()).await?;
        tracing::info!(service = %view.service_id.0, "service set");
        Ok(view)
    }

    /// Takes a service out of the catalogue, and says what it was.
    ///
    /// # Errors
    /// If it is not there, or the store refuses.
    pub async fn remove_service(&self, id: &ServiceId) -> Result<ServiceEntry, EngineError> {
        let removing = id.clone();
        let decide = move |state: &State, _| {
            let view = state.service(&removing).map(ServiceEntry::from);
            operate::remove_service(state, &removing).map(|act| (act, view))
        };
        let view = self.act(Purpose::Record, decide, |_, _, view| view).await?;
        tracing::info!(service = %id, "service removed");
        Ok(view.ok_or_else(|| OperateError::UnknownService(id.clone()))?)
    }

    /// Pays as an agent would, on the same road, and answers what it would be answered.
    ///
    /// # Errors
    /// If there is no such agent, or the store fails.
    pub async fn pay_as(
        &self,
        agent: &Handle,
        payment: PaymentTerms,
    ) -> Result<PayAnswer, EngineError> {
        self.agent(agent).await?;
        let PaymentTerms {
            service_id,
            amount_usd,
            idempotency_key,
            call_id,
            dry_run,
            task_id,
            request,
        } = payment;
        let mut arguments = json!({"service_id": service_id});
        if let Some(amount) = amount_usd {
            arguments["amount_usd"] = json!(amount.decimal());
        }
        if let Some(key) = idempotency_key {
            arguments["idempotency_key"] = json!(key);
        }
        if dry_run {
            arguments["dry_run"] = json!(true);
        }
        if let Some(task) = task_id {
            arguments["task_id"] = json!(task);
        }
        if let Some(request) = request {
            arguments["request"] = json!(request);
        }
        let (agent, came) = (agent.clone(), Came::Operator(self.proven.clone()));
        let call = Call { agent, run: None, call_id, arguments, came, via: None };
        let answer = self.call("pay_for_api_call", call).await.unwrap_or_default();
        let broken = |_| PayAnswer { refused: Refused::internal_error(), ..PayAnswer::default() };
        let answer: PayAnswer = serde_json::from_value(answer).unwrap_or_else(broken);
        // That his proof was over by then is no word on the agent.
        if answer.refused.code == Some(Code::AgentRevoked) {
            self.is_upheld().await?;
        }
        Ok(answer)
    }

    /// That what was proven holds now.
    async fn is_upheld(&self) -> Result<(), EngineError> {
        let Some(proven) = self.proven.clone() else { return Ok(()) };
        let upheld = move |state: &State, now| (state.upholds(&proven, now), proven);
        let (upheld, proven) = self.look(upheld).await?;
        if upheld { Ok(()) } else { Err(proof::over(&proven).into()) }
    }

    /// One agent.
    ///
    /// # Errors
    /// If there is none of that name, or the store fails.
    pub async fn agent(&self, agent: &Handle) -> Result<AgentView, EngineError> {
        let handle = agent.clone();
        let look = move |state: &State, now| {
            state.spender(&handle).map(|spender| AgentView::of(&spender, now))
        };
        let view = self.look(look).await?;
        Ok(view.ok_or_else(|| OperateError::UnknownAgent(agent.clone()))?)
    }

    /// Every agent.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn agents(&self) -> Result<Agents, EngineError> {
        let look = |state: &State, now| {
            state.books().map(|book| AgentView::of(&state.spender_of(book), now)).collect()
        };
        Ok(Agents { agents: self.look(look).await? })
    }

    /// The catalogue.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn services(&self) -> Result<Services, EngineError> {
        let look = |state: &State, _| state.services().map(ServiceEntry::from).collect();
        Ok(Services { services: self.look(look).await? })
    }

    /// One service of the catalogue.
    ///
    /// # Errors
    /// If there is none of that name, or the store fails.
    pub async fn service(&self, id: &ServiceId) -> Result<ServiceEntry, EngineError> {
        let looking = id.clone();
        let look = move |state: &State, _| state.service(&looking).map(ServiceEntry::from);
        let found = self.look(look).await?;
        Ok(found.ok_or_else(|| OperateError::UnknownService(id.clone()))?)
    }

    /// Every book at one head of the record, for `verify`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn books(&self) -> Result<Books, EngineError> {
        let ahead = self.store.condition().is_ahead();
        let read = move |state: &State, head| Books {
            head,
            books: state.books().cloned().collect(),
            ahead,
            groups: Some(state.groups().cloned().collect()),
        };
        Ok(self.store.read(read).await?)
    }

    /// Does something to one agent and says how it stands then.
    async fn act_on(
        &self,
        agent: &Handle,
        purpose: Purpose,
        decide: impl FnOnce(&State, &Handle) -> Result<Act, OperateError> + Send + 'static,
    ) -> Result<Acted, EngineError> {
        let (deciding, reading) = (agent.clone(), agent.clone());
        let decide = move |state: &State, _| {
            let act = decide(state, &deciding)?;
            let changed = act != Act::Nothing;
            Ok::<_, OperateError>((act, changed))
        };
        let read = move |state: &State, now, changed| {
            let agent = state.spender(&reading).map(|spender| AgentView::of(&spender, now));
            agent.map(|agent| Acted { changed, agent })
        };
        let acted = self.act(purpose, decide, read).await?;
        Ok(acted.ok_or_else(|| OperateError::UnknownAgent(agent.clone()))?)
    }

    /// Does something to every agent that it is to be done to, as many as fit in one record at a
    /// time, and says who they were.
    async fn act_on_all(
        &self,
        purpose: Purpose,
        decide: impl Fn(&State) -> Vec<Draft> + Clone + Send + 'static,
    ) -> Result<ActedOnAll, EngineError> {
        let (mut changed, mut unrecorded) = (Vec::new(), None);
        for _ in 0..MAX_ROUNDS {
            let decide = decide.clone();
            let decide = move |state: &State, _| {
                let drafts = decide(state);
                let whom: Vec<_> = drafts.iter().filter_map(|draft| draft.agent.clone()).collect();
                let act = if drafts.is_empty() { Act::Nothing } else { Act::Write(drafts) };
                Ok::<_, OperateError>((act, whom))
            };
            match self.act(purpose, decide, |_, _, whom| whom).await {
                // In force for those of this round: the others shall not be left out.
                Err(error @ EngineError::Store(StoreError::InMemory { .. })) => {
                    unrecorded = Some(error);
                }
                Err(error) => return Err(unrecorded.unwrap_or(error)),
                Ok(whom) => {
                    let last = whom.len() < MAX_AT_ONCE;
                    changed.extend(whom);
                    if last {
                        break;
                    }
                }
            }
        }
        unrecorded.map_or(Ok(ActedOnAll { changed }), Err)
    }

    /// Decides an act on the newest state, writes it down durably, and reads what came of it, with
    /// what the decision came upon. What whoever asks has proven must hold by then.
    pub(super) async fn act<T, R, E>(
        &self,
        purpose: Purpose,
        decide: impl FnOnce(&State, Timestamp) -> Result<(Act, T), E> + Send + 'static,
        read: impl FnOnce(&State, Timestamp, T) -> R + Send + 'static,
    ) -> Result<R, EngineError>
    where
        T: Send + 'static,
        R: Send + 'static,
        E: Into<EngineError> + Send + 'static,
    {
        self.act_with_id(purpose, |state, _, now| decide(state, now), read).await
    }

    /// The same for an act that makes something which is called by its place in the record.
    pub(super) async fn act_with_id<T, R, E>(
        &self,
        purpose: Purpose,
        decide: impl FnOnce(&State, PaymentId, Timestamp) -> Result<(Act, T), E> + Send + 'static,
        read: impl FnOnce(&State, Timestamp, T) -> R + Send + 'static,
    ) -> Result<R, EngineError>
    where
        T: Send + 'static,
        R: Send + 'static,
        E: Into<EngineError> + Send + 'static,
    {
        let (doors, proven) = (Arc::clone(&self.doors), self.proven.clone());
        let decide = move |state: &State, id, now| {
            if let Some(gone) = proven.filter(|proven| !state.upholds(proven, now)) {
                return Decision::Answer(Err(EngineError::from(proof::over(&gone))));
            }
            match decide(state, id, now) {
                Err(error) => Decision::Answer(Err(error.into())),
                Ok((Act::Nothing, found)) => Decision::Answer(Ok(read(state, now, found))),
                Ok((Act::Write(drafts), found)) => {
                    let changed = changed_by(&drafts);
                    let answer = Box::new(move |state: &State| {
                        doors.refresh(&changed, state);
                        Ok(read(state, now, found))
                    });
                    Decision::Commit { drafts, durable: true, answer }
                }
            }
        };
        let done = self.store.commit(purpose, decide).await;
        if let Err(StoreError::InMemory { .. }) = &done {
            // Nothing was read of a state that no record made.
            self.refresh_doors().await?;
        }
        done?
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
        OperateError::UnknownToken(_) => (
            404,
            "token_unknown",
            Some("it may have been revoked, or have ended: `pettycash agent tokens HANDLE` lists"),
        ),
        OperateError::TokenNameTaken => {
            (500, "internal_error", Some("nothing was done; another name is drawn the next time"))
        }
        OperateError::TokenOver => {
            (422, "token_over", Some("give a time to come, such as `--expires 30d`"))
        }
        OperateError::PassphraseSetMeanwhile => {
            (409, "passphrase_set", Some("nothing was done; prove the one that is set now"))
        }
        OperateError::PricesSetMeanwhile | OperateError::TooManyPrices => prices::problem_of(error),
        OperateError::TooManyTokens(_) => {
            (409, "too_many_tokens", Some("revoke those that nobody uses"))
        }
        OperateError::UnknownTask(_)
        | OperateError::TooManyTasks(_)
        | OperateError::OpensTooOften { .. }
        | OperateError::FailedTask(_)
        | OperateError::NothingLeft { .. } => tasks::problem(error),
        OperateError::Zero => (422, "amount_zero", None),
        OperateError::TooMuch => (422, "amount_too_large", None),
        OperateError::FirstPayeeFree(_) => (
            409,
            "first_payee_free",
            Some("`pettycash mandate set HANDLE --first-payee locked` has the first payees stay"),
        ),
        OperateError::UnknownGroup(_) => {
            (404, "group_unknown", Some("`pettycash group list` shows those there are"))
        }
        OperateError::GroupInUse { .. } => {
            (409, "group_in_use", Some("take them out first: `pettycash group show` names them"))
        }
        OperateError::Endpoint(wrong) => (422, "endpoint_invalid", Some(wrong.hint())),
        OperateError::ServiceTaken(_) => (
            409,
            "service_taken",
            Some("`--replace` has it be as it is given; what was paid stays as it is"),
        ),
    }
}
