//! Mandates, read and changed. What changes is worked out where the state is, never from what
//! somebody read a moment ago.

use jiff::Timestamp;

use super::{Engine, EngineError, Proof};
use crate::{
    policy::{
        change::{Change, remarks},
        mandate::{Mandate, MandateError},
        names::Handle,
        operate::{self, Act, OperateError},
        state::State,
        terms::{AgentView, MandateChanged, MandatePatch, MandateView, PatchError},
    },
    store::Purpose,
};

/// What is found out of a change before it is made.
struct Found {
    changes: Vec<Change>,
    remarks: Vec<String>,
    applied: bool,
}

/// Which change of a mandate is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    /// One that gives no more than the mandate as it is by now; any other is left.
    WhatTightens,
    /// Whatever is asked.
    AsAsked,
}

impl Engine {
    /// An agent's mandate.
    ///
    /// # Errors
    /// If there is none of that name, or the store fails.
    pub async fn mandate(&self, agent: &Handle) -> Result<MandateView, EngineError> {
        let handle = agent.clone();
        let look = move |state: &State, _| {
            state.book(&handle).map(|book| MandateView::of(&handle, &book.mandate))
        };
        let view = self.look(look).await?;
        Ok(view.ok_or_else(|| OperateError::UnknownAgent(agent.clone()))?)
    }

    /// Changes an agent's mandate, or says what would change. One that only tightens it goes where
    /// a freeze does; one that gives more anywhere takes an operator's proof.
    ///
    /// # Errors
    /// If the proof does not do, or policy or the store refuses.
    pub async fn change_mandate(
        &self,
        agent: &Handle,
        patch: MandatePatch,
        proof: Option<Proof>,
    ) -> Result<MandateChanged, EngineError> {
        let (handle, asked) = (agent.clone(), patch.clone());
        let look = move |state: &State, now| propose(state, &handle, &asked, now);
        let (_, proposed) = self.look(look).await??;
        let dry_run = patch.dry_run;
        let lowers = !dry_run && tightens(&proposed.changes);
        let purpose = if proposed.applied { Purpose::Lower } else { Purpose::Record };
        let lowered = if lowers {
            self.change(agent, patch.clone(), purpose, Only::WhatTightens).await?
        } else {
            None
        };
        let changed = if lowered.is_some() {
            lowered
        } else {
            let proven = if dry_run { self.clone() } else { self.prove(proof).await? };
            proven.change(agent, patch, Purpose::Record, Only::AsAsked).await?
        };
        let changed = changed.ok_or_else(|| OperateError::UnknownAgent(agent.clone()))?;
        tracing::info!(%agent, dry_run, changes = changed.changes.len(), "mandate changed");
        Ok(changed)
    }

    /// Changes the mandate as it is by now; nothing if that gives more, and it is to give less.
    async fn change(
        &self,
        agent: &Handle,
        patch: MandatePatch,
        purpose: Purpose,
        only: Only,
    ) -> Result<Option<MandateChanged>, EngineError> {
        let (deciding, reading) = (agent.clone(), agent.clone());
        let decide = move |state: &State, now| {
            let (act, found) = propose(state, &deciding, &patch, now)?;
            // Somebody may have changed it since it was looked at.
            if only == Only::WhatTightens && !tightens(&found.changes) {
                return Ok((Act::Nothing, None));
            }
            Ok::<_, EngineError>((act, Some(found)))
        };
        let read = move |state: &State, now, found: Option<Found>| {
            let agent = AgentView::of(&state.spender(&reading)?, now);
            let Found { changes, remarks, applied } = found?;
            Some(MandateChanged { applied, changes, remarks, agent })
        };
        self.act(purpose, decide, read).await
    }
}

fn tightens(changes: &[Change]) -> bool {
    changes.iter().all(|change| !change.loosens)
}

/// What `patch` comes to on the mandate as it is.
fn propose(
    state: &State,
    agent: &Handle,
    patch: &MandatePatch,
    now: Timestamp,
) -> Result<(Act, Found), EngineError> {
    let book = state.book(agent).ok_or_else(|| OperateError::UnknownAgent(agent.clone()))?;
    let mandate: Mandate = patch.apply(&book.mandate)?;
    let changes = book.mandate.changes(&mandate);
    let mut known = remarks(book, &mandate, now);
    known.extend(patch.remarks(&mandate, state));
    known.extend(state.remarks_on_types(agent, &mandate, now));
    // Whoever asks for no change asks what there is to know of it.
    let asks = patch.is_empty() || mandate.paces_otherwise(&book.mandate);
    known.extend(asks.then(|| state.remark_on_number(&mandate)).flatten());
    // Also where nothing is to be set: what would be refused is refused.
    let act = operate::set_mandate(state, agent, mandate, now)?;
    let act = if patch.dry_run { Act::Nothing } else { act };
    let applied = act != Act::Nothing;
    Ok((act, Found { changes, remarks: known, applied }))
}

/// The status, code and hint that an operator gets for a change that makes no sense.
pub(super) fn problem(error: &PatchError) -> (u16, &'static str, Option<&'static str>) {
    let hint = match error {
        PatchError::CapBothWays(_)
        | PatchError::RateBothWays(_)
        | PatchError::ServiceBothWays(_) => Some("ask for one of them"),
        PatchError::LastAllowed(_) => {
            Some("`--allow-all` allows every service, `--deny` only forbids this one")
        }
        PatchError::Mandate(MandateError::AllowanceWithoutCap) => {
            Some("give it another cap in the same breath, such as `--cap 5.00/day`")
        }
        PatchError::Mandate(_) => None,
    };
    (422, "mandate_invalid", hint)
}
