//! Books: the present state of one agent, as the fold of its entries.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    calendar::Calendar,
    cap::{Aim, Cap, CapKey, Dimension},
    counter::{Counter, Place, Tallies, each_sum, follow, hold, refund, roll, settle, spent_in},
    entry::{Hash, Hold, Moved, Windows},
    failures::Failures,
    mandate::{Funding, Mandate},
    money::Usd,
    names::{Handle, Note, Payee, Reason, RunId, ServiceId},
    pace::{Pace, Span},
    planted::{self, Bug},
    row::DenialRow,
    shadow::WouldDeny,
    tally::{Rolling, Run, RunTally, Sums},
    task::{Task, TaskId},
    tier::Track,
    window::{Hours, Period, Window, Zone},
};

/// Whether an agent may pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may, within its mandate.
    Active,
    /// It may not until the operator says so.
    Frozen {
        /// Why, for programs.
        reason: Reason,
        /// Why, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Since when (µs since 1970 on disk).
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        at: Timestamp,
    },
    /// It never may again.
    Revoked {
        /// Why, for programs.
        reason: Reason,
        /// Why, in the operator's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Since when (µs since 1970 on disk).
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        at: Timestamp,
    },
}

/// The newest entry of an agent: where the next one links to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number in the agent's ledger, from 1.
    pub n: u64,
    /// The journal position of its record.
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
}

/// What a payment counts in, and the run it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted<'a> {
    pub(super) place: Place<'a>,
    pub(super) run: Option<&'a RunId>,
    pub(super) task: Option<TaskId>,
}

impl Counted<'_> {
    /// The run that it counts in.
    pub(super) fn in_run(&self) -> Run {
        named(self.run, self.place.windows.day)
    }
}

impl<'a> From<&'a Hold> for Counted<'a> {
    fn from(hold: &'a Hold) -> Self {
        let place =
            Place { payment: hold.payment, windows: &hold.windows, aim: Some(Aim::from(hold)) };
        Self { place, run: hold.run.as_ref(), task: hold.task }
    }
}

/// The present state of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// Whose it is.
    pub handle: Handle,
    /// Since when (µs since 1970 on disk).
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub opened_at: Timestamp,
    /// What it may spend.
    pub mandate: Mandate,
    /// Whether it may.
    pub standing: Standing,
    /// All that the operator added.
    pub credited: Usd,
    /// All that was captured.
    pub captured: Usd,
    /// All that came back of it.
    pub refunded: Usd,
    /// All that is set aside.
    pub held: Usd,
    /// The sums of the newest windows.
    pub tallies: Tallies,
    /// The sums of the rolling windows that have a cap.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rolling: BTreeMap<Hours, Rolling>,
    /// The sums of the runs that go on, where there is a cap per run. The desk keeps each apart.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub runs: BTreeMap<Run, RunTally>,
    /// The journal position of the entry from which on runs are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_since: Option<u64>,
    /// The last change of the time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
    /// How many payments were let through lately, for each rate of the mandate.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paces: BTreeMap<Span, Pace>,
    /// How many equal ones, where the mandate looks for bursts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bursts: BTreeMap<String, Pace>,
    /// Until when it must wait, if it was refused too often (µs since 1970 on disk).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::microsecond::optional"
    )]
    pub throttled: Option<Timestamp>,
    /// When a payment was last let through, where the mandate has it wait (µs since 1970 on disk).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::microsecond::optional"
    )]
    pub last_paid: Option<Timestamp>,
    /// The newest entry.
    pub link: Link,
    /// The denials just before now, if the last thing was a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<DenialRow>,
    /// The sums of some payments, where a cap is on those.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<Dimension, Counter>,
    /// The tasks that are not forgotten. The desk keeps each apart.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<TaskId, Task>,
    /// How many tasks its tools opened lately.
    #[serde(default, skip_serializing_if = "Pace::is_empty")]
    pub opens: Pace,
    /// Whom each service was paid to first, since the mandate has that stay so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub first_payees: BTreeMap<ServiceId, Payee>,
    /// What was captured since the last incident, where the mandate has tiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<Track>,
    /// What each shadow cap would have denied, as it is now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub would_deny: BTreeMap<CapKey, WouldDeny>,
    /// The equal calls just before now that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<Failures>,
}

impl Book {
    /// The book without the sums of its runs and without its tasks, which may be many: the desk
    /// keeps each apart.
    pub(super) fn without_parts(&self) -> Self {
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
            runs: BTreeMap::new(),
            runs_since: self.runs_since,
            moved: self.moved,
            paces: self.paces.clone(),
            bursts: self.bursts.clone(),
            throttled: self.throttled,
            last_paid: self.last_paid,
            link: self.link,
            row: self.row.clone(),
            parts: self.parts.clone(),
            tasks: BTreeMap::new(),
            opens: self.opens.clone(),
            first_payees: self.first_payees.clone(),
            track: self.track,
            would_deny: self.would_deny.clone(),
            failures: self.failures.clone(),
        }
    }

    /// Whether a payment at `at` would be the first of `run`.
    pub(super) fn begins_run(&self, run: &Run, at: Timestamp) -> bool {
        self.runs.get(run).is_none_or(|tally| !tally.lives(at))
    }

    /// Whether there are sums of runs, or may be.
    pub(super) fn counts_runs(&self) -> bool {
        self.runs_since.is_some()
    }

    /// Whether it may never pay again.
    pub fn is_revoked(&self) -> bool {
        matches!(self.standing, Standing::Revoked { .. })
    }

    /// Whether it may not pay for now.
    pub fn is_frozen(&self) -> bool {
        matches!(self.standing, Standing::Frozen { .. })
    }

    /// Credited, less what was captured and did not come back; nothing for an allowance.
    pub fn balance(&self) -> Option<Usd> {
        match self.mandate.funding {
            Funding::Prepaid if planted::is(Bug::BalanceOverflows) => {
                Some(self.credited.saturating_plus(self.refunded).less(self.captured))
            }
            Funding::Prepaid => Some(self.credited.less(self.captured.less(self.refunded))),
            Funding::Allowance => None,
        }
    }

    /// The balance less the holds, as far as the sum of all captures can still be written down;
    /// nothing for an allowance.
    pub fn funds(&self) -> Option<Usd> {
        let writable = Usd::MAX.less(self.captured);
        let held = if planted::is(Bug::BalanceIgnoresHolds) { Usd::ZERO } else { self.held };
        self.balance().map(|balance| balance.min(writable).less(held))
    }

    fn calendar(&self) -> Calendar<'_> {
        let (zone, moved, tallies) = (&self.mandate.zone, self.moved, &self.tallies);
        Calendar { zone, moved, tallies, rolls: self.mandate.rolls() }
    }

    /// What a change to `zone` means for the windows that are open at `now`.
    pub fn moved_to(&self, zone: &Zone, now: Timestamp) -> Moved {
        self.calendar().moved_to(zone, now)
    }

    /// What was captured in the window of `period` that contains `now`.
    pub fn used(&self, period: Period, now: Timestamp) -> Usd {
        self.spent_in(period, self.window(period, now).id()).used
    }

    /// The ids of the windows that a payment placed at `now` counts in.
    pub fn windows(&self, now: Timestamp) -> Windows {
        self.calendar().windows(now)
    }

    pub(super) fn window(&self, period: Period, now: Timestamp) -> Window {
        self.calendar().window(period, now)
    }

    pub(super) fn spent_in(&self, period: Period, window: i64) -> Sums {
        spent_in(&self.tallies, period, window)
    }

    /// Changes every sum that still counts the payment. A run counts only payments made since it
    /// had a cap.
    fn each_sum(&mut self, counted: &Counted<'_>, mut change: impl FnMut(&mut Sums)) {
        let place = &counted.place;
        each_sum(&mut self.tallies, &mut self.rolling, place, &mut change);
        let parts = self.parts.iter_mut().filter(|(on, _)| place.is_on(on));
        parts.for_each(|(_, counter)| counter.each_sum(place, &mut change));
        let placed = place.payment.position();
        if self.runs_since.is_some_and(|since| placed > since)
            && let Some(RunTally { sums, since, parts, .. }) = self.runs.get_mut(&counted.in_run())
            && (placed >= *since || planted::is(Bug::RunRefundsOlder))
        {
            change(sums);
            let counts = |counter: &Counter| counter.runs_since.is_some_and(|since| placed > since);
            let on = self.parts.iter().filter(|(on, counter)| place.is_on(on) && counts(counter));
            on.for_each(|(on, _)| change(parts.entry(on.clone()).or_default()));
        }
        if let Some(Task { sums, .. }) = counted.task.and_then(|task| self.tasks.get_mut(&task)) {
            change(sums);
        }
    }

    /// Folds in money set aside at `at`.
    pub(super) fn hold(&mut self, amount: Usd, counted: &Counted<'_>, at: Timestamp) {
        self.hold_many((amount, 1), counted, at);
    }

    /// The same for so many payments at once, which come to `amount` together.
    pub(super) fn hold_many(
        &mut self,
        (amount, many): (Usd, u32),
        counted: &Counted<'_>,
        at: Timestamp,
    ) {
        self.held = self.held.saturating_plus(amount);
        if self.runs_since.is_some() {
            let run = counted.in_run();
            let known = self.runs.get(&run).filter(|tally| tally.lives(at));
            let first = || RunTally::since(counted.place.payment.position(), at);
            let tally = known.map_or_else(first, |tally| RunTally { last: at, ..tally.clone() });
            if known.is_none() {
                self.runs.retain(|_, tally| tally.lives(at));
            }
            self.runs.insert(run, tally);
        }
        let more = u64::from(many).saturating_sub(1);
        self.each_sum(counted, |sums| {
            hold(sums, amount);
            sums.open = sums.open.saturating_add(more);
        });
    }

    /// Folds in the end of a hold: `taken` of it captured, if it was, the rest returned.
    pub(super) fn settle(&mut self, held: Usd, taken: Option<Usd>, counted: &Counted<'_>) {
        let most =
            |taken: Usd| if planted::is(Bug::OverrunUncounted) { taken.min(held) } else { taken };
        let taken = taken.map(most);
        let partly = taken.filter(|taken| planted::is(Bug::CaptureLeavesHold) && !taken.is_zero());
        let held = partly.unwrap_or(held);
        self.held = self.held.less(held);
        self.captured = self.captured.saturating_plus(taken.unwrap_or(Usd::ZERO));
        self.each_sum(counted, |sums| settle(sums, held, taken));
    }

    /// Folds in captured money that came back.
    pub(super) fn refund(&mut self, amount: Usd, counted: &Counted<'_>) {
        let twice = if planted::is(Bug::RefundCountedTwice) { amount } else { Usd::ZERO };
        self.refunded = self.refunded.saturating_plus(amount).saturating_plus(twice);
        self.each_sum(counted, |sums| refund(sums, amount));
    }

    /// The book as it would be with another mandate set at `now`.
    #[must_use]
    pub fn with_mandate(&self, mandate: &Mandate, now: Timestamp) -> Self {
        let mut book = self.clone();
        let moved = (mandate.zone != self.mandate.zone).then(|| self.moved_to(&mandate.zone, now));
        book.set_mandate(mandate, moved, self.link.position);
        book
    }

    /// Folds in another mandate, set by the entry at `position`.
    pub(super) fn set_mandate(&mut self, mandate: &Mandate, moved: Option<Moved>, position: u64) {
        self.set_paces(mandate);
        self.set_track(mandate);
        self.keep_shadows(mandate);
        self.mandate = mandate.clone();
        if planted::is(Bug::FirstPayeeForgotten) {
            self.first_payees.clear();
        }
        self.moved = moved.or(self.moved);
        if planted::is(Bug::ZoneChangeAtOnce) {
            self.moved = None;
        }
        if planted::is(Bug::ZoneChangeResets) && moved.is_some() {
            self.tallies.clear();
        }
        let counted: Vec<Cap> = mandate.counted().cloned().collect();
        roll(&mut self.rolling, &counted, &Dimension::Agent, position);
        follow(&mut self.parts, &counted, position);
        if mandate.caps_runs() {
            self.runs_since.get_or_insert(position);
        } else {
            self.runs_since = None;
            self.runs.clear();
        }
        let counts =
            |on: &Dimension| self.parts.get(on).is_some_and(|counter| counter.runs_since.is_some());
        self.runs.values_mut().for_each(|tally| tally.parts.retain(|on, _| counts(on)));
    }

    /// Whether what `cap` bounds is counted already.
    pub fn counts(&self, cap: &Cap) -> bool {
        match (&cap.on, cap.period) {
            (Dimension::Agent, Period::Rolling(hours)) => self.rolling.contains_key(&hours),
            (Dimension::Agent, Period::Run) => self.runs_since.is_some(),
            (_, Period::Task)
            | (
                Dimension::Agent,
                Period::Hour | Period::Day | Period::Week | Period::Month | Period::Lifetime,
            ) => true,
            (on, period) => self.parts.get(on).is_some_and(|counter| counter.counts(period)),
        }
    }
}

/// The run that a payment counts in.
pub(super) fn named(run: Option<&RunId>, day: i64) -> Run {
    let run = run.filter(|_| !planted::is(Bug::RunIgnoresName));
    run.cloned().map_or(Run::Day(day), Run::Named)
}
