//! A refusal as it is kept, and what makes two of them the same.

use serde::{Deserialize, Serialize};

use super::{Denial, Refusal};
use crate::policy::{
    money::Usd,
    names::{GroupId, IdempotencyKey, PaymentId, RunId, ServiceId},
    task::TaskId,
    via::Via,
};

/// A payment that was refused, with everything the answer said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Denied {
    /// The id of the refusal.
    pub payment: PaymentId,
    /// What the caller named, as far as it is a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// What it would have cost, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Usd>,
    /// Why.
    pub refusal: Refusal,
    /// The run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What the client said of where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// The call that it is the answer to, where its transport named it: sent again it is no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<IdempotencyKey>,
    /// The task that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

impl Denied {
    /// What makes two denials in a row the same: what was asked, and why it was refused.
    pub fn fingerprint(&self) -> String {
        self.told_of(&self.refusal.denials)
    }

    /// The same whether it is a loop by now or not.
    pub fn likeness(&self) -> String {
        let repeated = self.refusal.repeated();
        let mut told = self.told_of(repeated);
        // Another key that stands for another payment is another mistake.
        for denial in repeated {
            if let Denial::IdempotencyKeyReused { payment } = denial {
                told.extend([" ", &payment.to_string()]);
            }
        }
        told
    }

    fn told_of(&self, denials: &[Denial]) -> String {
        let service = self.service.as_ref().map_or("-", ServiceId::as_str);
        let asked = self.asked.map_or("-".to_owned(), Usd::decimal);
        let run = self.run.as_ref().map_or("-", RunId::as_str);
        let mut told = format!("{service} {asked} {run}");
        if let Some(task) = self.task {
            told.extend([" ", &task.to_string()]);
        }
        for denial in denials {
            told.push(' ');
            told.push_str(denial.code().word());
            match denial {
                Denial::InvalidRequest(bad) => told.extend([" ", &bad.field, "=", &bad.got]),
                Denial::PriceAboveMaximum { maximum, .. } => told.push_str(&maximum.decimal()),
                Denial::CapExceeded { cap, group, .. } => {
                    told.push_str(&cap.key().to_string());
                    let group = group.as_ref().map(GroupId::as_str);
                    told.extend(group.into_iter().flat_map(|group| ["@", group]));
                }
                Denial::RateLimited { bound, .. } => told.push_str(&bound.word()),
                // A service that was changed meanwhile pays somebody else again.
                Denial::PayeeChanged { payee, .. } => told.extend([" ", payee.found.as_str()]),
                Denial::LoopDetected
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
                | Denial::PerCallLimitExceeded { .. }
                | Denial::InsufficientBalance { .. }
                | Denial::TaskUnknown { .. }
                | Denial::TaskFailed { .. }
                | Denial::TaskRanOut { .. }
                | Denial::TaskNotAllowed
                | Denial::TooManyTasks { .. } => {}
            }
        }
        told
    }
}
