//! Terms: what operators send and read over `/v1`, in the wire's words and units.

mod agent;
mod cap;
mod endpoint;
mod explain;
mod exposure;
mod fault;
mod group;
mod health;
mod ledger;
mod mandate;
mod more;
pub(super) mod once;
mod payee;
mod policy;
mod prices;
mod service;
mod shadow;
mod task;
mod token;
mod trial;

use std::collections::{BTreeMap, BTreeSet};

use once::once;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    answer::{ApiCall, ServiceName},
    book::Book,
    downgrade::{OutputTokens, Percent},
    entry::Hash,
    group::Group,
    hours::{ActiveDays, ActiveHours},
    mandate::{Funding, LocalUse, Mandate},
    money::{Usd, decimal},
    names::{
        GroupId, Handle, IdempotencyKey, ModelName, Note, Payee, PaymentId, Reason, ServiceId,
    },
    pace::{Rate, Span},
    payee::FirstPayee,
    stop::{Burst, Streak},
    task::{TaskId, TasksBy},
    tier::Tier,
    window::Zone,
};

pub use agent::AgentView;
pub use cap::{CapTerms, CapText};
pub use endpoint::{EndpointTerms, Timeout};
pub use explain::{BoundView, Explained, ReasonView, rule};
pub use exposure::{AgentExposure, AtMost, Exposure};
pub use fault::{Fault, FaultCode, Place, Severity};
pub use group::{GroupChange, GroupRoll, GroupTerms, GroupView, Groups};
pub use health::{Condition, Health, RecordHealth, StartedBy};
pub use ledger::{LedgerAsked, LedgerPage, OperatorLine};
pub use mandate::{Amount, Edit, MandateChanged, MandatePatch, MandateView, PatchError};
pub use payee::Repin;
pub use policy::{
    AgentChange, AgentTerms, PolicyAsked, PolicyPlan, PolicyTerms, PresentPolicy, SCHEMA,
    SchemaVersion, ServiceChange,
};
pub use prices::{
    ModelPrice, ModelRate, PlainPrice, PriceChange, PriceChanges, PriceSource, PriceTable,
    PricesAsked, PricesPlan, PricesWanted,
};
pub use service::{NewService, ServiceEntry, ServiceTerms, ServiceTest, Services, TestAsked};
pub use shadow::ShadowView;
pub use task::{FinishTask, NewTask, ResumeTask, TaskActed, TaskList, TaskStanding, TaskView};
pub use token::{
    AgentTokens, NewPassphrase, NewToken, OperatorDoor, PassphraseGiven, Replaced, Rotation,
    Secret, TokenGiven, TokenList, TokenView,
};
pub use trial::{AgentTrial, Otherwise, PolicyTrial, Sum, TrialAsked};

/// The body that creates an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAgent {
    /// Its name.
    pub handle: Handle,
    /// Where its money comes from.
    pub funding: Funding,
    /// The most for one payment.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Option<Usd>")]
    pub per_call_limit_usd: Option<Usd>,
    /// Its caps.
    #[serde(default)]
    pub caps: Vec<CapTerms>,
    /// The zone whose days the caps mean; UTC unless said.
    #[serde(default = "Zone::utc")]
    pub timezone: Zone,
    /// The services it may pay; none is all.
    #[serde(default)]
    pub allow: BTreeSet<ServiceId>,
    /// The services it may not pay.
    #[serde(default)]
    pub deny: BTreeSet<ServiceId>,
    /// When its mandate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether local clients may use it.
    #[serde(default, skip_serializing_if = "LocalUse::is_allowed")]
    pub local: LocalUse,
    /// The most payments in so long a time, such as `20/min`, one for each time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<Rate>,
    /// What is done about a burst of equal payments, such as `5/min:freeze`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// What is done about denials in a row, such as `10:freeze`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denials: Option<Streak>,
    /// The times of the day at which it may pay, such as `09:00-18:00`; none is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<ActiveHours>,
    /// The days of the week on which it may pay; none is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<ActiveDays>,
    /// How long it must wait after a payment, such as `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Span>,
    /// The group whose caps bound it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Who may open its tasks.
    #[serde(default, skip_serializing_if = "TasksBy::is_operator")]
    pub tasks: TasksBy,
    /// The payees that may be paid through some services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "once")]
    pub pinned: BTreeMap<ServiceId, Payee>,
    /// Whether a service may pay only who it paid first.
    #[serde(default, skip_serializing_if = "FirstPayee::is_free")]
    pub first_payee: FirstPayee,
    /// Higher limits per payment for a track record, such as `50x/7d:0.50`, the lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    /// Caps that deny nothing, and of which it is told what they would have denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow_caps: Vec<CapTerms>,
    /// The most tokens that a language model may put out in one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<OutputTokens>,
    /// From so many percent of any cap on the model of `downgrade_to` is used, where it is cheaper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade_at: Option<Percent>,
    /// The cheaper model, such as `claude-haiku-4-5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade_to: Option<ModelName>,
}

impl NewAgent {
    /// The mandate these terms ask for, not yet checked.
    pub fn mandate(&self) -> Mandate {
        let caps = self.caps.iter().map(|CapTerms(cap)| cap.clone());
        Mandate {
            funding: self.funding,
            per_call_limit: self.per_call_limit_usd,
            caps: caps.collect(),
            zone: self.timezone.clone(),
            allow: self.allow.clone(),
            deny: self.deny.clone(),
            expires_at: self.expires_at,
            local: self.local,
            rates: self.rates.clone(),
            burst: self.burst,
            denials: self.denials,
            hours: self.hours.clone(),
            days: self.days,
            cooldown: self.cooldown,
            group: self.group.clone(),
            tasks: self.tasks,
            pinned: self.pinned.clone(),
            first_payee: self.first_payee,
            tiers: self.tiers.clone(),
            shadow_caps: self.shadow_caps.iter().map(|CapTerms(cap)| cap.clone()).collect(),
            max_output_tokens: self.max_output_tokens,
            downgrade_at: self.downgrade_at,
            downgrade_to: self.downgrade_to.clone(),
        }
    }
}

/// Every agent, by handle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Agents {
    /// The agents.
    pub agents: Vec<AgentView>,
}

/// The body that revokes an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Why, for programs.
    pub reason: Reason,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// The body that stops an agent, or all of them, for now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freezing {
    /// Why, for programs.
    pub reason: Reason,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// The body that lets a frozen agent, or all of them, pay again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unfreezing {
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// What an act on one agent came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Acted {
    /// Whether it changed anything; false where everything was so already.
    pub changed: bool,
    /// How the agent stands now.
    #[serde(flatten)]
    pub agent: AgentView,
}

/// What an act on all agents came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActedOnAll {
    /// Those for whom it changed something, by handle.
    pub changed: Vec<Handle>,
}

/// The body that adds to a balance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUp {
    /// How much.
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub amount_usd: Usd,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// The body of an operator's own payment: the arguments of an agent's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentTerms {
    /// What is paid for.
    pub service_id: ServiceId,
    /// The most to pay, or the price where the service has none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Option<Usd>")]
    pub amount_usd: Option<Usd>,
    /// The caller's name for the payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    /// The id of the call, the same when it is sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<IdempotencyKey>,
    /// Whether it is only said what would come of it: that takes no proof.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The open task that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// What is to be called, of a service that is an API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<ApiCall>,
}

/// The body that gives money back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// How much; left out, all that can still come back.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Option<Usd>")]
    pub amount_usd: Option<Usd>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// What a refund came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refunded {
    /// The payment.
    pub payment_id: PaymentId,
    /// What it was for.
    pub service_id: ServiceName,
    /// How much came back now.
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub refunded_usd: Usd,
    /// How much can still come back.
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub left_usd: Usd,
    /// The agent as it is now.
    pub agent: AgentView,
}

/// The body that ends what is in doubt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// How much was charged; `0.00` if nothing was, and left out all that is held.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Option<Usd>")]
    pub charged_usd: Option<Usd>,
}

/// What came of a payment that was in doubt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settled {
    /// The payment.
    pub payment_id: PaymentId,
    /// What it was for.
    pub service_id: ServiceName,
    /// How much it took.
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub charged_usd: Usd,
    /// How much of what was held went back.
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub released_usd: Usd,
    /// The agent as it is now.
    pub agent: AgentView,
}

/// How far a journal goes: its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Head {
    /// Its number, from 1; zero before the first.
    pub seq: u64,
    /// Where it starts, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Its hash; before the first, a hash that is the store's own.
    #[schemars(with = "String")]
    pub hash: Hash,
}

/// Every book as it is at one head, for `verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Books {
    /// The head; everything up to it is written.
    pub head: Head,
    /// The books, by handle, as the record has them: for `pettycash verify` of the same version.
    #[schemars(schema_with = "kept_as_they_are")]
    pub books: Vec<Book>,
    /// Whether they tell more than the record does, for it cannot be written.
    #[serde(default)]
    pub ahead: bool,
    /// The groups, by name, as the record has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "kept_as_they_are")]
    pub groups: Option<Vec<Group>>,
}

fn kept_as_they_are(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "object"}})
}

/// Why a request to `/v1` failed (`application/problem+json`, RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Why, for programs.
    pub code: String,
    /// Why, in a sentence.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
