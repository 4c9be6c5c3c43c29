//! Denials: the values that say no, with the numbers of the moment and advice for the model.

mod denied;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::code::{Advice, Code};
use super::{
    cap::Cap,
    money::Usd,
    names::{GroupId, Handle, PaymentId, Reason, ServiceId},
    planted::{self, Bug},
    stop::{self, Bound},
};
pub use denied::Denied;

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
    /// The same refusal again and again: what follows it in the refusal.
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
        /// When there is room for one more (µs since 1970 on disk).
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        resets_at: Timestamp,
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
            | Self::PriceAboveMaximum { .. } => false,
        }
    }

    /// Why the agent is frozen, if that is what it says.
    pub(super) fn frozen_for(&self) -> Option<&Reason> {
        if let Self::AgentFrozen { reason } = self { Some(reason) } else { None }
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
            | Self::PriceAboveMaximum { .. } => Advice::FixRequest,
            Self::LoopDetected
            | Self::AgentUnknown { .. }
            | Self::AgentRevoked { .. }
            | Self::TokenEnded => Advice::Stop,
            Self::AgentFrozen { .. }
            | Self::MandateExpired { .. }
            | Self::ServiceNotAllowed { .. }
            | Self::OutsideActiveHours { opens_at: None } => Advice::AskOperator,
            Self::PossibleDuplicate { .. }
            | Self::RateLimited { .. }
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

    /// One sentence for the model. It names no path, host or secret, and no text from outside.
    fn sentence(&self, asked: Usd) -> String {
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
            Self::PriceAboveMaximum { price, maximum } => {
                format!("It costs {price}, more than the {maximum} you are willing to pay.")
            }
            Self::PerCallLimitExceeded { limit } => {
                format!("{asked} is over the limit of {limit} for one payment.")
            }
            Self::CapExceeded { cap, used, held, count, group, .. } => {
                let (whose, on) = (cap.period.possessive(), cap.on.in_words());
                let of = group.as_ref().map(|group| format!(" of the group `{group}`"));
                let of = of.unwrap_or_default();
                let cap = format!("{whose} cap of {}{on}{of}", cap.bound);
                match count {
                    Some(Payments { used, held: 0 }) => {
                        format!("One more payment would pass {cap}: {used} made.")
                    }
                    Some(Payments { used, held }) => {
                        format!("One more payment would pass {cap}: {used} made and {held} held.")
                    }
                    None if held.is_zero() => {
                        format!("{asked} would pass {cap}: {used} is used.")
                    }
                    None => {
                        format!("{asked} would pass {cap}: {used} is used and {held} is held.")
                    }
                }
            }
            Self::InsufficientBalance { funds } => {
                format!("{asked} is more than the balance holds: {funds} is left.")
            }
            Self::RateLimited { bound, count, .. } => stop::sentence(*bound, asked, *count),
            Self::OutsideActiveHours { opens_at: Some(at) } => {
                format!("This agent may not pay at this hour: its hours open at {at}.")
            }
            Self::OutsideActiveHours { opens_at: None } => {
                "This agent may not pay at this hour, and its mandate ends before it may again."
                    .to_owned()
            }
        }
    }
}

/// Everything that speaks against one payment, the widest reason first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Every reason; never empty.
    pub denials: Vec<Denial>,
    /// What the payment would have cost.
    pub asked: Usd,
    /// The most that would be paid now.
    pub affordable: Usd,
    /// Whether the price is the catalogue's, so that asking for less is no way out.
    pub fixed_price: bool,
}

impl Refusal {
    /// A refusal for one reason that is not about an amount.
    pub fn only(denial: Denial) -> Self {
        Self { denials: vec![denial], asked: Usd::ZERO, affordable: Usd::ZERO, fixed_price: true }
    }

    /// The first reason's code.
    pub fn code(&self) -> Code {
        self.denials.first().map_or(Code::InternalError, Denial::code)
    }

    /// Every reason, but that it is a loop of them.
    fn repeated(&self) -> &[Denial] {
        self.denials.strip_prefix(&[Denial::LoopDetected]).unwrap_or(&self.denials)
    }

    /// The strictest advice of all reasons.
    pub fn advice(&self) -> Advice {
        self.strictest(&self.denials)
    }

    fn strictest(&self, denials: &[Denial]) -> Advice {
        let can_shrink = self.can_shrink();
        let each = denials.iter().map(|denial| denial.advice(self.asked, can_shrink));
        let one = if planted::is(Bug::MildestAdvice) { each.min() } else { each.max() };
        one.unwrap_or(Advice::Wait)
    }

    /// Whether a smaller amount would be paid.
    pub fn can_shrink(&self) -> bool {
        !self.fixed_price && !self.affordable.is_zero() && self.is_about_money()
    }

    /// Whether a smaller amount would cure every reason there is.
    pub fn is_about_money(&self) -> bool {
        self.repeated().iter().all(Denial::is_about_money)
    }

    /// The first reason as a sentence for the model.
    pub fn sentence(&self) -> String {
        if let Some(Denial::LoopDetected) = self.denials.first() {
            let stop = Denial::LoopDetected.sentence(self.asked);
            return format!("{stop}, and {}.", self.way_out());
        }
        let first = self.denials.first().map(|denial| denial.sentence(self.asked));
        first.unwrap_or_default()
    }

    /// What would have it paid, as the end of a sentence.
    fn way_out(&self) -> String {
        match (self.strictest(self.repeated()), self.resets_at()) {
            (Advice::FixRequest, _) => "only other arguments can change that".to_owned(),
            (Advice::Shrink, _) => format!("{} is the most that would be paid", self.affordable),
            (Advice::Wait, Some(at)) => format!("it will be until {at}"),
            (Advice::Wait, None) => "only time can change that".to_owned(),
            (Advice::AskOperator | Advice::Stop, _) => {
                "only the operator can change that".to_owned()
            }
        }
    }

    /// The same where a payment was asked for: it says that no money moved.
    pub fn message(&self) -> String {
        format!("{} Nothing was charged.", self.sentence())
    }

    /// The same where to wait, or to ask for less, is of use: of a loop too, for whoever comes
    /// after it.
    pub fn opens_at(&self) -> Option<Timestamp> {
        let cure = self.strictest(self.repeated());
        self.resets_at().filter(|_| cure == Advice::Wait || cure == Advice::Shrink)
    }

    /// When the same payment would be made; nothing if time does not cure every reason.
    pub fn resets_at(&self) -> Option<Timestamp> {
        let resets = self.repeated().iter().map(|denial| match denial {
            Denial::CapExceeded { cap, resets_at, .. } if cap.could_bear(self.asked) => *resets_at,
            Denial::RateLimited { resets_at, .. } => Some(*resets_at),
            Denial::OutsideActiveHours { opens_at } => *opens_at,
            Denial::CapExceeded { .. }
            | Denial::LoopDetected
            | Denial::InvalidRequest(_)
            | Denial::IdempotencyKeyReused { .. }
            | Denial::PossibleDuplicate { .. }
            | Denial::AgentUnknown { .. }
            | Denial::AgentRevoked { .. }
            | Denial::TokenEnded
            | Denial::AgentFrozen { .. }
            | Denial::MandateExpired { .. }
            | Denial::ServiceUnknown { .. }
            | Denial::ServiceNotAllowed { .. }
            | Denial::PriceAboveMaximum { .. }
            | Denial::PerCallLimitExceeded { .. }
            | Denial::InsufficientBalance { .. } => None,
        });
        let all: Option<Vec<Timestamp>> = resets.collect();
        if planted::is(Bug::EarliestReset) {
            return all.and_then(|resets| resets.into_iter().min());
        }
        all.and_then(|resets| resets.into_iter().max())
    }
}
