//! Answers: exactly what the model gets, one type per tool, paid or denied.
//!
//! Every field but the outcome may be left out, and none is ever null, so that one schema holds
//! for every answer of a tool.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    book::{Book, Standing},
    denial::{Advice, BadField, Code, Denial, Refusal},
    mandate::Service,
    money::{Usd, decimal},
    names::{PaymentId, ServiceId},
    window::Period,
};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Outcome {
    /// The money was taken.
    Paid,
    /// Policy said no; nothing was charged.
    Denied,
    /// It is not decided, or not settled, yet.
    InProgress,
    /// It ended without a charge after it had been allowed.
    Failed,
}

impl Outcome {
    /// Whether a tool result with this outcome carries `isError: true`.
    pub fn is_error(self) -> bool {
        match self {
            Self::Paid | Self::InProgress => false,
            Self::Denied | Self::Failed => true,
        }
    }
}

/// One breach, with the numbers of the moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Breach {
    /// Why.
    pub code: Code,
    /// Whose limit it is: the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The kind of window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// The cap on the window's sum.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub cap_usd: Option<Usd>,
    /// The limit of one payment.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub limit_usd: Option<Usd>,
    /// What the balance holds.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub funds_usd: Option<Usd>,
    /// Captured in the window.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub used_usd: Option<Usd>,
    /// Held in the window.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub held_usd: Option<Usd>,
    /// What was asked.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub asked_usd: Option<Usd>,
}

/// A service that could be paid instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Alternative {
    /// Its name.
    pub service_id: ServiceName,
    /// Its price.
    #[serde(with = "decimal")]
    #[schemars(with = "String")]
    pub price_usd: Usd,
}

/// A service id with a schema that every client takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct ServiceName(#[schemars(with = "String")] pub ServiceId);

/// Why a call was not answered as asked; left out of an answer that was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// How the call ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Outcome")]
    pub outcome: Option<Outcome>,
    /// Why, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Code")]
    pub code: Option<Code>,
    /// Why, in a sentence or two, and whether money moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub message: Option<String>,
    /// What to do now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Advice")]
    pub advice: Option<Advice>,
    /// The argument that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub field: Option<String>,
    /// What came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub got: Option<String>,
    /// What is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub expected: Option<String>,
    /// A value that would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub example: Option<String>,
    /// How long to wait, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub retry_after_s: Option<u64>,
}

impl Refused {
    /// A denial with nothing but its code, its sentence and its advice.
    pub fn plain(code: Code, message: &str, advice: Advice) -> Self {
        Self {
            outcome: Some(Outcome::Denied),
            code: Some(code),
            message: Some(message.to_owned()),
            advice: Some(advice),
            ..Self::default()
        }
    }

    /// The denial of a call that never reached the engine.
    pub fn engine_unavailable() -> Self {
        let message = "The payment engine cannot be reached. Nothing was charged; try again soon.";
        let plain = Self::plain(Code::EngineUnavailable, message, Advice::Wait);
        Self { retry_after_s: Some(5), ..plain }
    }

    /// The denial of a call that broke something inside.
    pub fn internal_error() -> Self {
        let message = "Something broke inside pettycash. Read `ledger` before you pay again.";
        Self::plain(Code::InternalError, message, Advice::Wait)
    }

    /// The denial that policy gave.
    pub fn by(refusal: &Refusal, now: Timestamp) -> Self {
        let advice = refusal.advice();
        let waits = advice == Advice::Wait || advice == Advice::Shrink;
        let resets_at = refusal.resets_at().filter(|_| waits);
        let refused = Self {
            retry_after_s: resets_at.map(|at| seconds_until(at, now)),
            ..Self::plain(refusal.code(), &refusal.message(), advice)
        };
        match refusal.denials.first() {
            Some(Denial::InvalidRequest(bad)) => refused.with_field(bad),
            Some(_) | None => refused,
        }
    }

    fn with_field(self, bad: &BadField) -> Self {
        Self {
            field: Some(bad.field.clone()),
            got: Some(bad.got.clone()),
            expected: Some(bad.expected.clone()),
            example: Some(bad.example.clone()),
            ..self
        }
    }
}

/// Whole seconds from `now` until `at`, rounded up, at least one.
fn seconds_until(at: Timestamp, now: Timestamp) -> u64 {
    let micros = at.as_microsecond().saturating_sub(now.as_microsecond());
    u64::try_from(micros).unwrap_or(0).div_ceil(1_000_000).max(1)
}

/// The answer of `pay_for_api_call`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PayAnswer {
    /// How the payment ended, and why where it was not made.
    #[serde(flatten)]
    pub refused: Refused,
    /// The payment, or the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub payment_id: Option<PaymentId>,
    /// What was paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ServiceName")]
    pub service_id: Option<ServiceName>,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub charged_usd: Option<Usd>,
    /// What can be spent now.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub available_usd: Option<Usd>,
    /// The most that would be paid now.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub max_affordable_usd: Option<Usd>,
    /// When the cap that is in the way opens again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub resets_at: Option<Timestamp>,
    /// Every breach, the widest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breached: Vec<Breach>,
    /// Cheaper services of the same kind that could be paid now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    /// The names nearest to an unknown one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<ServiceName>,
    /// Present where the key had already paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub replayed: Option<bool>,
    /// The key that fetches the outcome, where the caller gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub idempotency_key: Option<String>,
    /// What else is worth knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub note: Option<String>,
}

impl PayAnswer {
    /// A payment that was made.
    pub fn paid(payment: PaymentId, service: &ServiceId, charged: Usd, available: Usd) -> Self {
        Self {
            refused: Refused { outcome: Some(Outcome::Paid), ..Refused::default() },
            payment_id: Some(payment),
            service_id: Some(ServiceName(service.clone())),
            charged_usd: Some(charged),
            available_usd: Some(available),
            ..Self::default()
        }
    }

    /// A payment that policy refused.
    pub fn denied(refusal: &Refusal, payment: Option<PaymentId>, now: Timestamp) -> Self {
        let refused = Refused::by(refusal, now);
        let about_money = refusal.denials.iter().any(is_about_money);
        let affordable = Some(refusal.affordable).filter(|usd| about_money && !usd.is_zero());
        let nearest = refusal.denials.iter().find_map(Denial::nearest).unwrap_or_default();
        Self {
            max_affordable_usd: affordable,
            resets_at: refusal.resets_at().filter(|_| refused.retry_after_s.is_some()),
            payment_id: payment,
            breached: refusal.denials.iter().filter_map(|denial| breach(denial, refusal)).collect(),
            nearest: nearest.iter().cloned().map(ServiceName).collect(),
            refused,
            ..Self::default()
        }
    }

    /// A call whose outcome is not known yet.
    pub fn in_progress(payment: Option<PaymentId>, key: Option<String>) -> Self {
        let how = match (&payment, &key) {
            (Some(_), _) => "Call again with this payment_id alone to learn the outcome.",
            (None, _) => {
                "Call again with the same arguments and this idempotency_key: it is \
                          never charged twice."
            }
        };
        let refused = Refused {
            outcome: Some(Outcome::InProgress),
            message: Some(format!("The outcome is not known yet. {how}")),
            advice: Some(Advice::Wait),
            retry_after_s: Some(2),
            ..Refused::default()
        };
        Self { refused, payment_id: payment, idempotency_key: key, ..Self::default() }
    }
}

/// Whether a reason is one that a smaller amount might cure.
pub fn is_about_money(denial: &Denial) -> bool {
    matches!(
        denial,
        Denial::PerCallLimitExceeded { .. }
            | Denial::CapExceeded { .. }
            | Denial::InsufficientBalance { .. }
    )
}

/// The numbers of one reason; one without numbers is told in the message alone when it is first.
fn breach(denial: &Denial, refusal: &Refusal) -> Option<Breach> {
    let code = denial.code();
    let none = Breach {
        code,
        scope: None,
        period: None,
        cap_usd: None,
        limit_usd: None,
        funds_usd: None,
        used_usd: None,
        held_usd: None,
        asked_usd: None,
    };
    let asked = Some(refusal.asked);
    match denial {
        Denial::PerCallLimitExceeded { limit } => {
            Some(Breach { limit_usd: Some(*limit), asked_usd: asked, ..none })
        }
        Denial::CapExceeded { cap, used, held, .. } => Some(Breach {
            scope: Some("agent".to_owned()),
            period: Some(cap.period),
            cap_usd: Some(cap.amount),
            used_usd: Some(*used),
            held_usd: Some(*held),
            asked_usd: asked,
            ..none
        }),
        Denial::InsufficientBalance { funds } => {
            Some(Breach { funds_usd: Some(*funds), asked_usd: asked, ..none })
        }
        Denial::PriceAboveMaximum { price, maximum } => {
            Some(Breach { limit_usd: Some(*maximum), asked_usd: Some(*price), ..none })
        }
        Denial::InvalidRequest(_) => None,
        Denial::IdempotencyKeyReused { .. }
        | Denial::AgentUnknown { .. }
        | Denial::AgentRevoked { .. }
        | Denial::MandateExpired { .. }
        | Denial::ServiceUnknown { .. }
        | Denial::ServiceNotAllowed { .. } => (refusal.denials.len() > 1).then_some(none),
    }
}

/// One cap as the model reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct CapView {
    /// Whose cap it is: the agent's own.
    pub scope: String,
    /// The kind of window.
    pub period: Period,
    /// The most for one window.
    #[serde(with = "decimal")]
    #[schemars(with = "String")]
    pub cap_usd: Usd,
    /// Captured in the window.
    #[serde(with = "decimal")]
    #[schemars(with = "String")]
    pub used_usd: Usd,
    /// Held in the window.
    #[serde(with = "decimal")]
    #[schemars(with = "String")]
    pub held_usd: Usd,
    /// When the window ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub resets_at: Option<Timestamp>,
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
    /// `active` or `revoked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub standing: Option<String>,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub reason: Option<String>,
    /// What can be spent now, balance and every cap considered.
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
    /// When the permission to pay ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub expires_at: Option<Timestamp>,
}

impl BalanceAnswer {
    /// What `book` holds at `now`.
    pub fn of(book: &Book, now: Timestamp) -> Self {
        let mandate = &book.mandate;
        let caps = mandate.caps.iter().map(|cap| {
            let room = book.room(*cap, now);
            CapView {
                scope: "agent".to_owned(),
                period: cap.period,
                cap_usd: cap.amount,
                used_usd: room.used,
                held_usd: room.held,
                resets_at: room.resets_at,
            }
        });
        let (standing, reason) = match &book.standing {
            Standing::Active => ("active", None),
            Standing::Revoked { reason, .. } => ("revoked", Some(reason.to_string())),
        };
        Self {
            refused: Refused::default(),
            handle: Some(book.handle.to_string()),
            standing: Some(standing.to_owned()),
            reason,
            available_usd: Some(book.available(now)),
            balance_usd: book.balance(),
            held_usd: Some(book.held),
            per_call_limit_usd: mandate.per_call_limit,
            caps: Some(caps.collect()),
            expires_at: mandate.expires_at,
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
    /// What the operator noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub note: Option<String>,
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
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub next_cursor: Option<String>,
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
}

impl From<&Service> for ServiceView {
    fn from(service: &Service) -> Self {
        Self {
            service_id: ServiceName(service.id.clone()),
            payee: service.payee.to_string(),
            price_usd: service.price,
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
