//! A refusal: every reason against one payment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Advice, Code, Denial};
use crate::policy::{
    money::Usd,
    planted::{self, Bug},
};

/// What makes a call of a language model cost less, as far as that is known before it is made.
const SMALLER: &str = "A smaller max_tokens or a shorter input holds less.";

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
    /// Whether it was estimated from the call, so that a smaller one would cost less.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimate: bool,
}

impl Refusal {
    /// A refusal for one reason that is not about an amount.
    pub fn only(denial: Denial) -> Self {
        let (denials, nothing) = (vec![denial], Usd::ZERO);
        Self { denials, asked: nothing, affordable: nothing, fixed_price: true, estimate: false }
    }

    /// The first reason's code.
    pub fn code(&self) -> Code {
        self.denials.first().map_or(Code::InternalError, Denial::code)
    }

    /// Every reason, but that it is a loop of them.
    pub(super) fn repeated(&self) -> &[Denial] {
        self.denials.strip_prefix(&[Denial::LoopDetected]).unwrap_or(&self.denials)
    }

    /// Whether a call is not sent because it fails again and again: nothing else is against it.
    pub fn is_of_failures(&self) -> bool {
        self.denials == [Denial::LoopDetected]
    }

    /// The strictest advice of all reasons.
    pub fn advice(&self) -> Advice {
        self.strictest(&self.denials)
    }

    pub(super) fn strictest(&self, denials: &[Denial]) -> Advice {
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
        if self.is_of_failures() {
            return "Stop: the payee's side refused this same call again and again, so it was not \
                    sent. Make another, or have the operator look."
                .to_owned();
        }
        if let Some(Denial::LoopDetected) = self.denials.first() {
            let stop = Denial::LoopDetected.sentence(self.asked);
            return format!("{stop}, and {}.", self.way_out());
        }
        let first = self.denials.first().map(|denial| denial.sentence(self.asked));
        let first = first.unwrap_or_default();
        if self.estimate && self.can_shrink() { format!("{first} {SMALLER}") } else { first }
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
            Denial::RateLimited { resets_at, .. } => *resets_at,
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
            | Denial::PayeeChanged { .. }
            | Denial::PriceAboveMaximum { .. }
            | Denial::PerCallLimitExceeded { .. }
            | Denial::InsufficientBalance { .. }
            | Denial::TaskUnknown { .. }
            | Denial::TaskFailed { .. }
            | Denial::TaskRanOut { .. }
            | Denial::TaskNotAllowed
            | Denial::TooManyTasks { .. } => None,
        });
        let all: Option<Vec<Timestamp>> = resets.collect();
        if planted::is(Bug::EarliestReset) {
            return all.and_then(|resets| resets.into_iter().min());
        }
        all.and_then(|resets| resets.into_iter().max())
    }
}
