//! The answer of `pay_for_api_call`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApiResponse, Outcome, Refused, ServiceName};
use crate::policy::{
    cap::Bound,
    denial::{Advice, Code, Denial, Refusal},
    entry::{Fact, Hold, VoidCause},
    failures::Failed,
    models::Models,
    money::{Usd, decimal},
    names::{Category, ModelName, Payee, PaymentId, ServiceId, TaskType},
    pace::Rate,
    stop,
    warning::Warning,
    window::Period,
};

/// How many seconds a caller waits before it asks again for what the rail did not do.
const RETRY_AFTER_S: u64 = 5;
/// The same where only the operator can bring news.
const DOUBT_AGAIN_AFTER_S: u64 = 60;
/// What is said where an answer was asked for that is not here, whether or not there was one.
const NO_RESPONSE: &str = "No response of it is kept: one waits 15 minutes, and does not outlive a \
                           restart. To call again is a new payment, with another idempotency_key.";
/// What is said where a body is neither shown nor kept.
const BODY_NOT_KEPT: &str =
    "The body of the response is not kept: it is longer than 4 MiB, or broke off.";

/// One breach, with the numbers of the moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Breach {
    /// Why.
    pub code: Code,
    /// Whose limit it is: `agent`, or the name of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
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
    /// What was counted: `payments`, `equal_payments`, `denials` in a row, the `cooldown` after
    /// one payment, or `tasks_opened`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub of: Option<String>,
    /// How many there may be in how long a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub rate: Option<Rate>,
    /// How many there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub count: Option<u32>,
    /// The cap on how many payments there are in the window.
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
    /// The service the cap is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub service_id: Option<ServiceId>,
    /// The category the cap is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub category: Option<Category>,
    /// The payee the cap is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub payee: Option<Payee>,
    /// The type of task the cap is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub task_type: Option<TaskType>,
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
    /// The language model that was asked for, where what it uses is what is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub model_requested: Option<ModelName>,
    /// The one that is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub model_used: Option<ModelName>,
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
    /// Services of the same kind that cost no more and could be paid now.
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
    /// Said once a cap is nearly used up, and where what an API answered is not to be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub note: Option<String>,
    /// What it would cost, in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "String")]
    pub price_usd: Option<Usd>,
    /// Present where nothing was done: it is only said what would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub dry_run: Option<bool>,
    /// What the API answered that was paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ApiResponse")]
    pub response: Option<ApiResponse>,
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

    /// The same with the line that says that a cap is nearly used up, if one is.
    #[must_use]
    pub fn warning(self, warning: Option<Warning>) -> Self {
        Self { note: warning.map(|warning| warning.to_string()), ..self }
    }

    /// The same, of a call: with a line where nothing can be given of what was answered to it, or
    /// not its body.
    #[must_use]
    pub fn of_call(self) -> Self {
        let again = self.replayed == Some(true);
        let line = match (self.refused.outcome, &self.response) {
            (_, Some(told)) if told.is_binary() && told.resource.is_none() => BODY_NOT_KEPT,
            (Some(Outcome::Paid), None) => NO_RESPONSE,
            (Some(Outcome::Failed), None) if again => NO_RESPONSE,
            _ => return self,
        };
        let before = self.note.iter().map(String::as_str);
        Self { note: Some(before.chain([line]).collect::<Vec<_>>().join(" ")), ..self }
    }

    /// The same with the language model of the call, where it is of one.
    #[must_use]
    pub fn by_model(self, model: Option<&Models>) -> Self {
        let model_requested = model.map(|model| model.requested().clone());
        Self { model_requested, model_used: model.map(|model| model.used.clone()), ..self }
    }

    /// A payment that would be made.
    pub fn allowed(hold: &Hold, available: Usd) -> Self {
        let message = "This would be paid now. Nothing was charged.".to_owned();
        let outcome = Some(Outcome::Allowed);
        Self {
            refused: Refused { outcome, message: Some(message), ..Refused::default() },
            service_id: Some(ServiceName(hold.service.clone())),
            price_usd: Some(hold.amount),
            available_usd: Some(available),
            ..Self::default()
        }
        .by_model(hold.model.as_ref())
    }

    /// A payment that policy refused.
    pub fn denied(refusal: &Refusal, payment: Option<PaymentId>, now: Timestamp) -> Self {
        let refused = Refused { message: Some(refusal.message()), ..Refused::by(refusal, now) };
        let affordable = refusal.can_shrink().then_some(refusal.affordable);
        let nearest = refusal.denials.iter().find_map(Denial::nearest).unwrap_or_default();
        Self {
            max_affordable_usd: affordable,
            resets_at: refusal.opens_at(),
            payment_id: payment,
            breached: refusal.denials.iter().filter_map(|denial| breach(denial, refusal)).collect(),
            nearest: nearest.iter().cloned().map(ServiceName).collect(),
            refused,
            ..Self::default()
        }
    }

    /// A payment that ended without a charge, and how.
    pub fn failed(payment: PaymentId, end: &Fact) -> Self {
        let unsent = "This payment ended before anything was sent. Nothing was charged.";
        let unreached = "The payee's side could not be reached. Nothing was charged.";
        let unready = "This service is not set up where pettycash runs, so nothing was sent. \
                       Nothing was charged: `pettycash service test` tells an operator why.";
        let (code, advice, message) = if let Fact::Failed { status, .. } = end {
            return Self::turned_down(payment, Failed::with(*status));
        } else if let Fact::Voided { cause: VoidCause::NotSent, .. } = end {
            (Code::PaymentFailed, Advice::Wait, unreached)
        } else if let Fact::Voided { cause: VoidCause::NotReady, .. } = end {
            (Code::PaymentFailed, Advice::AskOperator, unready)
        } else if let Fact::Voided { cause: VoidCause::Revoked, .. } = end {
            (Code::AgentRevoked, Advice::Stop, unsent)
        } else {
            (Code::EngineUnavailable, Advice::Wait, unsent)
        };
        Self::uncharged(payment, code, advice, message)
    }

    /// A payment that the payee's side said no to, and why.
    pub fn turned_down(payment: PaymentId, why: Failed) -> Self {
        let (advice, message) = match why {
            Failed::Refused => (
                Advice::FixRequest,
                "The payee's side refused this call for what it is. Nothing was charged.",
            ),
            Failed::ForNow => {
                (Advice::Wait, "The payee's side refused this payment. Nothing was charged.")
            }
        };
        Self::uncharged(payment, Code::PaymentFailed, advice, message)
    }

    fn uncharged(payment: PaymentId, code: Code, advice: Advice, message: &str) -> Self {
        let retry_after_s = (advice == Advice::Wait).then_some(RETRY_AFTER_S);
        let plain = Refused::plain(code, message, advice);
        let refused = Refused { outcome: Some(Outcome::Failed), retry_after_s, ..plain };
        Self { refused, payment_id: Some(payment), ..Self::default() }
    }

    /// A payment of which nobody knows whether it reached the payee.
    pub fn in_doubt(hold: &Hold) -> Self {
        let message = format!(
            "Nobody knows yet whether this payment reached the payee, so {} stays held. Do not pay \
             again; call with this payment_id alone to learn the outcome.",
            hold.amount
        );
        let plain = Refused::plain(Code::PaymentInDoubt, &message, Advice::Wait);
        let refused = Refused {
            outcome: Some(Outcome::InDoubt),
            retry_after_s: Some(DOUBT_AGAIN_AFTER_S),
            ..plain
        };
        Self {
            refused,
            payment_id: Some(hold.payment),
            service_id: Some(ServiceName(hold.service.clone())),
            ..Self::default()
        }
        .by_model(hold.model.as_ref())
    }

    /// A payment that cannot be made because the engine lacks its service's rail.
    pub fn without_rail() -> Self {
        let message = "This service cannot be paid now: the way its money goes is not set up. \
                       Nothing was charged.";
        let refused = Refused::plain(Code::EngineUnavailable, message, Advice::Wait);
        Self {
            refused: Refused { retry_after_s: Some(DOUBT_AGAIN_AFTER_S), ..refused },
            ..Self::default()
        }
    }

    /// A payment of a service that was changed between what was read of it and the decision, or by
    /// a mandate that was.
    pub fn of_changed() -> Self {
        let message = "This service, or what you may spend on it, was changed while you called. \
                       Nothing was charged: call again.";
        let refused = Refused::plain(Code::EngineUnavailable, message, Advice::Wait);
        Self { refused: Refused { retry_after_s: Some(1), ..refused }, ..Self::default() }
    }

    /// A payment of an agent that has as many under way as it may.
    pub fn too_many_under_way(most: u64) -> Self {
        let message = format!(
            "{most} payments of this agent are under way, which is as many as may be at once. \
             Nothing was charged: call again when one of them has ended."
        );
        let refused = Refused::plain(Code::RateLimited, &message, Advice::Wait);
        Self {
            refused: Refused { retry_after_s: Some(RETRY_AFTER_S), ..refused },
            ..Self::default()
        }
    }

    /// A payment while as many of all agents are under way as may be.
    pub fn too_busy() -> Self {
        let message = "As many payments are under way as may be at once. Nothing was charged: \
                       call again soon.";
        let refused = Refused::plain(Code::EngineUnavailable, message, Advice::Wait);
        Self {
            refused: Refused { retry_after_s: Some(RETRY_AFTER_S), ..refused },
            ..Self::default()
        }
    }

    /// A call whose outcome is not known yet.
    pub fn in_progress(payment: Option<PaymentId>, key: Option<String>) -> Self {
        let how = match (&payment, &key) {
            (Some(_), _) => "Call again with this payment_id alone to learn the outcome.",
            (None, Some(_)) => {
                "Call again within 15 minutes with the same arguments and this idempotency_key: \
                 it is not charged twice. Later, read `ledger` first."
            }
            (None, None) => "Read `ledger` before you pay again.",
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

impl Breach {
    /// A reason without numbers.
    pub(super) fn plain(code: Code) -> Self {
        Self {
            code,
            scope: None,
            period: None,
            cap_usd: None,
            limit_usd: None,
            funds_usd: None,
            used_usd: None,
            held_usd: None,
            asked_usd: None,
            of: None,
            rate: None,
            count: None,
            cap_count: None,
            used_count: None,
            held_count: None,
            service_id: None,
            category: None,
            payee: None,
            task_type: None,
        }
    }
}

/// The numbers of one reason; one without numbers is told in the message alone when it is first.
pub(super) fn breach(denial: &Denial, refusal: &Refusal) -> Option<Breach> {
    let none = Breach::plain(denial.code());
    let (scope, asked) = (Some("agent".to_owned()), Some(refusal.asked));
    match denial {
        Denial::PerCallLimitExceeded { limit } => {
            Some(Breach { scope, limit_usd: Some(*limit), asked_usd: asked, ..none })
        }
        Denial::CapExceeded { cap, used, held, count, group, .. } => {
            let scope = group.as_ref().map(ToString::to_string).or(scope);
            let (service_id, category, payee, task_type) = cap.on.fields();
            let of_money = cap.amount().is_some();
            let cap_count = if let Bound::Count(most) = cap.bound { Some(most) } else { None };
            Some(Breach {
                scope,
                period: Some(cap.period),
                cap_usd: cap.amount(),
                used_usd: of_money.then_some(*used),
                held_usd: of_money.then_some(*held),
                asked_usd: asked,
                cap_count,
                used_count: count.map(|count| count.used),
                held_count: count.map(|count| count.held),
                service_id,
                category,
                payee,
                task_type,
                ..none
            })
        }
        Denial::InsufficientBalance { funds } => {
            Some(Breach { scope, funds_usd: Some(*funds), asked_usd: asked, ..none })
        }
        Denial::PriceAboveMaximum { price, maximum } => {
            Some(Breach { limit_usd: Some(*maximum), asked_usd: Some(*price), ..none })
        }
        Denial::LoopDetected => None,
        Denial::RateLimited { bound, count, .. } => {
            let (of, rate) = match bound {
                stop::Bound::Payments(rate) => ("payments", Some(*rate)),
                stop::Bound::EqualPayments(rate) => ("equal_payments", Some(*rate)),
                stop::Bound::Denials(_) => ("denials", None),
                stop::Bound::Cooldown(span) => ("cooldown", Some(Rate { count: 1, span: *span })),
                stop::Bound::TasksOpened(rate) => ("tasks_opened", Some(*rate)),
            };
            Some(Breach { scope, of: Some(of.to_owned()), rate, count: Some(*count), ..none })
        }
        Denial::InvalidRequest(_)
        | Denial::IdempotencyKeyReused { .. }
        | Denial::PossibleDuplicate { .. }
        | Denial::AgentUnknown { .. }
        | Denial::AgentRevoked { .. }
        | Denial::TokenEnded
        | Denial::AgentFrozen { .. }
        | Denial::MandateExpired { .. }
        | Denial::OutsideActiveHours { .. }
        | Denial::ServiceUnknown { .. }
        | Denial::ServiceNotAllowed { .. }
        | Denial::PayeeChanged { .. }
        | Denial::TaskUnknown { .. }
        | Denial::TaskFailed { .. }
        | Denial::TaskRanOut { .. }
        | Denial::TaskNotAllowed
        | Denial::TooManyTasks { .. } => (refusal.denials.len() > 1).then_some(none),
    }
}
