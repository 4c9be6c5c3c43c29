//! A policy: what agents may spend and what services there are, written down once.
//!
//! It is one document, in TOML for people and in JSON over the wire, with the same words. An
//! [`AgentTerms`] field is one key of it: whoever adds one tells here what it means for a mandate,
//! and in the reader of the text how it is read.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Amount, CapText, Fault, GroupChange, GroupTerms, ServiceTerms, Severity, once::once};
use crate::policy::{
    change::Change,
    downgrade::{OutputTokens, Percent},
    hours::{ActiveDays, ActiveHours},
    mandate::{Funding, LocalUse, Mandate},
    names::{GroupId, Handle, ModelName, Note, ServiceId},
    pace::{Rate, Span},
    payee::{FirstPayee, Pins},
    stop::{Burst, Streak},
    task::TasksBy,
    tier::Tier,
    window::Zone,
};

/// The version of the document that this program reads and writes.
pub const SCHEMA: u32 = 1;

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyTerms {
    /// The version of the document: 1.
    pub schema: SchemaVersion,
    /// What every agent of the document has that it does not say itself.
    #[serde(default, skip_serializing_if = "AgentTerms::is_empty")]
    pub defaults: AgentTerms,
    /// Services of the catalogue, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "once")]
    pub services: BTreeMap<ServiceId, ServiceTerms>,
    /// Agents, by handle. Those that are not named are left as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "once")]
    pub agents: BTreeMap<Handle, AgentTerms>,
    /// Groups of agents, by name. Those that are not named are left as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "once")]
    pub groups: BTreeMap<GroupId, GroupTerms>,
}

/// The version of a document, which is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SchemaVersion;

impl TryFrom<u32> for SchemaVersion {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        let unknown = || format!("schema {version} is not known: this program reads {SCHEMA}");
        (version == SCHEMA).then_some(Self).ok_or_else(unknown)
    }
}

impl From<SchemaVersion> for u32 {
    fn from(_: SchemaVersion) -> Self {
        SCHEMA
    }
}

impl JsonSchema for SchemaVersion {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SchemaVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "const": SCHEMA})
    }
}

/// What a document says of one agent, or of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentTerms {
    /// Where the money comes from; a balance that is topped up unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Funding")]
    pub funding: Option<Funding>,
    /// The most that one payment may cost; no limit unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Amount")]
    pub per_call: Option<Amount>,
    /// Bounds on sums and on how many, at most one of each kind; none unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<CapText>")]
    pub caps: Option<Vec<CapText>>,
    /// The zone whose hours, days, weeks and months the caps mean; UTC unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Zone")]
    pub timezone: Option<Zone>,
    /// The services it may pay, at least one; all of them where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<ServiceId>")]
    pub allow: Option<Vec<ServiceId>>,
    /// The services it may not pay, even where `allow` names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<ServiceId>")]
    pub deny: Option<Vec<ServiceId>>,
    /// From when on nothing is paid; never unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    pub expires: Option<Timestamp>,
    /// Whether programs of the operator's own account may use it by naming it; allowed unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LocalUse")]
    pub local: Option<LocalUse>,
    /// The most payments in sliding windows, at most one for each length; none unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Rate>")]
    pub rates: Option<Vec<Rate>>,
    /// What is done about a burst of equal payments; nothing unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Burst")]
    pub burst: Option<Burst>,
    /// What is done about denials in a row; nothing unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Streak")]
    pub denials: Option<Streak>,
    /// The times of the day at which may be paid; all of them unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ActiveHours")]
    pub hours: Option<ActiveHours>,
    /// The days of the week on which may be paid; all of them unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ActiveDays")]
    pub days: Option<ActiveDays>,
    /// How long after a payment the next one may be, at least; at once unless said.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "Span::documented")]
    #[schemars(with = "Span")]
    pub cooldown: Option<Span>,
    /// The group whose caps bound it too; none unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "GroupId")]
    pub group: Option<GroupId>,
    /// Who may open its tasks: `operator`, and whoever has a token that may, or `agent`, which is
    /// every caller in its name too; `operator` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TasksBy")]
    pub tasks: Option<TasksBy>,
    /// The payees that may be paid through some services; whoever the catalogue has unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Pins")]
    pub pinned: Option<Pins>,
    /// Whether a service may pay only who it paid first; free unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FirstPayee")]
    pub first_payee: Option<FirstPayee>,
    /// Higher limits per payment for a track record, the lowest first; none unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Tier>")]
    pub tiers: Option<Vec<Tier>>,
    /// Caps that deny nothing, and of which it is told what they would have denied; none unless
    /// said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<CapText>")]
    pub shadow_caps: Option<Vec<CapText>>,
    /// The most tokens that a language model may put out in one call; no bound unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OutputTokens")]
    pub max_output_tokens: Option<OutputTokens>,
    /// From so many percent of any cap on the model of `downgrade_to` is used, where it is cheaper;
    /// never unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Percent")]
    pub downgrade_at: Option<Percent>,
    /// The cheaper model, such as `claude-haiku-4-5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ModelName")]
    pub downgrade_to: Option<ModelName>,
}

impl AgentTerms {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a mandate is, all of it but what goes without saying.
    pub fn of(mandate: &Mandate) -> Self {
        let list = |ids: &std::collections::BTreeSet<ServiceId>| {
            (!ids.is_empty()).then(|| ids.iter().cloned().collect())
        };
        let caps = mandate.caps.iter().cloned().map(CapText).collect::<Vec<_>>();
        let shadows: Vec<_> = mandate.shadow_caps.iter().cloned().map(CapText).collect();
        Self {
            funding: Some(mandate.funding),
            per_call: mandate.per_call_limit.map(Amount),
            caps: (!caps.is_empty()).then_some(caps),
            timezone: (mandate.zone != Zone::utc()).then(|| mandate.zone.clone()),
            allow: list(&mandate.allow),
            deny: list(&mandate.deny),
            expires: mandate.expires_at,
            local: (!mandate.local.is_allowed()).then_some(mandate.local),
            rates: (!mandate.rates.is_empty()).then(|| mandate.rates.clone()),
            burst: mandate.burst,
            denials: mandate.denials,
            hours: mandate.hours.clone(),
            days: mandate.days,
            cooldown: mandate.cooldown,
            group: mandate.group.clone(),
            tasks: (!mandate.tasks.is_operator()).then_some(mandate.tasks),
            pinned: Some(Pins(mandate.pinned.clone())).filter(|pins| !pins.0.is_empty()),
            first_payee: Some(mandate.first_payee).filter(|first| !first.is_free()),
            tiers: (!mandate.tiers.is_empty()).then(|| mandate.tiers.clone()),
            shadow_caps: (!shadows.is_empty()).then_some(shadows),
            max_output_tokens: mandate.max_output_tokens,
            downgrade_at: mandate.downgrade_at,
            downgrade_to: mandate.downgrade_to.clone(),
        }
    }

    /// The whole mandate, with what `defaults` say where this says nothing; not yet checked.
    pub fn mandate(&self, defaults: &Self) -> Mandate {
        let caps = self.caps.as_ref().or(defaults.caps.as_ref());
        let shadows = self.shadow_caps.as_ref().or(defaults.shadow_caps.as_ref());
        let list = |own: &Option<Vec<_>>, default: &Option<Vec<_>>| {
            own.iter().chain(default).take(1).flatten().cloned().collect()
        };
        let zone = self.timezone.as_ref().or(defaults.timezone.as_ref());
        let limit = self.per_call.or(defaults.per_call);
        Mandate {
            funding: self.funding.or(defaults.funding).unwrap_or(Funding::Prepaid),
            per_call_limit: limit.map(|Amount(limit)| limit),
            caps: caps.into_iter().flatten().map(|cap| cap.0.clone()).collect(),
            zone: zone.cloned().unwrap_or_else(Zone::utc),
            allow: list(&self.allow, &defaults.allow),
            deny: list(&self.deny, &defaults.deny),
            expires_at: self.expires.or(defaults.expires),
            local: self.local.or(defaults.local).unwrap_or(LocalUse::Allowed),
            rates: self.rates.clone().or_else(|| defaults.rates.clone()).unwrap_or_default(),
            burst: self.burst.or(defaults.burst),
            denials: self.denials.or(defaults.denials),
            hours: self.hours.as_ref().or(defaults.hours.as_ref()).cloned(),
            days: self.days.or(defaults.days),
            cooldown: self.cooldown.or(defaults.cooldown),
            group: self.group.as_ref().or(defaults.group.as_ref()).cloned(),
            tasks: self.tasks.or(defaults.tasks).unwrap_or_default(),
            pinned: self.pinned.clone().or(defaults.pinned.clone()).unwrap_or_default().0,
            first_payee: self.first_payee.or(defaults.first_payee).unwrap_or_default(),
            tiers: self.tiers.as_ref().or(defaults.tiers.as_ref()).cloned().unwrap_or_default(),
            shadow_caps: shadows.into_iter().flatten().map(|cap| cap.0.clone()).collect(),
            max_output_tokens: self.max_output_tokens.or(defaults.max_output_tokens),
            downgrade_at: self.downgrade_at.or(defaults.downgrade_at),
            downgrade_to: self.downgrade_to.as_ref().or(defaults.downgrade_to.as_ref()).cloned(),
        }
    }
}

/// The body that applies a policy, or asks what that would change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyAsked {
    /// The policy.
    pub policy: PolicyTerms,
    /// The `plan` that an earlier answer had: what is changed must be that, or nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Whether it is only said what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// The present state as a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PresentPolicy {
    /// Every service, and every agent but the revoked: applied, it changes nothing.
    pub policy: PolicyTerms,
    /// Those of the agents that are frozen, which no policy says.
    pub frozen: Vec<Handle>,
    /// How many agents are left out because they are revoked.
    pub revoked: u32,
}

/// What applying a policy came to, or would.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyPlan {
    /// Whether it is applied; false where nothing changes, or only that was asked.
    pub applied: bool,
    /// A digest of all that changes, from what and to what.
    pub plan: String,
    /// Services that are added or changed.
    pub services: Vec<ServiceChange>,
    /// Agents that are created or get another mandate.
    pub agents: Vec<AgentChange>,
    /// How many services and agents are so already.
    pub unchanged: u32,
    /// How many agents are not named, and left as they are.
    pub agents_left: u32,
    /// How many services are not named, and left as they are.
    pub services_left: u32,
    /// Whether an agent may do more then, one is new, or a service is set: then it takes a proof.
    pub gives_more: bool,
    /// What is wrong with it, or should be known of it; with an error nothing is applied.
    pub faults: Vec<Fault>,
    /// How many more there are that stand in the way.
    pub faults_untold: u32,
    /// How many more there are that should be known.
    pub warnings_untold: u32,
    /// Groups that are made or get other rules.
    pub groups: Vec<GroupChange>,
    /// How many groups are not named, and left as they are.
    pub groups_left: u32,
}

impl PolicyPlan {
    /// Whether everything is so already.
    pub fn is_nothing(&self) -> bool {
        self.services.is_empty() && self.agents.is_empty() && self.groups.is_empty()
    }

    /// Whether it cannot be applied.
    pub fn is_refused(&self) -> bool {
        self.faults.iter().any(|fault| fault.severity == Severity::Error)
    }
}

/// A service that is added or changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceChange {
    /// Its name.
    pub service_id: ServiceId,
    /// What it is; nothing where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ServiceTerms>,
    /// What it will be.
    pub to: ServiceTerms,
}

/// An agent that is created or gets another mandate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentChange {
    /// Its name.
    pub handle: Handle,
    /// Whether there was none.
    pub created: bool,
    /// What differs.
    pub changes: Vec<Change>,
    /// What an operator should know of it.
    pub remarks: Vec<String>,
}
