//! Agents as operators read them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ShadowView;
use crate::policy::{
    answer::BalanceAnswer,
    book::Standing,
    downgrade::{OutputTokens, Percent},
    hours::{ActiveDays, ActiveHours},
    mandate::{Funding, LocalUse},
    money::{Usd, decimal},
    names::{GroupId, ModelName, Note, Payee, ServiceId},
    pace::{Rate, Span},
    payee::FirstPayee,
    rooms::Spender,
    stop::{Burst, Streak},
    task::TasksBy,
    tier::Tier,
    window::Zone,
};

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
    /// Who may open its tasks.
    #[serde(default, skip_serializing_if = "TasksBy::is_operator")]
    pub tasks: TasksBy,
    /// How many of its tasks are open.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub open_tasks: u32,
    /// How many ran out, and wait for an operator.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_tasks: u32,
    /// The payees that may be paid through some services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned: BTreeMap<ServiceId, Payee>,
    /// Whether a service may pay only who it paid first.
    #[serde(default, skip_serializing_if = "FirstPayee::is_free")]
    pub first_payee: FirstPayee,
    /// Whom each service was paid to first, where that stays so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub first_paid: BTreeMap<ServiceId, Payee>,
    /// Higher limits per payment for a track record, such as `50x/7d:0.50`, the lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
    /// Caps that deny nothing, and what they would have denied. The agent never hears of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow_caps: Vec<ShadowView>,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
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
        let (open_tasks, failed_tasks) = book.count_tasks();
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
            tasks: book.mandate.tasks,
            open_tasks,
            failed_tasks,
            pinned: book.mandate.pinned.clone(),
            first_payee: book.mandate.first_payee,
            first_paid: book.first_payees.clone(),
            tiers: book.mandate.tiers.clone(),
            shadow_caps: spender.shadows(None, now).map(|one| ShadowView::of(&one, book)).collect(),
            max_output_tokens: book.mandate.max_output_tokens,
            downgrade_at: book.mandate.downgrade_at,
            downgrade_to: book.mandate.downgrade_to.clone(),
        }
    }
}
