//! Tallies: what was spent in a window, of the calendar, rolling, or of one run.

use std::{collections::BTreeMap, fmt};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    cap::{Dimension, Unit},
    money::Usd,
    names::RunId,
    planted::{self, Bug},
    window::Hours,
};

/// What was spent in the newest window of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The window's id; it never goes back.
    pub window: i64,
    /// The sums.
    pub sums: Sums,
}

impl Tally {
    pub(super) fn empty(window: i64) -> Self {
        Self { window, sums: Sums::default() }
    }
}

/// The sums of one window, bucket or run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Captured, less what was refunded.
    pub used: Usd,
    /// Set aside and not yet settled.
    pub held: Usd,
    /// How many payments were captured.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub paid: u64,
    /// How many are not yet settled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub open: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Sums {
    /// The sums of both.
    fn and(self, other: Self) -> Self {
        Self {
            used: self.used.saturating_plus(other.used),
            held: self.held.saturating_plus(other.held),
            paid: self.paid.saturating_add(other.paid),
            open: self.open.saturating_add(other.open),
        }
    }

    /// What counts under a cap of `unit`: nano-dollars, or payments.
    pub(super) fn spent(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Amount => nanos(self.used).saturating_add(nanos(self.held)),
            Unit::Count => self.paid.saturating_add(self.open),
        }
    }
}

/// An amount in nano-dollars, which is never negative.
pub(super) fn nanos(amount: Usd) -> u64 {
    u64::try_from(amount.nanos()).unwrap_or_default()
}

/// How many whole buckets a rolling window goes back, besides the one that is being filled.
///
/// So it always covers its hours and up to a sixtieth more: rounded against the spender.
const BUCKETS: i64 = 60;

/// What was spent in the hours just before now, in buckets of so many minutes as the window has
/// hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolling {
    /// The journal position of the entry that began the counting: payments before it are not in.
    pub since: u64,
    /// The sums, by number of the bucket.
    pub buckets: BTreeMap<i64, Sums>,
}

impl Rolling {
    pub(super) fn since(position: u64) -> Self {
        Self { since: position, buckets: BTreeMap::new() }
    }

    /// The bucket of the minute, if it still counts; older ones are let go of.
    pub(super) fn bucket(&mut self, hours: Hours, minute: i64) -> Option<&mut Sums> {
        let bucket = minute.div_euclid(hours.get());
        let newest =
            self.buckets.last_key_value().map_or(bucket, |(newest, _)| bucket.max(*newest));
        let oldest = newest.saturating_sub(BUCKETS);
        self.buckets.retain(|bucket, _| *bucket >= oldest);
        (bucket >= oldest).then(|| self.buckets.entry(bucket).or_default())
    }

    /// The buckets that count at `now`, oldest first.
    fn counted(&self, hours: Hours, now: Timestamp) -> impl Iterator<Item = (i64, Sums)> {
        let back = BUCKETS.saturating_sub(i64::from(planted::is(Bug::RollingTooShort)));
        let oldest = minute(now).div_euclid(hours.get()).saturating_sub(back);
        let forgets = planted::is(Bug::RollingForgetsHeld);
        let kept =
            move |sums: Sums| Sums { held: if forgets { Usd::ZERO } else { sums.held }, ..sums };
        self.buckets.range(oldest..).map(move |(bucket, sums)| (*bucket, kept(*sums)))
    }

    /// What counts at `now`.
    pub(super) fn sums(&self, hours: Hours, now: Timestamp) -> Sums {
        self.counted(hours, now).fold(Sums::default(), |all, (_, sums)| all.and(sums))
    }

    /// When enough of what counts at `now` has rolled out of the window that at most `bearable`
    /// of it is left.
    pub(super) fn frees(
        &self,
        hours: Hours,
        (bearable, unit): (u64, Unit),
        now: Timestamp,
    ) -> Option<Timestamp> {
        let mut left = self.sums(hours, now).spent(unit);
        for (bucket, sums) in self.counted(hours, now) {
            left = left.saturating_sub(sums.spent(unit));
            if left <= bearable {
                let leaves = bucket.saturating_add(BUCKETS).saturating_add(1);
                let second = leaves.saturating_mul(hours.get()).saturating_mul(60);
                return Timestamp::from_second(second).ok();
            }
        }
        None
    }
}

/// The minute since 1970.
pub(super) fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// One invocation of an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Run {
    /// As the operator named it.
    Named(RunId),
    /// All that was paid without a name on one day, by the id of that day's window.
    Day(i64),
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(run) => write!(f, "={run}"),
            Self::Day(day) => write!(f, "@{day}"),
        }
    }
}

impl From<Run> for String {
    fn from(run: Run) -> Self {
        run.to_string()
    }
}

impl TryFrom<String> for Run {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let named = text.strip_prefix('=').and_then(|run| run.parse().ok()).map(Self::Named);
        let day = || text.strip_prefix('@').and_then(|day| day.parse().ok()).map(Self::Day);
        named.or_else(day).ok_or_else(|| format!("`{text}` is no run"))
    }
}

/// How long a run is remembered after its last payment; the same name then begins a new one.
const RUN_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What was spent in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTally {
    /// The journal position of its first payment: one of an earlier run of the name is not in.
    pub since: u64,
    /// The sums.
    pub sums: Sums,
    /// When money was last set aside in it (µs since 1970 on disk).
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub last: Timestamp,
    /// The sums of some of its payments, where there is a cap per run on those.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<Dimension, Sums>,
}

impl RunTally {
    pub(super) fn since(position: u64, at: Timestamp) -> Self {
        Self { since: position, sums: Sums::default(), last: at, parts: BTreeMap::new() }
    }

    /// Whether the run still goes on at `now`.
    pub(super) fn lives(&self, now: Timestamp) -> bool {
        let holds = self.sums.open > 0 && !planted::is(Bug::RunForgottenWhileHeld);
        holds || now.duration_since(self.last) < RUN_KEPT
    }
}
