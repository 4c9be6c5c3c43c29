//! A policy tried on a history, held against what is added up by hand: with one cap in all, and
//! nothing else, whatever fits is paid.

use std::collections::BTreeMap;

use pettycash::policy::{
    denial::{Code, Denial, Denied},
    entry::{By, Entry, Fact, Hash},
    mandate::Funding,
    names::{Handle, PaymentId},
    task::TaskFact,
    terms::{AgentTerms, PolicyTerms},
    trial::Trial,
};

use super::ops::WHALE;

/// What no policy of one cap has.
const GONE: [Code; 9] = [
    Code::CapExceeded,
    Code::PerCallLimitExceeded,
    Code::MandateExpired,
    Code::ServiceNotAllowed,
    Code::RateLimited,
    Code::OutsideActiveHours,
    Code::AgentFrozen,
    Code::PayeeChanged,
    Code::TaskFailed,
];

/// How often it was decided otherwise, added up payment by payment.
#[derive(Debug, Default, PartialEq)]
struct Otherwise {
    denied: (u64, i128),
    paid: (u64, i128),
}

/// What of each payment counts, of those that are made.
#[derive(Default)]
struct Sums {
    cap: i128,
    counts: BTreeMap<PaymentId, i128>,
    /// Whether an operator stopped the agent: what a stop of the mandate did is gone with it.
    stopped: bool,
    otherwise: Otherwise,
}

impl Sums {
    fn fits(&mut self, payment: PaymentId, amount: i128) -> bool {
        let fits = self.counts.values().sum::<i128>() + amount <= self.cap;
        if fits {
            self.counts.insert(payment, amount);
        }
        fits
    }

    fn live(&mut self, by: By, fact: &Fact) {
        match fact {
            Fact::Frozen { .. } if by == By::Operator => self.stopped = true,
            Fact::Unfrozen { .. } => self.stopped = false,
            Fact::Revoked { .. } => self.stopped = true,
            Fact::Held(hold) | Fact::Paid(hold) => {
                let amount = i128::from(hold.amount.nanos());
                if !self.fits(hold.payment, amount) {
                    add(&mut self.otherwise.denied, amount);
                }
            }
            Fact::Denied(denied) if is_for_what_is_gone(denied) && !self.stopped => {
                let amount = i128::from(denied.refusal.asked.nanos());
                if self.fits(denied.payment, amount) {
                    add(&mut self.otherwise.paid, amount);
                }
            }
            Fact::Captured { payment, amount, .. } => {
                self.change(*payment, |_| amount.nanos().into());
            }
            Fact::Voided { payment, .. }
            | Fact::Expired { payment }
            | Fact::Failed { payment, .. } => {
                self.change(*payment, |_| 0);
            }
            Fact::Refunded { payment, amount, .. } => {
                self.change(*payment, |counts| counts - i128::from(amount.nanos()));
            }
            _ => {}
        }
    }

    fn change(&mut self, payment: PaymentId, change: impl Fn(i128) -> i128) {
        if let Some(counts) = self.counts.get_mut(&payment) {
            *counts = change(*counts);
        }
    }
}

fn add((count, sum): &mut (u64, i128), amount: i128) {
    *count += 1;
    *sum += amount;
}

fn is_for_what_is_gone(denied: &Denied) -> bool {
    // Without a cap per task no task has to be named; one that is named has to be there.
    let unnamed = |denial: &Denial| matches!(denial, Denial::TaskUnknown { task: None });
    denied.refusal.denials.iter().all(|denial| GONE.contains(&denial.code()) || unnamed(denial))
}

/// The same for whoever there is, but for who asks the most.
pub(crate) fn check_all(entries: &[(Entry, u64, Hash)]) -> Result<(), String> {
    let opened = entries.iter().filter(|(entry, ..)| matches!(entry.fact, Fact::Opened { .. }));
    let agents = opened.filter_map(|(entry, ..)| entry.agent.as_ref());
    let agents = agents.filter(|agent| **agent != super::words::handle(WHALE));
    agents.into_iter().try_for_each(|agent| check(entries, agent))
}

/// Tries a cap in all of half of what an agent with an allowance took.
fn check(entries: &[(Entry, u64, Hash)], agent: &Handle) -> Result<(), String> {
    let theirs = || entries.iter().filter(|(entry, ..)| entry.agent.as_ref() == Some(agent));
    let opened = theirs().any(|(entry, ..)| {
        matches!(&entry.fact, Fact::Opened { mandate } if mandate.funding == Funding::Allowance)
    });
    let held = theirs().filter_map(|(entry, ..)| match &entry.fact {
        Fact::Held(hold) | Fact::Paid(hold) => Some(i128::from(hold.amount.nanos())),
        _ => None,
    });
    let cap = held.sum::<i128>() / 2;
    // A task's own cap is no policy's: it bounds there what it bounded here.
    let own = theirs().any(|(entry, ..)| match &entry.fact {
        Fact::Task(TaskFact::Opened(task)) => task.cap.is_some(),
        Fact::Task(TaskFact::Resumed { cap, .. }) => cap.is_some(),
        _ => false,
    });
    let Some(cap) = i64::try_from(cap).ok().filter(|cap| opened && !own && *cap > 0) else {
        return Ok(());
    };
    let mut sums = Sums { cap: cap.into(), ..Sums::default() };
    let amount = pettycash::policy::money::Usd::try_from(cap).unwrap();
    let caps = Some(vec![format!("{}/lifetime", amount.decimal()).try_into().unwrap()]);
    let terms = AgentTerms { funding: Some(Funding::Allowance), caps, ..AgentTerms::default() };
    let agents = [(agent.clone(), terms)].into();
    let mut trial = Trial::new(&PolicyTerms { agents, ..PolicyTerms::default() }, None);
    for (entry, position, _) in entries {
        trial.live(entry, *position);
        if entry.agent.as_ref() == Some(agent) {
            sums.live(entry.by, &entry.fact);
        }
    }
    let told = trial.told();
    let told = Otherwise {
        denied: (told.would_deny.count, told.would_deny.sum_usd.nanos().into()),
        paid: (told.would_pay.count, told.would_pay.sum_usd.nanos().into()),
    };
    super::decide::same(
        &format!("{agent} with {} in all", amount.decimal()),
        &sums.otherwise,
        &told,
    )
}
