//! Counters: the sums of some payments, in the newest windows and in what rolls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    cap::{Aim, Cap, Dimension},
    entry::Windows,
    mandate::rolling,
    money::Usd,
    names::PaymentId,
    planted::{self, Bug},
    tally::{Rolling, Sums, Tally},
    window::{Hours, Period},
};

/// The sums of the newest window of each period of the calendar.
pub type Tallies = BTreeMap<Period, Tally>;

/// What is counted of some payments since a cap first named them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// The journal position of the entry that began the counting: payments before it are not in.
    pub since: u64,
    /// The sums of the newest windows.
    pub tallies: Tallies,
    /// The sums of the rolling windows that have a cap.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rolling: BTreeMap<Hours, Rolling>,
    /// Since when they are counted in each run, where there is a cap on that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_since: Option<u64>,
}

/// What a payment counts in: how it is told apart, and its windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) payment: PaymentId,
    pub(super) windows: &'a Windows,
    /// Nothing where the entry is older than that was written down, and then no cap asked for it.
    pub(super) aim: Option<Aim<'a>>,
}

impl Place<'_> {
    /// Whether it is among the payments that are counted so.
    pub(super) fn is_on(&self, on: &Dimension) -> bool {
        let all = planted::is(Bug::ServiceCapCountsAll) && matches!(on, Dimension::Service(_));
        on.is_all() || all || self.aim.is_some_and(|aim| on.covers(&aim))
    }
}

impl Counter {
    pub(super) fn since(position: u64) -> Self {
        Self {
            since: position,
            tallies: BTreeMap::new(),
            rolling: BTreeMap::new(),
            runs_since: None,
        }
    }

    /// Whether it counts what a cap of `period` bounds.
    pub(super) fn counts(&self, period: Period) -> bool {
        match period {
            Period::Rolling(hours) => self.rolling.contains_key(&hours),
            Period::Run => self.runs_since.is_some(),
            Period::Task
            | Period::Hour
            | Period::Day
            | Period::Week
            | Period::Month
            | Period::Lifetime => true,
        }
    }

    /// Changes every sum that still counts the payment.
    pub(super) fn each_sum(&mut self, place: &Place<'_>, change: &mut impl FnMut(&mut Sums)) {
        if place.payment.position() > self.since {
            each_sum(&mut self.tallies, &mut self.rolling, place, change);
        }
    }
}

/// What was spent in the window of `period` that has this id.
pub(super) fn spent_in(tallies: &Tallies, period: Period, window: i64) -> Sums {
    let tally = tallies.get(&period).filter(|tally| tally.window == window);
    tally.map(|tally| tally.sums).unwrap_or_default()
}

/// Changes every sum that still counts the payment.
///
/// A newer window replaces an older tally; an older window no longer counts anywhere. What rolls
/// counts only payments made since it had a cap.
pub(super) fn each_sum(
    tallies: &mut Tallies,
    rolling: &mut BTreeMap<Hours, Rolling>,
    place: &Place<'_>,
    change: &mut impl FnMut(&mut Sums),
) {
    for period in Period::CALENDAR {
        let Some(id) = place.windows.id(period) else { continue };
        let tally = tallies.entry(period).or_insert_with(|| Tally::empty(id));
        if tally.window < id {
            *tally = Tally::empty(id);
        }
        if tally.window == id || planted::is(Bug::OldWindowChangesNew) {
            change(&mut tally.sums);
        }
    }
    let placed = place.payment.position();
    for (hours, rolling) in rolling {
        let minute = place.windows.minute.filter(|_| placed > rolling.since);
        if let Some(sums) = minute.and_then(|minute| rolling.bucket(*hours, minute)) {
            change(sums);
        }
    }
}

/// Has `kept` roll over these hours and no others, from `position` on where that is new.
pub(super) fn roll(
    kept: &mut BTreeMap<Hours, Rolling>,
    caps: &[Cap],
    on: &Dimension,
    position: u64,
) {
    let rolling = rolling(caps);
    let hours = || rolling.iter().filter(|(_, what)| *what == on).map(|(hours, _)| *hours);
    if !planted::is(Bug::RollingNotRestarted) {
        kept.retain(|rolls, _| hours().any(|kept| kept == *rolls));
    }
    for hours in hours() {
        kept.entry(hours).or_insert_with(|| Rolling::since(position));
    }
}

/// Has `parts` count what `caps` name, and nothing else, from `position` on where that is new:
/// a cap whose bound changes goes on where it was.
pub(super) fn follow(parts: &mut BTreeMap<Dimension, Counter>, caps: &[Cap], position: u64) {
    if planted::is(Bug::ServiceCapCountsAnew) {
        parts.clear();
    }
    parts.retain(|on, _| caps.iter().any(|cap| cap.on == *on));
    for on in caps.iter().map(|cap| &cap.on).filter(|on| !on.is_all()) {
        let counter = parts.entry(on.clone()).or_insert_with(|| Counter::since(position));
        roll(&mut counter.rolling, caps, on, position);
        if caps.iter().any(|cap| cap.on == *on && cap.period == Period::Run) {
            counter.runs_since.get_or_insert(position);
        } else {
            counter.runs_since = None;
        }
    }
}

/// Money set aside, as a sum counts it.
pub(super) fn hold(sums: &mut Sums, amount: Usd) {
    sums.held = sums.held.saturating_plus(amount);
    sums.open = sums.open.saturating_add(1);
}

/// The end of a hold, as a sum counts it: how much was held and how much of it taken, if any was.
pub(super) fn settle(sums: &mut Sums, held: Usd, taken: Option<Usd>) {
    sums.held = sums.held.less(held);
    sums.open = sums.open.saturating_sub(1);
    if let Some(taken) = taken {
        sums.used = sums.used.saturating_plus(taken);
    }
    if taken.is_some() || planted::is(Bug::CountKeptAfterVoid) {
        sums.paid = sums.paid.saturating_add(1);
    }
}

/// Money that came back, as a sum counts it: how often was paid stays.
pub(super) fn refund(sums: &mut Sums, amount: Usd) {
    sums.used = sums.used.less(amount);
    if planted::is(Bug::RefundGivesCountBack) {
        sums.paid = sums.paid.saturating_sub(1);
    }
}
