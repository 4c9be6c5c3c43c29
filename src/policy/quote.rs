//! Quotes: how many payments of a kind fit, which limit comes first, and when there is room again.
//!
//! Nothing is estimated. A quote makes the payments in a copy of the book, all that fit at one
//! moment in one step, and the decision is that of every payment: what it counts is what would be
//! paid if nobody else did, and the next one is refused for the reason it tells.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    authorize::{Payment, Wanted, authorize},
    book::{Book, Counted},
    denial::{Denial, Payments, Refusal},
    entry::Draft,
    group::Group,
    money::Usd,
    names::PaymentId,
    pace::Pace,
    planted::{self, Bug},
    rooms::{Bearing, Room, Spender},
    stop::flag,
    tally::Run,
};

/// The most payments that are counted.
pub const MAX_CALLS: u32 = 1_000_000;
/// At how many moments there may be room again before a quote ends.
const MAX_MOMENTS: usize = 1_000;

/// What a quote comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    /// How many fit now.
    pub fits: u32,
    /// Why one more would be refused, with the numbers as they are now; nothing where all that are
    /// wanted fit.
    pub limit: Option<Refusal>,
    /// When there is room for one more again, if time alone brings that about.
    pub frees_at: Option<Timestamp>,
    /// How many fit until later, where that was asked.
    pub later: Option<Later>,
}

/// How many payments fit until a moment, that moment left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Later {
    /// The moment; sooner than asked, where there would be room again too often to count on.
    pub by: Timestamp,
    /// How many fit from now until then, each as soon as there is room for it. No other order
    /// would fit more: a payment that is made earlier counts in no window of which a later one
    /// would not have to make room.
    pub fits: u32,
}

/// Counts how many such payments fit at `now`, one after the other and at most `calls`, and how
/// many until `by`.
pub fn quote(
    spender: &Spender<'_>,
    payment: &Payment,
    calls: u32,
    by: Option<Timestamp>,
    now: Timestamp,
) -> Quote {
    let calls = calls.min(MAX_CALLS);
    let spender = &spender.clone().in_task(payment.task);
    let mut made = Made::none(spender, payment);
    let limit = made.all_at(now, calls);
    let (fits, at_now) = (made.count, |denial| as_of(denial, spender, payment, now));
    let mut frees_at = limit.as_ref().and_then(Refusal::resets_at);
    let mut quote = Quote { fits, limit: None, frees_at, later: None };
    quote.limit = limit.map(|refusal| Refusal {
        denials: refusal.denials.into_iter().filter(Denial::is_of_now).map(at_now).collect(),
        ..refusal
    });
    if let Some(by) = by {
        let until = |at: &Timestamp| {
            if planted::is(Bug::QuoteTakesTheEnd) { *at <= by } else { *at < by }
        };
        let mut later = Later { by, fits };
        for _ in 0..MAX_MOMENTS {
            let Some(at) = frees_at.filter(until) else { break };
            let limit = made.all_at(at, calls);
            frees_at = limit.and_then(|refusal| refusal.resets_at()).filter(|next| *next > at);
            later = Later { by, fits: made.count };
        }
        if let Some(at) = frees_at.filter(until) {
            later.by = at;
        }
        quote.later = Some(later);
    }
    quote
}

impl Book {
    /// As much of the book as a quote for such payments takes: of the thousands of runs and
    /// tasks that there may be it has those that are asked for, and of equal payments only those.
    pub(crate) fn excerpt(&self, payment: &Payment) -> Self {
        // Without a name the run is the day.
        let named = payment.run.clone().map(Run::Named);
        let named = named.and_then(|run| self.runs.get_key_value(&run));
        let first = self.first_payees.get_key_value(payment.service()).into_iter();
        let tasks = payment.task.iter().filter_map(|id| self.tasks.get_key_value(id));
        let runs = named.into_iter().chain(self.runs.range(Run::Day(i64::MIN)..));
        Self {
            handle: self.handle.clone(),
            opened_at: self.opened_at,
            mandate: self.mandate.clone(),
            standing: self.standing.clone(),
            credited: self.credited,
            captured: self.captured,
            refunded: self.refunded,
            held: self.held,
            tallies: self.tallies.clone(),
            rolling: self.rolling.clone(),
            runs: runs.map(|(run, tally)| (run.clone(), tally.clone())).collect(),
            runs_since: self.runs_since,
            moved: self.moved,
            paces: self.paces.clone(),
            bursts: self.bursts_of((payment.service(), payment.cost())),
            throttled: self.throttled,
            last_paid: self.last_paid,
            link: self.link,
            row: None,
            parts: self.parts.clone(),
            tasks: tasks.map(|(id, task)| (*id, task.clone())).collect(),
            opens: Pace::default(),
            track: self.track,
            would_deny: BTreeMap::new(),
            failures: None,
            first_payees: first.map(|(id, payee)| (id.clone(), payee.clone())).collect(),
        }
    }
}

/// The payments of a quote as if they were made.
struct Made {
    book: Book,
    groups: Vec<Group>,
    payment: Payment,
    count: u32,
}

impl Made {
    fn none(Spender { book, groups, .. }: &Spender<'_>, payment: &Payment) -> Self {
        // They come after everything that is counted.
        let counted = groups.iter().map(|group| group.counts_since()).max().unwrap_or_default();
        let last = counted.max(book.link.position);
        let id = PaymentId::new(last.saturating_add(1), 0);
        let payment = Payment { id, binding: None, ..payment.clone() };
        let groups = groups.iter().copied().cloned().collect();
        Self { book: book.excerpt(&payment), groups, payment, count: 0 }
    }

    fn spender(&self) -> Spender<'_> {
        let groups = self.groups.iter().collect();
        Spender { book: &self.book, groups, task: None }.in_task(self.payment.task)
    }

    /// Makes all that fit at one moment, up to so many in all; why one more is refused.
    fn all_at(&mut self, at: Timestamp, calls: u32) -> Option<Refusal> {
        while self.count < calls {
            match authorize(&self.spender(), &self.payment, at) {
                Err(refusal) => return Some(refusal),
                Ok(hold) => {
                    let left = calls.saturating_sub(self.count);
                    let many = self.fitting(at, if self.book.may_fall_back() { 1 } else { left });
                    let flagged = flag(&self.book, &hold, at);
                    let all = hold.amount.nanos().saturating_mul(i64::from(many));
                    let all = Usd::try_from(all).unwrap_or(Usd::MAX);
                    self.book.hold_many((all, many), &Counted::from(&hold), at);
                    self.book.pace_many(&hold, many, at);
                    for group in &mut self.groups {
                        group.hold_many((all, many), &hold);
                    }
                    if let Some(Draft { fact, .. }) = flagged {
                        self.book.judge(&fact);
                    }
                    self.count = self.count.saturating_add(many);
                }
            }
        }
        None
    }

    /// How many fit where one does: at least that one.
    fn fitting(&self, at: Timestamp, most: u32) -> u32 {
        let Wanted::Known(service) = &self.payment.wanted else { return 1 };
        let (spender, cost) = (self.spender(), self.payment.cost());
        let paces = spender.book.paces_fit((&service.id, cost), at);
        let bearing = spender.bearing(service, self.payment.run.as_ref(), at);
        let caps = bearing.iter().map(|bearing| bearing.calls(cost));
        let funds = spender.book.funds().filter(|_| !planted::is(Bug::QuoteForgetsBalance));
        let funds = funds.map(|funds| {
            let times = funds.nanos().checked_div(cost.nanos());
            times.and_then(|times| u64::try_from(times).ok()).unwrap_or(u64::MAX)
        });
        let times = caps.chain(funds).min().unwrap_or(u64::MAX);
        let times = u32::try_from(times).unwrap_or(u32::MAX).min(paces);
        let times = times.saturating_add(u32::from(planted::is(Bug::QuoteOneTooMany)));
        times.clamp(1, most.max(1))
    }
}

/// The same reason with the numbers of the book as it is, in place of those that it would have.
fn as_of(denial: Denial, spender: &Spender<'_>, payment: &Payment, now: Timestamp) -> Denial {
    let run = payment.run.as_ref();
    if let Denial::CapExceeded { cap, used, held, resets_at, count, group } = denial {
        let bears = {
            let mut bearing = spender.each(run, now, |of| *of == *cap);
            bearing.find(|of| of.group().map(|of| &of.name) == group.as_ref())
        };
        let (used, held, count) = bears.map_or((used, held, count), |Bearing { room, .. }| {
            let Room { used, held, paid, open, .. } = room;
            (used, held, count.map(|_| Payments { used: paid, held: open }))
        });
        return Denial::CapExceeded { cap, used, held, resets_at, count, group };
    }
    if let (Denial::InsufficientBalance { .. }, Some(funds)) = (&denial, spender.book.funds()) {
        return Denial::InsufficientBalance { funds };
    }
    denial
}
