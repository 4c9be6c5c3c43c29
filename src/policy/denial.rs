//! Denials: the values that say no, with the numbers of the moment and advice for the model.

mod denied;
mod exceeded;
mod refusal;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::code::{Advice, Code};
use super::{
    cap::Cap,
    money::Usd,
    names::{GroupId, Handle, PaymentId, Reason, ServiceId},
    payee::{self, OtherPayee},
    stop::{self, Bound},
    task::TaskId,
};
use exceeded::exceeded;

pub use denied::Denied;
pub use refusal::Refusal;

/// What is wrong with an argument, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadField {
    /// The argument.
    pub field: String,
    /// What came, shortened.
    pub got: String,
    /// What is right.
    pub expected: String,
    /// A value that would do.
    pub example: String,
}

/// How many payments count under a cap on how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payments {
    /// Captured in the window.
    pub used: u64,
    /// Held in the window.
    pub held: u64,
}

/// One reason why a payment is refused, with the facts of the moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denial {
    /// The same refusal again and again: what follows it in the refusal. Where nothing does, a call
    /// that fails again and again.
    LoopDetected,
    /// An argument is missing, unknown or wrong.
    InvalidRequest(BadField),
    /// The key stands for another payment.
    IdempotencyKeyReused {
        /// That payment.
        payment: PaymentId,
    },
    /// An equal payment of the agent's is open.
    PossibleDuplicate {
        /// That payment.
        payment: PaymentId,
    },
    /// No such agent.
    AgentUnknown {
        /// The handle that was claimed.
        handle: Handle,
    },
    /// Revoked for ever.
    AgentRevoked {
        /// Why.
        reason: Reason,
    },
    /// The token by which the agent came was revoked, or has ended.
    TokenEnded,
    /// Not for now.
    AgentFrozen {
        /// Why.
        reason: Reason,
    },
    /// The mandate's last instant has passed.
    MandateExpired {
        /// When (µs since 1970 on disk).
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        at: Timestamp,
    },
    /// Not in the catalogue.
    ServiceUnknown {
        /// What was asked for.
        service: ServiceId,
        /// The closest names, nearest first.
        nearest: Vec<ServiceId>,
    },
    /// In the catalogue, but not for this agent.
    ServiceNotAllowed {
        /// What was asked for.
        service: ServiceId,
    },
    /// The fixed price is above the caller's maximum.
    PriceAboveMaximum {
        /// The price.
        price: Usd,
        /// The most the caller would pay.
        maximum: Usd,
    },
    /// Above the limit of one payment.
    PerCallLimitExceeded {
        /// The limit.
        limit: Usd,
    },
    /// Above what a cap leaves.
    CapExceeded {
        /// The cap.
        cap: Box<Cap>,
        /// Captured in the window.
        used: Usd,
        /// Held in the window.
        held: Usd,
        /// When there is room for it again, if time gives any (µs since 1970 on disk).
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "jiff::fmt::serde::timestamp::microsecond::optional"
        )]
        resets_at: Option<Timestamp>,
        /// How many payments there are in the window, where the cap is on that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<Payments>,
        /// The group whose cap it is; the agent's own without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<GroupId>,
    },
    /// Above what the balance holds.
    InsufficientBalance {
        /// The balance less the holds.
        funds: Usd,
    },
    /// As many in a short time as the mandate lets be.
    RateLimited {
        /// What is bounded.
        bound: Bound,
        /// How many there were.
        count: u32,
        /// When there is room for one more, if there is before the mandate ends (µs since 1970 on
        /// disk).
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "jiff::fmt::serde::timestamp::microsecond::optional"
        )]
        resets_at: Option<Timestamp>,
    },
    /// Not in the mandate's hours.
    OutsideActiveHours {
        /// When they open, if they do before it ends (µs since 1970 on disk).
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "jiff::fmt::serde::timestamp::microsecond::optional"
        )]
        opens_at: Option<Timestamp>,
    },
    /// No open task of the agent's is named.
    TaskUnknown {
        /// What is, if anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
    },
    /// The task ran out before.
    TaskFailed {
        /// Which.
        task: TaskId,
    },
    /// With this refusal the task runs out: a cap on it leaves nothing to go on with.
    TaskRanOut {
        /// Which.
        task: TaskId,
    },
    /// Whoever calls may not open or finish tasks.
    TaskNotAllowed,
    /// The agent has as many tasks as it may.
    TooManyTasks {
        /// How many.
        tasks: usize,
    },
    /// The money would go to another payee than the agent is held to.
    PayeeChanged {
        /// What was asked for.
        service: ServiceId,
        /// Whom it is held to, and whom the catalogue has.
        payee: Box<OtherPayee>,
    },
}

impl Denial {
    /// The code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::LoopDetected => Code::LoopDetected,
            Self::InvalidRequest(_) => Code::InvalidRequest,
            Self::IdempotencyKeyReused { .. } => Code::IdempotencyKeyReused,
            Self::PossibleDuplicate { .. } => Code::PossibleDuplicate,
            Self::AgentUnknown { .. } => Code::AgentUnknown,
            Self::AgentRevoked { .. } | Self::TokenEnded => Code::AgentRevoked,
            Self::AgentFrozen { .. } => Code::AgentFrozen,
            Self::MandateExpired { .. } => Code::MandateExpired,
            Self::ServiceUnknown { .. } => Code::ServiceUnknown,
            Self::ServiceNotAllowed { .. } => Code::ServiceNotAllowed,
            Self::PriceAboveMaximum { .. } => Code::PriceAboveMaximum,
            Self::PerCallLimitExceeded { .. } => Code::PerCallLimitExceeded,
            Self::CapExceeded { .. } => Code::CapExceeded,
            Self::InsufficientBalance { .. } => Code::InsufficientBalance,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::OutsideActiveHours { .. } => Code::OutsideActiveHours,
            Self::TaskUnknown { .. } => Code::TaskUnknown,
            Self::TaskFailed { .. } | Self::TaskRanOut { .. } => Code::TaskFailed,
            Self::TaskNotAllowed => Code::TaskNotAllowed,
            Self::TooManyTasks { .. } => Code::TooManyTasks,
            Self::PayeeChanged { .. } => Code::PayeeChanged,
        }
    }

    /// Whether this is a reason that a smaller amount would cure.
    pub fn is_about_money(&self) -> bool {
        match self {
            Self::PerCallLimitExceeded { .. }
            | Self::CapExceeded { .. }
            | Self::InsufficientBalance { .. } => true,
            Self::LoopDetected
            | Self::RateLimited { .. }
            | Self::OutsideActiveHours { .. }
            | Self::InvalidRequest(_)
            | Self::IdempotencyKeyReused { .. }
            | Self::PossibleDuplicate { .. }
            | Self::AgentUnknown { .. }
            | Self::AgentRevoked { .. }
            | Self::TokenEnded
            | Self::AgentFrozen { .. }
            | Self::MandateExpired { .. }
            | Self::ServiceUnknown { .. }
            | Self::ServiceNotAllowed { .. }
            | Self::PayeeChanged { .. }
            | Self::PriceAboveMaximum { .. }
            | Self::TaskUnknown { .. }
            | Self::TaskFailed { .. }
            | Self::TaskRanOut { .. }
            | Self::TaskNotAllowed
            | Self::TooManyTasks { .. } => false,
        }
    }

    /// Why the agent is frozen, if that is what it says.
    pub(super) fn frozen_for(&self) -> Option<&Reason> {
        if let Self::AgentFrozen { reason } = self { Some(reason) } else { None }
    }

    /// The payees it is about, for the operator.
    pub fn payees(&self) -> Option<&OtherPayee> {
        if let Self::PayeeChanged { payee, .. } = self { Some(payee) } else { None }
    }

    /// The names nearest to one that the catalogue does not have.
    pub fn nearest(&self) -> Option<&[ServiceId]> {
        if let Self::ServiceUnknown { nearest, .. } = self { Some(nearest) } else { None }
    }

    /// What to do about this one reason, where `can_shrink` says whether a smaller amount of a
    /// service without a fixed price would be paid.
    fn advice(&self, asked: Usd, can_shrink: bool) -> Advice {
        match self {
            Self::InvalidRequest(_)
            | Self::IdempotencyKeyReused { .. }
            | Self::ServiceUnknown { .. }
            | Self::PriceAboveMaximum { .. }
            | Self::TaskUnknown { .. }
            | Self::TooManyTasks { .. } => Advice::FixRequest,
            Self::LoopDetected
            | Self::AgentUnknown { .. }
            | Self::AgentRevoked { .. }
            | Self::TokenEnded
            | Self::TaskFailed { .. }
            | Self::TaskRanOut { .. } => Advice::Stop,
            Self::AgentFrozen { .. }
            | Self::MandateExpired { .. }
            | Self::ServiceNotAllowed { .. }
            | Self::TaskNotAllowed
            | Self::RateLimited { resets_at: None, .. }
            | Self::PayeeChanged { .. }
            | Self::OutsideActiveHours { opens_at: None } => Advice::AskOperator,
            Self::PossibleDuplicate { .. }
            | Self::RateLimited { resets_at: Some(_), .. }
            | Self::OutsideActiveHours { opens_at: Some(_) } => Advice::Wait,
            Self::PerCallLimitExceeded { .. } | Self::InsufficientBalance { .. } => {
                if can_shrink {
                    Advice::Shrink
                } else {
                    Advice::AskOperator
                }
            }
            Self::CapExceeded { cap, resets_at, .. } => {
                if can_shrink {
                    Advice::Shrink
                } else if resets_at.is_some() && cap.could_bear(asked) {
                    Advice::Wait
                } else {
                    Advice::AskOperator
                }
            }
        }
    }

    /// Whether it says how things are, and not what comes of being told so.
    pub(super) fn is_of_now(&self) -> bool {
        !matches!(self, Self::TaskRanOut { .. })
    }

    /// One sentence for the model. It names no path, host or secret, and no text from outside.
    pub fn sentence(&self, asked: Usd) -> String {
        match self {
            Self::LoopDetected => {
                "Stop: the same call was refused at least 3 times in a row".to_owned()
            }
            Self::InvalidRequest(bad) => {
                format!("`{}` is not right: expected {}.", bad.field, bad.expected)
            }
            Self::IdempotencyKeyReused { payment } => {
                format!("This idempotency key already stands for {payment} with other arguments.")
            }
            Self::PossibleDuplicate { payment } => format!(
                "An equal payment, {payment}, is not settled yet. To pay twice, give an \
                 idempotency_key."
            ),
            Self::AgentUnknown { handle } => format!("There is no agent `{handle}`."),
            Self::AgentRevoked { reason } => {
                format!("The operator revoked this agent for good ({reason}).")
            }
            Self::TokenEnded => "The access by which this agent came here was ended.".to_owned(),
            Self::AgentFrozen { reason } => {
                format!(
                    "This agent is frozen ({reason}): it may not pay until the operator says so."
                )
            }
            Self::MandateExpired { at } => format!("This agent's mandate ended at {at}."),
            Self::ServiceUnknown { service, .. } => {
                format!("`{service}` is not in the catalogue; list_services shows what is.")
            }
            Self::ServiceNotAllowed { service } => {
                format!("This agent may not pay `{service}`.")
            }
            Self::PayeeChanged { service, .. } => payee::sentence(service),
            Self::PriceAboveMaximum { price, maximum } => {
                format!("It costs {price}, more than the {maximum} you are willing to pay.")
            }
            Self::PerCallLimitExceeded { limit } => {
                format!("{asked} is over the limit of {limit} for one payment.")
            }
            Self::CapExceeded { cap, used, held, count, group, .. } => {
                exceeded(asked, cap, (*used, *held), *count, group.as_ref())
            }
            Self::InsufficientBalance { funds } => {
                format!("{asked} is more than the balance holds: {funds} is left.")
            }
            Self::RateLimited { bound, count, resets_at } => {
                stop::sentence(*bound, asked, (*count, resets_at.is_some()))
            }
            Self::OutsideActiveHours { opens_at: Some(at) } => {
                format!("This agent may not pay at this hour: its hours open at {at}.")
            }
            Self::OutsideActiveHours { opens_at: None } => {
                "This agent may not pay at this hour, and its mandate ends before it may again."
                    .to_owned()
            }
            Self::TaskUnknown { task: Some(task) } => format!("`{task}` is no open task of yours."),
            Self::TaskUnknown { task: None } => {
                "Each payment belongs to a task here: name an open one as task_id.".to_owned()
            }
            Self::TaskFailed { task } | Self::TaskRanOut { task } => {
                format!("`{task}` ran out of budget: nothing more is paid in it.")
            }
            Self::TaskNotAllowed => {
                "Tasks of this agent are not yours to open or finish.".to_owned()
            }
            Self::TooManyTasks { tasks } => {
                format!("There are {tasks} unfinished tasks already: finish_task ends one.")
            }
        }
    }
}
