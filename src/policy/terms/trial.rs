//! What a policy would have said to what happened, as operators read it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PolicyTerms, rule};
use crate::policy::{
    answer::ServiceName,
    denial::Refusal,
    entry::Hold,
    money::{Usd, decimal},
    names::{GroupId, Handle, PaymentId},
};

/// How many payments are told of each kind, for each agent.
const EXAMPLES: usize = 3;

/// The body that tries a policy on what happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialAsked {
    /// The policy.
    pub policy: PolicyTerms,
    /// From when on it is thought to hold; left out, from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    pub since: Option<Timestamp>,
}

/// A number of payments and what they come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// What they come to.
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub sum_usd: Usd,
}

impl Sum {
    fn add(&mut self, amount: Usd) {
        self.count = self.count.saturating_add(1);
        self.sum_usd = self.sum_usd.saturating_plus(amount);
    }

    fn all(sums: impl Iterator<Item = Self>) -> Self {
        sums.fold(Self::default(), |all, one| Self {
            count: all.count.saturating_add(one.count),
            sum_usd: all.sum_usd.saturating_plus(one.sum_usd),
        })
    }
}

/// What a policy would have said to what happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyTrial {
    /// From when on it was thought to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    pub since: Option<Timestamp>,
    /// What was paid or held since then by the agents that it names.
    pub paid: Sum,
    /// What of that it would have denied.
    pub would_deny: Sum,
    /// How many refusals they were given, counted once where they repeat themselves.
    pub denied: u64,
    /// What of those it would have paid.
    pub would_pay: Sum,
    /// Each of those agents that paid or was denied.
    pub agents: Vec<AgentTrial>,
    /// How many agents have shadow caps by now, where those are what is asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub with_shadow_caps: Option<u64>,
    /// The agents that the policy names and of which nothing is recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_agents: Vec<Handle>,
    /// The groups that it names and that nobody made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_groups: Vec<GroupId>,
}

/// The same for one agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentTrial {
    /// Its name.
    pub handle: Handle,
    /// What it paid or held.
    pub paid: Sum,
    /// What of that would have been denied.
    pub would_deny: Sum,
    /// The same by the rule that would have decided; of shadow caps by each that was passed.
    pub rules: BTreeMap<String, Sum>,
    /// How many refusals it was given.
    pub denied: u64,
    /// What of those would have been paid.
    pub would_pay: Sum,
    /// The first few of what would have been decided otherwise.
    pub examples: Vec<Otherwise>,
}

/// A payment that would have been decided otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Otherwise {
    /// Its id.
    pub payment_id: PaymentId,
    /// When it was decided.
    pub at: Timestamp,
    /// What was asked for.
    pub service_id: ServiceName,
    /// What it cost, or would have.
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub amount_usd: Usd,
    /// Why it would have been denied; nothing where it would have been paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl PolicyTrial {
    /// All of it, from what became of each agent.
    pub fn of(since: Option<Timestamp>, agents: Vec<AgentTrial>) -> Self {
        Self {
            since,
            paid: Sum::all(agents.iter().map(|agent| agent.paid)),
            would_deny: Sum::all(agents.iter().map(|agent| agent.would_deny)),
            denied: agents.iter().fold(0, |all, agent| all.saturating_add(agent.denied)),
            would_pay: Sum::all(agents.iter().map(|agent| agent.would_pay)),
            agents,
            with_shadow_caps: None,
            unknown_agents: Vec::new(),
            unknown_groups: Vec::new(),
        }
    }
}

impl AgentTrial {
    /// Nothing yet.
    pub fn of(agent: &Handle) -> Self {
        Self {
            handle: agent.clone(),
            paid: Sum::default(),
            would_deny: Sum::default(),
            rules: BTreeMap::new(),
            denied: 0,
            would_pay: Sum::default(),
            examples: Vec::new(),
        }
    }

    pub(in crate::policy) fn was_paid(&mut self, amount: Usd) {
        self.paid.add(amount);
    }

    pub(in crate::policy) fn was_denied(&mut self) {
        self.denied = self.denied.saturating_add(1);
    }

    pub(in crate::policy) fn would_deny(&mut self, hold: &Hold, why: &Refusal, at: Timestamp) {
        self.would_deny.add(hold.amount);
        let rule = why.denials.first().map(rule).unwrap_or_default();
        self.rules.entry(rule).or_default().add(hold.amount);
        let told = self.examples.iter().filter(|one| one.message.is_some()).count();
        if told < EXAMPLES {
            self.examples.push(Otherwise::of(hold, at, Some(why.sentence())));
        }
    }

    /// Counts the other rules that would have denied it by themselves.
    pub(in crate::policy) fn also_by(&mut self, hold: &Hold, why: &Refusal) {
        let by: BTreeSet<String> = why.denials.iter().map(rule).collect();
        let first = why.denials.first().map(rule);
        for rule in by.into_iter().filter(|rule| Some(rule) != first.as_ref()) {
            self.rules.entry(rule).or_default().add(hold.amount);
        }
    }

    pub(in crate::policy) fn would_pay(&mut self, hold: &Hold, at: Timestamp) {
        self.would_pay.add(hold.amount);
        let told = self.examples.iter().filter(|one| one.message.is_none()).count();
        if told < EXAMPLES {
            self.examples.push(Otherwise::of(hold, at, None));
        }
    }
}

impl Otherwise {
    fn of(hold: &Hold, at: Timestamp, message: Option<String>) -> Self {
        let service_id = ServiceName(hold.service.clone());
        Self { payment_id: hold.payment, at, service_id, amount_usd: hold.amount, message }
    }
}
