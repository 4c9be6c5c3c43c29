//! The codes of everything that is not paid, and the advice that goes with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes the enum of one table: each code with its word on the wire, the advice that may come with
/// it, and what it means.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident $word:literal [$($advice:ident),+] $meaning:literal;)+) => {
        /// Why a payment was not made, for programs. Never reused, never renamed. The order is that
        /// of precedence.
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            Serialize,
            Deserialize,
            JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        #[schemars(inline)]
        pub enum Code {
            $($(#[$doc])* $code,)+
        }

        impl Code {
            /// Every code, in the order of precedence.
            pub const ALL: &[Self] = &[$(Self::$code),+];

            /// The word on the wire.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$code => $word,)+
                }
            }

            /// What it means, for `tools/denials.json`.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$code => $meaning,)+
                }
            }

            /// The advice that may come with it.
            pub fn advice(self) -> &'static [Advice] {
                match self {
                    $(Self::$code => &[$(Advice::$advice),+],)+
                }
            }
        }
    };
}

codes! {
    /// The agent goes on with a call that is refused each time.
    LoopDetected "loop_detected" [Stop]
        "The same call was refused at least three times in a row: breached names why. Without \
         that, the payee's side refused it again and again, and it was not sent.";
    /// The arguments do not make a payment.
    InvalidRequest "invalid_request" [FixRequest]
        "The arguments do not make a payment: field, got, expected and example say how.";
    /// The key already stands for another payment.
    IdempotencyKeyReused "idempotency_key_reused" [FixRequest]
        "The idempotency key already stands for a payment with other arguments.";
    /// An equal payment is under way, or nobody knows what became of it.
    PossibleDuplicate "possible_duplicate" [Wait]
        "An equal payment without a key is under way or in doubt.";
    /// No agent has this handle.
    AgentUnknown "agent_unknown" [Stop]
        "No agent has this handle.";
    /// The agent may never pay again.
    AgentRevoked "agent_revoked" [Stop]
        "The operator ended this agent's right to pay, or the token by which it came.";
    /// The agent may not pay for now.
    AgentFrozen "agent_frozen" [AskOperator]
        "The agent may not pay until the operator lets it again.";
    /// The mandate is over.
    MandateExpired "mandate_expired" [AskOperator]
        "The agent's mandate has ended.";
    /// The mandate does not let the agent pay at this time.
    OutsideActiveHours "outside_active_hours" [Wait, AskOperator]
        "The agent may not pay at this hour or on this day: resets_at says when it may.";
    /// The catalogue has no such service.
    ServiceUnknown "service_unknown" [FixRequest]
        "The catalogue has no such service: nearest names the closest ones.";
    /// The mandate leaves this service out.
    ServiceNotAllowed "service_not_allowed" [AskOperator]
        "The agent may not pay this service.";
    /// The service would pay somebody else than the agent may pay for it.
    PayeeChanged "payee_changed" [AskOperator]
        "The service pays another payee than the agent is held to; nothing is paid until the \
         operator has looked.";
    /// The price is above what the caller is willing to pay.
    PriceAboveMaximum "price_above_maximum" [FixRequest]
        "The service costs more than amount_usd, the most the caller would pay.";
    /// One payment would cost too much.
    PerCallLimitExceeded "per_call_limit_exceeded" [Shrink, AskOperator]
        "One payment may not cost this much.";
    /// A window's sum would pass its cap.
    CapExceeded "cap_exceeded" [Shrink, Wait, AskOperator]
        "The payment would take the sum of a period over its cap.";
    /// The balance does not hold the money.
    InsufficientBalance "insufficient_balance" [Shrink, AskOperator]
        "The balance does not hold the money.";
    /// More payments, or denials, in a short time than the mandate lets be.
    RateLimited "rate_limited" [Wait, AskOperator]
        "The agent must wait: its mandate bounds how often it pays, how often it pays the same, or \
         how often in a row it is refused, and breached says which; without that, as many of its \
         payments are under way as may be at once.";
    /// The rail answered neither yes nor no.
    PaymentInDoubt "payment_in_doubt" [Wait]
        "Nobody knows yet whether this payment reached the payee; its money stays held.";
    /// The rail said no.
    PaymentFailed "payment_failed" [Wait, FixRequest]
        "The payee's side refused the payment or was not reached; nothing was charged.";
    /// The process that decides is not reachable.
    EngineUnavailable "engine_unavailable" [Wait]
        "The process that decides cannot be reached; nothing was charged.";
    /// Something broke inside.
    InternalError "internal_error" [Wait]
        "Something broke inside pettycash.";
    /// The record cannot be written.
    LedgerUnwritable "ledger_unwritable" [AskOperator]
        "The record cannot be written, so nothing is paid.";
    /// The record cannot be read.
    LedgerDamaged "ledger_damaged" [AskOperator]
        "The record cannot be read where it must be, so nothing is paid.";
    /// The task that is named cannot be charged, or one must be named.
    TaskUnknown "task_unknown" [FixRequest]
        "No open task of the agent's was named where payments belong to one, or another name was.";
    /// The task ran out.
    TaskFailed "task_failed" [Stop]
        "The task ran out of budget: it is charged no more until the operator resumes it.";
    /// Somebody may not open or finish tasks.
    TaskNotAllowed "task_not_allowed" [AskOperator]
        "Whoever calls may not open or finish tasks of this agent.";
    /// There are too many tasks.
    TooManyTasks "too_many_tasks" [FixRequest]
        "The agent has as many tasks as it may: finish some first.";
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
