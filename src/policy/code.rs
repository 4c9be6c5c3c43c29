//! The codes of everything that is not paid, and the advice that goes with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a payment was not made, for programs. Never reused, never renamed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Code {
    /// The arguments do not make a payment.
    InvalidRequest,
    /// The key already stands for another payment.
    IdempotencyKeyReused,
    /// An equal payment is under way, or nobody knows what became of it.
    PossibleDuplicate,
    /// No agent has this handle.
    AgentUnknown,
    /// The agent may never pay again.
    AgentRevoked,
    /// The agent may not pay for now.
    AgentFrozen,
    /// The mandate is over.
    MandateExpired,
    /// The catalogue has no such service.
    ServiceUnknown,
    /// The mandate leaves this service out.
    ServiceNotAllowed,
    /// The price is above what the caller is willing to pay.
    PriceAboveMaximum,
    /// One payment would cost too much.
    PerCallLimitExceeded,
    /// A window's sum would pass its cap.
    CapExceeded,
    /// The balance does not hold the money.
    InsufficientBalance,
    /// The rail answered neither yes nor no.
    PaymentInDoubt,
    /// The rail said no.
    PaymentFailed,
    /// The process that decides is not reachable.
    EngineUnavailable,
    /// Something broke inside.
    InternalError,
    /// The record cannot be written.
    LedgerUnwritable,
    /// The record cannot be read.
    LedgerDamaged,
}

impl Code {
    /// Every code, in the order of precedence.
    pub const ALL: [Self; 19] = [
        Self::InvalidRequest,
        Self::IdempotencyKeyReused,
        Self::PossibleDuplicate,
        Self::AgentUnknown,
        Self::AgentRevoked,
        Self::AgentFrozen,
        Self::MandateExpired,
        Self::ServiceUnknown,
        Self::ServiceNotAllowed,
        Self::PriceAboveMaximum,
        Self::PerCallLimitExceeded,
        Self::CapExceeded,
        Self::InsufficientBalance,
        Self::PaymentInDoubt,
        Self::PaymentFailed,
        Self::EngineUnavailable,
        Self::InternalError,
        Self::LedgerUnwritable,
        Self::LedgerDamaged,
    ];

    /// The word on the wire.
    pub fn word(self) -> &'static str {
        self.row().0
    }

    /// What it means, for `tools/denials.json`.
    pub fn meaning(self) -> &'static str {
        self.row().1
    }

    /// The advice that may come with it.
    pub fn advice(self) -> &'static [Advice] {
        self.row().2
    }

    fn row(self) -> (&'static str, &'static str, &'static [Advice]) {
        use Advice::{AskOperator, FixRequest, Shrink, Stop, Wait};
        match self {
            Self::InvalidRequest => (
                "invalid_request",
                "The arguments do not make a payment: field, got, expected and example say how.",
                &[FixRequest],
            ),
            Self::IdempotencyKeyReused => (
                "idempotency_key_reused",
                "The idempotency key already stands for a payment with other arguments.",
                &[FixRequest],
            ),
            Self::PossibleDuplicate => (
                "possible_duplicate",
                "An equal payment without a key is under way or in doubt.",
                &[Wait],
            ),
            Self::AgentUnknown => ("agent_unknown", "No agent has this handle.", &[Stop]),
            Self::AgentRevoked => {
                ("agent_revoked", "The operator ended this agent's right to pay.", &[Stop])
            }
            Self::AgentFrozen => (
                "agent_frozen",
                "The agent may not pay until the operator lets it again.",
                &[AskOperator],
            ),
            Self::MandateExpired => {
                ("mandate_expired", "The agent's mandate has ended.", &[AskOperator])
            }
            Self::ServiceUnknown => (
                "service_unknown",
                "The catalogue has no such service: nearest names the closest ones.",
                &[FixRequest],
            ),
            Self::ServiceNotAllowed => {
                ("service_not_allowed", "The agent may not pay this service.", &[AskOperator])
            }
            Self::PriceAboveMaximum => (
                "price_above_maximum",
                "The service costs more than amount_usd, the most the caller would pay.",
                &[FixRequest],
            ),
            Self::PerCallLimitExceeded => (
                "per_call_limit_exceeded",
                "One payment may not cost this much.",
                &[Shrink, AskOperator],
            ),
            Self::CapExceeded => (
                "cap_exceeded",
                "The payment would take the sum of a period over its cap.",
                &[Shrink, Wait, AskOperator],
            ),
            Self::InsufficientBalance => (
                "insufficient_balance",
                "The balance does not hold the money.",
                &[Shrink, AskOperator],
            ),
            Self::PaymentInDoubt
            | Self::PaymentFailed
            | Self::EngineUnavailable
            | Self::InternalError
            | Self::LedgerUnwritable
            | Self::LedgerDamaged => self.engine_row(),
        }
    }

    /// The same for what no policy decides.
    fn engine_row(self) -> (&'static str, &'static str, &'static [Advice]) {
        use Advice::{AskOperator, Wait};
        match self {
            Self::PaymentInDoubt => (
                "payment_in_doubt",
                "Nobody knows yet whether this payment reached the payee; its money stays held.",
                &[Wait],
            ),
            Self::PaymentFailed => (
                "payment_failed",
                "The payee's side refused the payment or was not reached; nothing was charged.",
                &[Wait],
            ),
            Self::EngineUnavailable => (
                "engine_unavailable",
                "The process that decides cannot be reached; nothing was charged.",
                &[Wait],
            ),
            Self::LedgerUnwritable => (
                "ledger_unwritable",
                "The record cannot be written, so nothing is paid.",
                &[AskOperator],
            ),
            Self::LedgerDamaged => (
                "ledger_damaged",
                "The record cannot be read where it must be, so nothing is paid.",
                &[AskOperator],
            ),
            Self::InternalError
            | Self::InvalidRequest
            | Self::IdempotencyKeyReused
            | Self::PossibleDuplicate
            | Self::AgentUnknown
            | Self::AgentRevoked
            | Self::AgentFrozen
            | Self::MandateExpired
            | Self::ServiceUnknown
            | Self::ServiceNotAllowed
            | Self::PriceAboveMaximum
            | Self::PerCallLimitExceeded
            | Self::CapExceeded
            | Self::InsufficientBalance => {
                ("internal_error", "Something broke inside pettycash.", &[Wait])
            }
        }
    }
}

/// What the model should do now. The order is the strictness: of several, the last wins.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Advice {
    /// Correct the arguments and call again.
    FixRequest,
    /// Ask for less.
    Shrink,
    /// Call again later.
    Wait,
    /// Only the operator can change this.
    AskOperator,
    /// Calling again cannot help.
    Stop,
}
