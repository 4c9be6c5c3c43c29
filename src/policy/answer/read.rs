//! The answers of the tools that only read.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OperationView, QuoteView, Refused, ServiceName};
use crate::policy::{
    book::Standing,
    cap::{Bound, Cap, Dimension, one_bound},
    mandate::Service,
    money::{Usd, decimal},
    names::{Category, ModelName, Payee, PaymentId, RunId, ServiceId, TaskType},
    rooms::{Bearing, Spender},
    tier::NextTier,
    window::Period,
};

/// One cap as the model reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct CapView {
    /// Whose cap it is: `agent`, or the name of a group that it is shared with.
    pub scope: String,
    /// The kind of window.
    pub period: Period,
    /// The most for one window.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub cap_usd: Option<Usd>,
    /// Captured in the window.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub used_usd: Option<Usd>,
    /// Held in the window.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub held_usd: Option<Usd>,
    /// When the window ends, or something leaves a rolling one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub resets_at: Option<Timestamp>,
    /// The most payments for one window, where it is a cap on how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub cap_count: Option<u32>,
    /// How many were captured in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub used_count: Option<u64>,
    /// How many are held in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub held_count: Option<u64>,
    /// The service it is on; without one, a category or a payee it is on every payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub service_id: Option<ServiceId>,
    /// The category it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub category: Option<Category>,
    /// The payee it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub payee: Option<Payee>,
    /// The type of task it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub task_type: Option<TaskType>,
}

impl CapView {
    /// A cap with the room it leaves.
    pub fn of(bearing: &Bearing<'_>) -> Self {
        let (cap, room) = (bearing.cap, &bearing.room);
        let (service_id, category, payee, task_type) = cap.on.fields();
        let of_money = |amount| cap.amount().map(|_| amount);
        let cap_count = if let Bound::Count(most) = cap.bound { Some(most) } else { None };
        Self {
            scope: bearing.scope(),
            period: cap.period,
            cap_usd: cap.amount(),
            used_usd: of_money(room.used),
            held_usd: of_money(room.held),
            resets_at: room.resets_at,
            cap_count,
            used_count: cap_count.map(|_| room.paid),
            held_count: cap_count.map(|_| room.open),
            service_id,
            category,
            payee,
            task_type,
        }
    }

    /// The cap itself; nothing where it says neither how much nor how many.
    pub fn cap(&self) -> Option<Cap> {
        let Self { service_id, category, payee, task_type, .. } = self.clone();
        let on = Dimension::of_fields((service_id, category, payee, task_type)).ok()?;
        let bound = one_bound(self.cap_usd, self.cap_count).ok()?;
        Some(Cap { period: self.period, bound, on })
    }
}

/// The answer of `get_balance`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BalanceAnswer {
    /// Why it is not answered.
    #[serde(flatten)]
    pub refused: Refused,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub handle: Option<String>,
    /// `active`, `frozen` or `revoked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub standing: Option<String>,
    /// Why it was frozen or revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub reason: Option<String>,
    /// What can be spent now, balance and every cap on all payments considered.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub available_usd: Option<Usd>,
    /// Credited, less captured; left out for an allowance.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub balance_usd: Option<Usd>,
    /// Set aside and not settled.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub held_usd: Option<Usd>,
    /// The most for one payment.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub per_call_limit_usd: Option<Usd>,
    /// The caps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<CapView>")]
    pub caps: Option<Vec<CapView>>,
    /// When the mandate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub expires_at: Option<Timestamp>,
    /// How many calls of a service fit, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "QuoteView")]
    pub quote: Option<QuoteView>,
    /// When the hours open at which it may pay, where they are not open now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub opens_at: Option<Timestamp>,
    /// The higher limit per payment that comes next, and what it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "NextTier")]
    pub next_tier: Option<NextTier>,
}

impl BalanceAnswer {
    /// What `spender` has at `now`, for a caller in `run`.
    pub fn of(spender: &Spender<'_>, run: Option<&RunId>, now: Timestamp) -> Self {
        let book = spender.book;
        let mandate = &book.mandate;
        let caps: Vec<CapView> = spender.caps(run, now).iter().map(CapView::of).collect();
        let (standing, reason) = match &book.standing {
            Standing::Active => ("active", None),
            Standing::Frozen { reason, .. } => ("frozen", Some(reason.to_string())),
            Standing::Revoked { reason, .. } => ("revoked", Some(reason.to_string())),
        };
        Self {
            refused: Refused::default(),
            handle: Some(book.handle.to_string()),
            standing: Some(standing.to_owned()),
            reason,
            available_usd: Some(spender.available(run, now)),
            balance_usd: book.balance(),
            held_usd: Some(book.held),
            per_call_limit_usd: book.limit(now),
            caps: Some(caps),
            expires_at: mandate.expires_at,
            quote: None,
            opens_at: mandate.opens(now).filter(|opens| *opens > now),
            next_tier: book.next_tier(now),
        }
    }
}

/// One line of the ledger as the model reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct LedgerLine {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What happened: `paid`, `denied`, `credited`, `revoked`, ….
    pub outcome: String,
    /// The payment or refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub payment_id: Option<PaymentId>,
    /// What was paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ServiceName")]
    pub service_id: Option<ServiceName>,
    /// How much.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub amount_usd: Option<Usd>,
    /// Why it was refused, or why the agent was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub code: Option<String>,
    /// How many more times the same refusal was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub times: Option<u64>,
    /// The run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub run: Option<String>,
    /// The task it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub task_id: Option<String>,
    /// The language model that was used, where what it uses is what is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub model: Option<ModelName>,
}

/// The answer of `ledger`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerAnswer {
    /// Why it is not answered.
    #[serde(flatten)]
    pub refused: Refused,
    /// Captured today, in the mandate's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub spent_today_usd: Option<Usd>,
    /// Set aside and not settled.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub held_usd: Option<Usd>,
    /// What can be spent now.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub available_usd: Option<Usd>,
    /// The lines, newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<LedgerLine>")]
    pub entries: Option<Vec<LedgerLine>>,
    /// Where the next page begins; a page may be empty and have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub next_cursor: Option<String>,
    /// In place of the lines, where columns were asked for: what each value of a row is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub columns: Option<Vec<String>>,
    /// The lines as rows of values, newest first; what a line does not say is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Vec<String>>")]
    pub rows: Option<Vec<Vec<String>>>,
}

/// One catalogue entry as the model reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ServiceView {
    /// Its name.
    pub service_id: ServiceName,
    /// Who gets the money.
    pub payee: String,
    /// The price of one call; without one, the amount you give is the price.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub price_usd: Option<Usd>,
    /// What kind of service it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub category: Option<Category>,
    /// What of it can be called, where that is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<OperationView>,
}

impl From<&Service> for ServiceView {
    fn from(service: &Service) -> Self {
        Self {
            service_id: ServiceName(service.id.clone()),
            payee: service.payee.to_string(),
            price_usd: service.price,
            category: service.category.clone(),
            operations: OperationView::all(service),
        }
    }
}

/// The answer of `list_services`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServicesAnswer {
    /// Why it is not answered.
    #[serde(flatten)]
    pub refused: Refused,
    /// What this agent may pay, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<ServiceView>")]
    pub services: Option<Vec<ServiceView>>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub next_cursor: Option<String>,
}
