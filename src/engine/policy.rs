//! A policy applied in one step: all of it, or nothing. What it changes is worked out on the
//! newest state, and must be what was shown to whoever asks, if he says what that was.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Engine, EngineError, Proof, store_code};
use crate::{
    policy::{
        entry::{Applied, By, Draft, Fact, Hash},
        group::MAX_GROUPS,
        names::{Note, TokenId},
        operate::Act,
        plan::{Around, Ground, MAX_NAMED, MAX_WEIGHT, Planned, retimed, weight},
        state::State,
        terms::{
            AgentTerms, GroupTerms, PolicyAsked, PolicyPlan, PolicyTerms, PresentPolicy,
            ServiceTerms, Severity,
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
    /// There would be more groups than there may be.
    #[error("there would be {0} groups: there are at most {MAX_GROUPS} in all")]
    TooManyGroups(usize),
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

/// How often a policy is planned anew because something was changed while it was.
const MAX_PLANS: usize = 8;

/// A policy that was planned, to be written down as long as nothing changed.
struct Prepared {
    plan: PolicyPlan,
    drafts: Vec<Draft>,
    digest: Hash,
    edition: u64,
    note: Option<Note>,
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
    /// takes no proof; any other takes an operator's. None is in force before it is recorded, and
    /// whoever is told so is told once the head anchor names it.
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
        let (mut proof, mut proven) = (Some(proof), None);
        for _ in 0..MAX_PLANS {
            let prepared = self.prepare(&asked).await?;
            if asked.dry_run || prepared.drafts.is_empty() {
                return Ok(prepared.plan);
            }
            let tightens = !prepared.plan.gives_more();
            if let Some(proof) = proof.take_if(|_| !tightens) {
                proven = Some(self.prove(proof).await?);
            }
            let engine = if tightens { self } else { proven.as_ref().unwrap_or(self) };
            if let Some(plan) = engine.commit_policy(prepared).await? {
                return Ok(plan);
            }
        }
        Err(PolicyError::ChangedMeanwhile.into())
    }

    /// Works out what a policy comes to, away from where payments are decided: there only as much
    /// of the state is copied as that takes.
    async fn prepare(&self, asked: &Arc<PolicyAsked>) -> Result<Prepared, EngineError> {
        let looking = Arc::clone(asked);
        let look = move |state: &State, now| Ground::of(state, &looking.policy, now);
        let ground = self.look(look).await?;
        let around = Around {
            rails: self.rails.names().cloned().collect(),
            distance: strsim::damerau_levenshtein,
        };
        let asked = Arc::clone(asked);
        let prepared = tokio::task::spawn_blocking(move || prepare(&ground, &asked, &around));
        prepared.await.map_err(|_| StoreError::Panicked)?
    }

    /// Writes down what was planned; nothing where something that it rests on has changed.
    async fn commit_policy(&self, prepared: Prepared) -> Result<Option<PolicyPlan>, EngineError> {
        let token = self.shown_token();
        let decide = move |state: &State, now| {
            if state.edition() != prepared.edition {
                return Ok::<_, EngineError>((Act::Nothing, None));
            }
            let told = told(&prepared, token);
            let drafts = retimed(state, prepared.drafts, now);
            let drafts = std::iter::once(told).chain(drafts).collect();
            Ok((Act::Write(drafts), Some(PolicyPlan { applied: true, ..prepared.plan })))
        };
        // Never in memory only: it is all of it with its entry, or nothing.
        let applied = self.act(Purpose::Anchored, decide, |_, _, plan| plan).await;
        let applied = applied.map_err(|error| match error {
            EngineError::Store(StoreError::TooLarge { bytes }) => {
                PolicyError::TooLarge { bytes }.into()
            }
            EngineError::Store(StoreError::Full) => PolicyError::NoRoom.into(),
            // It was to be written down, and its sync failed.
            EngineError::Store(StoreError::InMemory { cause }) => {
                StoreError::Uncertain { cause }.into()
            }
            other => other,
        })?;
        if let Some(plan) = &applied {
            let (agents, services) = (plan.agents.len(), plan.services.len());
            tracing::info!(agents, services, "policy applied");
        }
        Ok(applied)
    }
}

/// Whether a policy can be one step, seen from what it says alone.
pub(super) fn check_size(policy: &PolicyTerms) -> Result<(), PolicyError> {
    let named = [
        ("agents", policy.agents.len()),
        ("services", policy.services.len()),
        ("groups", policy.groups.len()),
    ];
    for (what, named) in named {
        if named > MAX_NAMED {
            return Err(PolicyError::TooMany { what, named });
        }
    }
    let bytes = weight(policy);
    if bytes > MAX_WEIGHT { Err(PolicyError::TooLarge { bytes }) } else { Ok(()) }
}

/// What a policy comes to, if it may be applied.
fn prepare(ground: &Ground, asked: &PolicyAsked, around: &Around) -> Result<Prepared, EngineError> {
    if let Some(groups) = ground.groups_with(&asked.policy).filter(|all| *all > MAX_GROUPS) {
        return Err(PolicyError::TooManyGroups(groups).into());
    }
    let Planned { mut plan, drafts, basis } = ground.plan(&asked.policy, around);
    let basis = serde_json::to_vec(&basis).map_err(|_| StoreError::Panicked)?;
    let digest = Hash(Sha256::digest(&basis).into());
    plan.plan = digest.to_string();
    if !asked.dry_run && plan.is_refused() {
        return Err(refused(&plan).into());
    }
    if !asked.dry_run && asked.plan.as_ref().is_some_and(|shown| *shown != plan.plan) {
        return Err(PolicyError::ChangedMeanwhile.into());
    }
    let (edition, note) = (ground.edition(), asked.note.clone());
    Ok(Prepared { plan, drafts, digest, edition, note })
}

/// The entry that stands before all that a policy changes.
fn told(prepared: &Prepared, token: Option<TokenId>) -> Draft {
    let Prepared { plan, digest, note, .. } = prepared;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let created = plan.agents.iter().filter(|agent| agent.created).count();
    let applied = Applied {
        services: count(plan.services.len()),
        created: count(created),
        changed: count(plan.agents.len() - created),
        plan: *digest,
        token,
        note: note.clone(),
        groups: count(plan.groups.len()),
    };
    Draft { agent: None, by: By::Operator, fact: Fact::PolicyApplied(applied) }
}

pub(super) fn refused(plan: &PolicyPlan) -> PolicyError {
    let errors = plan.faults.iter().filter(|fault| fault.severity == Severity::Error);
    let mut messages = errors.map(|fault| fault.message.clone());
    let first = messages.next().unwrap_or_default();
    PolicyError::Refused { first, others: messages.count() }
}

fn present(state: &State) -> PresentPolicy {
    let services = state.services().map(|one| (one.id.clone(), ServiceTerms::of(one)));
    let (revoked, there): (Vec<_>, Vec<_>) = state.books().partition(|book| book.is_revoked());
    let agents = there.iter().map(|one| (one.handle.clone(), AgentTerms::of(&one.mandate)));
    let groups = state.groups().map(|one| (one.name.clone(), GroupTerms::of(&one.rules)));
    let policy = PolicyTerms {
        groups: groups.collect(),
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
        PolicyError::TooManyGroups(_) => (
            422,
            "too_many_groups",
            Some("nothing was done; `pettycash group remove` takes away those nobody is in"),
        ),
        PolicyError::TooLarge { .. } | PolicyError::TooMany { .. } => {
            (422, "policy_too_large", Some("nothing was done; apply it in two files"))
        }
    }
}
