//! Terms: what operators send and read over `/v1`, in the wire's words and units.

mod cap;
mod group;
mod health;
mod ledger;
mod mandate;
mod policy;
mod token;

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    answer::{BalanceAnswer, LedgerLine, ServiceName, ServiceView},
    book::{Book, Standing},
    entry::Hash,
    hours::{ActiveDays, ActiveHours},
    mandate::{Funding, LocalUse, Mandate, Service},
    money::{Usd, decimal},
    names::{
        Category, GroupId, Handle, IdempotencyKey, Note, Payee, PaymentId, RailName, Reason,
        ServiceId,
    },
    pace::{Rate, Span},
    rooms::Spender,
    stop::{Burst, Streak},
    via::Via,
    window::Zone,
};

pub use cap::{CapTerms, CapText};
pub use group::{GroupChange, GroupTerms, GroupView, Groups};
pub use health::{Condition, Health, RecordHealth, StartedBy};
pub use ledger::LedgerAsked;
pub use mandate::{Amount, Edit, MandateChanged, MandatePatch, MandateView, PatchError};
pub use policy::{
    AgentChange, AgentTerms, Fault, FaultCode, Place, PolicyAsked, PolicyPlan, PolicyTerms,
    PresentPolicy, SCHEMA, SchemaVersion, ServiceChange, ServiceTerms, Severity,
};
pub use token::{
    AgentTokens, NewPassphrase, NewToken, OperatorDoor, PassphraseGiven, Replaced, Rotation,
    Secret, TokenGiven, TokenList, TokenView,
};

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
        }
    }
}

/// An agent as operators read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentView {
    /// What the agent itself would read.
    #[serde(flatten)]
    pub balance: BalanceAnswer,
    /// Where its money comes from.
    pub funding: Funding,
    /// The zone of its caps.
    pub timezone: Zone,
    /// The services it may pay; none is all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow: BTreeSet<ServiceId>,
    /// The services it may not pay.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub deny: BTreeSet<ServiceId>,
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
    /// All that was captured, less what came back.
    #[serde(with = "decimal")]
    #[schemars(with = "Usd")]
    pub spent_usd: Usd,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was frozen or revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// What the operator noted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// The group whose caps bound it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
}

impl AgentView {
    /// The agent's handle.
    pub fn handle(&self) -> &str {
        self.balance.handle.as_deref().unwrap_or_default()
    }

    /// What `spender` has at `now`.
    pub fn of(spender: &Spender<'_>, now: Timestamp) -> Self {
        let book = spender.book;
        let (stopped_at, note) = match &book.standing {
            Standing::Active => (None, None),
            Standing::Frozen { at, note, .. } | Standing::Revoked { at, note, .. } => {
                (Some(*at), note.clone())
            }
        };
        Self {
            balance: BalanceAnswer::of(spender, None, now),
            funding: book.mandate.funding,
            timezone: book.mandate.zone.clone(),
            allow: book.mandate.allow.clone(),
            deny: book.mandate.deny.clone(),
            local: book.mandate.local,
            rates: book.mandate.rates.clone(),
            burst: book.mandate.burst,
            denials: book.mandate.denials,
            hours: book.mandate.hours.clone(),
            days: book.mandate.days,
            cooldown: book.mandate.cooldown,
            spent_usd: book.captured.less(book.refunded),
            created_at: book.opened_at,
            stopped_at,
            note,
            group: book.mandate.group.clone(),
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

/// The body that adds a service to the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewService {
    /// Its name.
    pub id: ServiceId,
    /// Who gets the money.
    pub payee: Payee,
    /// The price of one call; without one, what the caller asks is the price.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Option<Usd>")]
    pub price_usd: Option<Usd>,
    /// How the money reaches the payee.
    #[serde(default = "RailName::iou", skip_serializing_if = "RailName::is_iou")]
    pub rail: RailName,
    /// Whether it takes the place of one that is there with another payee or price.
    #[serde(default)]
    pub replace: bool,
    /// What kind of service it is, for caps on such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
}

impl NewService {
    /// The catalogue entry these terms ask for.
    pub fn service(&self) -> Service {
        let (id, payee, rail) = (self.id.clone(), self.payee.clone(), self.rail.clone());
        Service { id, payee, price: self.price_usd, rail, category: self.category.clone() }
    }
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

/// The catalogue, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Services {
    /// The services.
    pub services: Vec<ServiceView>,
}

/// One line of any ledger, as operators read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorLine {
    /// Whose ledger; the catalogue is nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Handle>,
    /// The line, as the agent reads it too.
    #[serde(flatten)]
    pub line: LedgerLine,
    /// What there is to say beyond it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the operator noted, which is not for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// What the client said of where a payment came from; nobody vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
}

/// One page of the ledger, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerPage {
    /// The lines.
    pub entries: Vec<OperatorLine>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
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
