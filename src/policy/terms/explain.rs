//! Why a payment was made or refused, as operators read it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AgentTerms;
use crate::policy::{
    answer::ServiceName,
    authorize::Wanted,
    book::Book,
    cap::Cap,
    denial::{Advice, Denial, Refusal},
    explain::{Decided, Extent, Met, Rule, bearings, differs},
    money::{Usd, decimal},
    names::{GroupId, Handle, PaymentId, RunId},
    state::State,
    stop,
    task::TaskId,
};

/// Which rule decided on a payment, with the numbers of that moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// The payment, or the refusal.
    pub payment_id: PaymentId,
    /// Whose.
    pub agent: Handle,
    /// When it was decided.
    pub at: Timestamp,
    /// `paid`, `held` or `denied`.
    pub outcome: String,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_id: Option<ServiceName>,
    /// What it cost, or would have.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Usd")]
    pub asked_usd: Option<Usd>,
    /// The run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub run: Option<RunId>,
    /// The task it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub task_id: Option<TaskId>,
    /// The rule that decided: the first that refused, or else the bound that left the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What the agent was advised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<Advice>,
    /// Every reason that is on record, the one that decided first; none where it was allowed.
    pub reasons: Vec<ReasonView>,
    /// Every bound that bore on it, as it was then; none where nobody looked at the mandate, or
    /// that time is not on record here any more.
    pub bounds: Vec<BoundView>,
    /// How often it was given again, right after, as far as that is written down.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
    /// The mandate of that moment, in the words of a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate: Option<AgentTerms>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<String>,
    /// Whether the agent's book was folded anew up to then, and decided on once more.
    pub replayed: bool,
    /// How that decision differs from the one on record; nothing where they are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A reason for a refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReasonView {
    /// For programs.
    pub code: String,
    /// The rule, as a mandate names it.
    pub rule: String,
    /// In a sentence, with its numbers.
    pub message: String,
    /// What no agent is told: whom the money would have gone to, and whom the agent is held to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A rule with numbers that bore on a payment: an amount, or how many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BoundView {
    /// Which: `limit per payment`, `cap per day`, `balance`, `rate of 20/min`, ….
    pub rule: String,
    /// Whose: `agent`, or the name of a group.
    pub scope: String,
    /// The most it allows; of a balance all that was credited.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Usd")]
    pub cap_usd: Option<Usd>,
    /// What was captured under it, less what came back.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Usd")]
    pub used_usd: Option<Usd>,
    /// What was held under it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Usd")]
    pub held_usd: Option<Usd>,
    /// What it left for this payment.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    #[schemars(with = "Usd")]
    pub left_usd: Option<Usd>,
    /// The most payments it allows; of denials in a row, those after which it stops them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub cap_count: Option<u64>,
    /// How many there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub used_count: Option<u64>,
    /// How many were held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub held_count: Option<u64>,
    /// When it would leave enough, by time alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
    /// Whether the payment fitted.
    pub fits: bool,
    /// Whether it is a shadow cap: one that it did not fit under would have denied it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
}

impl BoundView {
    fn of(met: &Met) -> Self {
        let blank = Self {
            rule: named(&met.rule),
            scope: match &met.rule {
                Rule::Cap(_, Some(group)) => group.to_string(),
                Rule::PerCall
                | Rule::Cap(_, None)
                | Rule::Balance
                | Rule::Pace(_)
                | Rule::Shadow(_) => "agent".to_owned(),
            },
            cap_usd: None,
            used_usd: None,
            held_usd: None,
            left_usd: None,
            cap_count: None,
            used_count: None,
            held_count: None,
            resets_at: met.resets_at,
            fits: met.fits,
            shadow: matches!(met.rule, Rule::Shadow(_)),
        };
        match met.extent {
            Extent::Amount { most, used, held, left } => Self {
                cap_usd: Some(most),
                used_usd: Some(used),
                held_usd: Some(held),
                left_usd: Some(left),
                ..blank
            },
            Extent::Count { most, used, held } => Self {
                cap_count: Some(most),
                used_count: Some(used),
                held_count: Some(held),
                ..blank
            },
        }
    }
}

/// A rule as a mandate names it.
fn named(rule: &Rule) -> String {
    match rule {
        Rule::PerCall => "limit per payment".to_owned(),
        Rule::Cap(cap, group) => cap_of(cap, group.as_ref()),
        Rule::Balance => "balance".to_owned(),
        Rule::Pace(bound) => pace(*bound),
        Rule::Shadow(cap) => format!("shadow {}", cap.key().named()),
    }
}

fn cap_of(cap: &Cap, group: Option<&GroupId>) -> String {
    let of = group.map(|group| format!(" of the group {group}")).unwrap_or_default();
    format!("{}{of}", cap.key().named())
}

fn pace(bound: stop::Bound) -> String {
    match bound {
        stop::Bound::Payments(rate) => format!("rate of {rate}"),
        stop::Bound::EqualPayments(rate) => format!("burst of {rate}"),
        stop::Bound::Denials(count) => format!("streak of {count} denials"),
        stop::Bound::TasksOpened(rate) => format!("rate of {rate} opened tasks"),
        stop::Bound::Cooldown(span) => format!("cooldown of {span}"),
    }
}

/// The rule behind a reason, as a mandate names it.
pub fn rule(denial: &Denial) -> String {
    if let Denial::CapExceeded { cap, group, .. } = denial {
        return cap_of(cap, group.as_ref());
    }
    if let Denial::PerCallLimitExceeded { .. } = denial {
        return named(&Rule::PerCall);
    }
    if let Denial::InsufficientBalance { .. } = denial {
        return named(&Rule::Balance);
    }
    if let Denial::RateLimited { bound, .. } = denial {
        return pace(*bound);
    }
    let word = denial.code().word().replace('_', " ");
    match denial.frozen_for() {
        Some(reason) => format!("{word} ({reason})"),
        None => word,
    }
}

impl Explained {
    /// What is on record of a decision.
    pub fn recorded(
        payment: PaymentId,
        agent: Handle,
        at: Timestamp,
        decided: &Decided,
        outcome: &str,
    ) -> Self {
        let (service, refusal) = match decided {
            Decided::Allowed(hold) => (Some(hold.service.clone()), None),
            Decided::Denied(denied) => (denied.service.clone(), Some(&denied.refusal)),
        };
        let reasons = refusal.iter().flat_map(|refusal| {
            refusal.denials.iter().map(|denial| ReasonView {
                code: denial.code().word().to_owned(),
                rule: rule(denial),
                message: denial.sentence(refusal.asked),
                detail: denial.payees().map(ToString::to_string),
            })
        });
        let reasons: Vec<ReasonView> = reasons.collect();
        Self {
            payment_id: payment,
            agent,
            at,
            outcome: outcome.to_owned(),
            service_id: service.map(ServiceName),
            asked_usd: decided.asked(),
            run: decided.run().cloned(),
            task_id: decided.task(),
            rule: reasons.first().map(|reason| reason.rule.clone()),
            advice: refusal.map(Refusal::advice),
            reasons,
            bounds: Vec::new(),
            repeated: 0,
            mandate: None,
            granted: None,
            replayed: false,
            differs: None,
        }
    }

    /// The same with what `book`, one of `state`, which is as it was then, says to it.
    #[must_use]
    pub fn by(mut self, state: &State, book: &Book, decided: &Decided) -> Self {
        self.replayed = true;
        self.mandate = Some(AgentTerms::of(&book.mandate));
        let payment = decided.payment(state);
        let known = payment.as_ref().and_then(|payment| match &payment.wanted {
            Wanted::Known(service) => Some((payment, service)),
            Wanted::Unknown { .. } => None,
        });
        if let Some((payment, service)) = known {
            let (asked, run) = (payment.cost(), payment.run.as_ref());
            let spender = state.spender_of(book).in_task(payment.task);
            let all = bearings(&spender, (service, asked), run, self.at);
            let denies = |met: &&Met| !matches!(met.rule, Rule::Shadow(_));
            let least = all.iter().filter(denies).min_by_key(|met| met.extent.calls(asked));
            self.rule = self.rule.or(least.map(|met| named(&met.rule)));
            self.bounds = all.iter().map(BoundView::of).collect();
        }
        self.differs = differs(state, book, decided, self.at);
        self
    }
}
