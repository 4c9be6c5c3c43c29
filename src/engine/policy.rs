//! A policy applied in one step: all of it, or nothing. What it changes is worked out on the
//! newest state, and must be what was shown to whoever asks, if he says what that was.

use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Engine, EngineError, Proof, store_code};
use crate::{
    policy::{
        entry::{Applied, By, Draft, Fact, Hash},
        names::TokenId,
        operate::Act,
        plan::{Around, MAX_NAMED, MAX_WEIGHT, Planned, plan, weight},
        proof::Proven,
        state::State,
        terms::{
            AgentTerms, PolicyAsked, PolicyPlan, PolicyTerms, PresentPolicy, ServiceTerms, Severity,
        },
    },
    store::{Purpose, StoreError},
};

/// Why a policy is not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It contradicts itself or what is there.
    #[error("{first}{}", more(*.others))]
    Refused {
        /// The first of what is wrong.
        first: String,
        /// How much more is.
        others: usize,
    },
    /// What it changes is not what was shown.
    #[error("what this changes is not what was shown: something was changed meanwhile")]
    ChangedMeanwhile,
    /// It says more than one record holds.
    #[error("it says more than one step can change: {bytes} bytes or more")]
    TooLarge {
        /// How much it comes to at least.
        bytes: usize,
    },
    /// The disk has no room for it.
    #[error("{}", StoreError::Full)]
    NoRoom,
    /// It names more than one policy may.
    #[error("it names {named} {what}: one policy names at most {MAX_NAMED}")]
    TooMany {
        /// Agents or services.
        what: &'static str,
        /// How many.
        named: usize,
    },
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} more)") }
}

/// Which policy is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    /// One that gives nobody more than he has by now; any other is left.
    WhatTightens,
    /// Whatever is asked.
    AsAsked,
}

impl Engine {
    /// The present state as a policy.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn policy(&self) -> Result<PresentPolicy, EngineError> {
        self.look(|state, _| present(state)).await
    }

    /// Applies a policy in one step, or says what that would change. One that only tightens
    /// takes no proof; any other takes an operator's. None is in force before it is recorded.
    ///
    /// # Errors
    /// If something is wrong with it, it would change something else than was shown, the proof
    /// does not do, or the store refuses.
    pub async fn apply_policy(
        &self,
        asked: PolicyAsked,
        proof: Option<Proof>,
    ) -> Result<PolicyPlan, EngineError> {
        // Nobody who pays waits for what is too large.
        check_size(&asked.policy)?;
        let asked = Arc::new(asked);
        let around = Arc::new(Around {
            rails: self.rails.names().cloned().collect(),
            distance: strsim::damerau_levenshtein,
        });
        let (looking, by) = ((Arc::clone(&asked), Arc::clone(&around)), None);
        let look = move |state: &State, now| propose(state, &looking.0, &looking.1, by, now);
        let (act, looked) = self.look(look).await??;
        if act == Act::Nothing {
            return Ok(looked);
        }
        if looked.only_tightens() {
            let lowered = self.commit_policy(&asked, &around, Only::WhatTightens).await?;
            if let Some(lowered) = lowered {
                return Ok(lowered);
            }
        }
        let proven = self.prove(proof).await?;
        let applied = proven.commit_policy(&asked, &around, Only::AsAsked).await?;
        Ok(applied.ok_or(PolicyError::ChangedMeanwhile)?)
    }

    async fn commit_policy(
        &self,
        asked: &Arc<PolicyAsked>,
        around: &Arc<Around>,
        only: Only,
    ) -> Result<Option<PolicyPlan>, EngineError> {
        let (asked, around) = (Arc::clone(asked), Arc::clone(around));
        let by = match &self.proven {
            Some(Proven::Token(token)) => Some(token.clone()),
            Some(Proven::Unasked | Proven::Passphrase(_)) | None => None,
        };
        let decide = move |state: &State, now| {
            let (act, plan) = propose(state, &asked, &around, by, now)?;
            // Somebody may have changed something since it was looked at.
            if only == Only::WhatTightens && !plan.only_tightens() {
                return Ok((Act::Nothing, None));
            }
            Ok::<_, EngineError>((act, Some(plan)))
        };
        // Never in memory only: it is all of it with its entry, or nothing.
        let applied = self.act(Purpose::Record, decide, |_, _, plan| plan).await;
        let applied = applied.map_err(|error| match error {
            EngineError::Store(StoreError::TooLarge { bytes }) => {
                PolicyError::TooLarge { bytes }.into()
            }
            EngineError::Store(StoreError::Full) => PolicyError::NoRoom.into(),
            other => other,
        })?;
        if let Some(plan) = applied.as_ref().filter(|plan| plan.applied) {
            let (agents, services) = (plan.agents.len(), plan.services.len());
            tracing::info!(agents, services, "policy applied");
        }
        Ok(applied)
    }
}

/// Whether a policy can be one step, seen from what it says alone.
fn check_size(policy: &PolicyTerms) -> Result<(), PolicyError> {
    for (what, named) in [("agents", policy.agents.len()), ("services", policy.services.len())] {
        if named > MAX_NAMED {
            return Err(PolicyError::TooMany { what, named });
        }
    }
    let bytes = weight(policy);
    if bytes > MAX_WEIGHT { Err(PolicyError::TooLarge { bytes }) } else { Ok(()) }
}

/// What a policy comes to on the state as it is.
fn propose(
    state: &State,
    asked: &PolicyAsked,
    around: &Around,
    token: Option<TokenId>,
    now: Timestamp,
) -> Result<(Act, PolicyPlan), EngineError> {
    let Planned { mut plan, drafts, basis } = plan(state, &asked.policy, around, now);
    let basis = serde_json::to_vec(&basis).map_err(|_| StoreError::Panicked)?;
    let digest = Hash(Sha256::digest(&basis).into());
    plan.plan = digest.to_string();
    if asked.dry_run {
        return Ok((Act::Nothing, plan));
    }
    if plan.is_refused() {
        return Err(refused(&plan).into());
    }
    if asked.plan.as_ref().is_some_and(|shown| *shown != plan.plan) {
        return Err(PolicyError::ChangedMeanwhile.into());
    }
    if drafts.is_empty() {
        return Ok((Act::Nothing, plan));
    }
    plan.applied = true;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let created = plan.agents.iter().filter(|agent| agent.created).count();
    let applied = Applied {
        services: count(plan.services.len()),
        created: count(created),
        changed: count(plan.agents.len() - created),
        plan: digest,
        token,
        note: asked.note.clone(),
    };
    let told = Draft { agent: None, by: By::Operator, fact: Fact::PolicyApplied(applied) };
    let drafts = std::iter::once(told).chain(drafts).collect();
    Ok((Act::Write(drafts), plan))
}

fn refused(plan: &PolicyPlan) -> PolicyError {
    let errors = plan.faults.iter().filter(|fault| fault.severity == Severity::Error);
    let mut messages = errors.map(|fault| fault.message.clone());
    let first = messages.next().unwrap_or_default();
    PolicyError::Refused { first, others: messages.count() }
}

fn present(state: &State) -> PresentPolicy {
    let services = state.services().map(|one| (one.id.clone(), ServiceTerms::of(one)));
    let (revoked, there): (Vec<_>, Vec<_>) = state.books().partition(|book| book.is_revoked());
    let agents = there.iter().map(|one| (one.handle.clone(), AgentTerms::of(&one.mandate)));
    let policy = PolicyTerms {
        services: services.collect(),
        agents: agents.collect(),
        ..PolicyTerms::default()
    };
    let frozen = there.iter().filter(|book| book.is_frozen());
    PresentPolicy {
        policy,
        frozen: frozen.map(|book| book.handle.clone()).collect(),
        revoked: u32::try_from(revoked.len()).unwrap_or(u32::MAX),
    }
}

/// The status, code and hint that an operator gets for a policy that is not applied.
pub(super) fn problem(error: &PolicyError) -> (u16, &'static str, Option<&'static str>) {
    match error {
        PolicyError::Refused { .. } => {
            (422, "policy_refused", Some("nothing was done; a dry run tells all that is wrong"))
        }
        PolicyError::ChangedMeanwhile => {
            (409, "policy_changed", Some("nothing was done: look again, and then apply it"))
        }
        PolicyError::NoRoom => (
            503,
            store_code(&StoreError::Full).word(),
            Some(
                "nothing was done: make room on the disk of the data directory; \
                 `pettycash agent freeze` and `agent revoke` work meanwhile",
            ),
        ),
        PolicyError::TooLarge { .. } | PolicyError::TooMany { .. } => {
            (422, "policy_too_large", Some("nothing was done; apply it in two files"))
        }
    }
}
