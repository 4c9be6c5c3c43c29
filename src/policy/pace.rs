//! Paces: how many payments a window that slides may hold, and how many it holds.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

use super::{
    book::Book,
    entry::Hold,
    mandate::Mandate,
    money::Usd,
    names::ServiceId,
    planted::{self, Bug},
    stop::Action,
};

/// The most payments, or denials, that a bound may name.
pub(super) const MAX_COUNT: u32 = 1_000_000;
/// How many whole buckets a sliding window goes back, besides the one that is being filled: so it
/// covers its time and up to a fiftieth more, rounded against the spender.
const BUCKETS: i64 = 50;
/// How long a bucket of a window of one second is, in µs.
const WIDTH: i64 = 1_000_000 / BUCKETS;
/// How many kinds of equal payments are told apart at once; the one longest unpaid is let go of.
const MAX_KINDS: usize = 64;

/// Gives a type of the mandate's shorthand its text on disk and on the wire.
macro_rules! shorthand {
    ($type:ident, $description:literal) => {
        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }

        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "description": $description})
            }
        }
    };
}
pub(super) use shorthand;

/// How long a sliding window is: 1 second to 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u32);

shorthand!(Span, "s, min or h with a number before it, such as 10s; min and hour alone are one");

impl Span {
    const MAX: u32 = 24 * 3600;
    /// A day.
    pub const DAY: Self = Self(Self::MAX);

    /// How long, in seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }

    fn width(self) -> i64 {
        i64::from(self.0).saturating_mul(WIDTH)
    }

    fn bucket(self, at: Timestamp) -> i64 {
        at.as_microsecond().div_euclid(self.width())
    }

    /// The same with its number, as it is written where it stands alone: `1h`, `30s`.
    pub fn counted(self) -> String {
        match self.0 {
            60 => "1min".to_owned(),
            3600 => "1h".to_owned(),
            _ => self.to_string(),
        }
    }

    /// Writes it so, for documents.
    ///
    /// # Errors
    /// If the serializer fails.
    #[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde's own shape")]
    pub(super) fn documented<S: Serializer>(span: &Option<Self>, to: S) -> Result<S::Ok, S::Error> {
        span.map(Self::counted).serialize(to)
    }

    /// How a sentence says how long it is: `a minute`, `30s`.
    pub fn long(self) -> String {
        match self.0 {
            60 => "a minute".to_owned(),
            3600 => "an hour".to_owned(),
            _ => self.to_string(),
        }
    }

    /// How a sentence names it: `any minute`.
    pub fn any(self) -> String {
        match self.0 {
            60 => "any minute".to_owned(),
            3600 => "any hour".to_owned(),
            _ => format!("any {self}"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes) = (self.0.checked_div(3600), self.0.checked_div(60));
        let whole = |unit: u32| self.0.is_multiple_of(unit);
        match (hours, minutes) {
            (Some(1), _) if whole(3600) => f.write_str("hour"),
            (Some(hours), _) if whole(3600) => write!(f, "{hours}h"),
            (_, Some(1)) if whole(60) => f.write_str("min"),
            (_, Some(minutes)) if whole(60) => write!(f, "{minutes}min"),
            _ => write!(f, "{}s", self.0),
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("hour", 3600), ("min", 60), ("h", 3600), ("s", 1)];
        let found = units.iter().find_map(|(word, long)| Some((text.strip_suffix(word)?, *long)));
        let seconds = found.and_then(|(number, long)| match (number, long) {
            ("", 60 | 3600) if text.len() > 1 => Some(long),
            _ => plain(number)?.checked_mul(long),
        });
        let fits = seconds.filter(|seconds| (1..=Self::MAX).contains(seconds)).map(Self);
        fits.ok_or_else(|| "a time is 1s to 24h, such as 10s, min, 5min or hour".to_owned())
    }
}

/// A whole number above zero, without sign or leading zeros.
pub(super) fn plain(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|number| digits && *number <= MAX_COUNT)
}

/// A bound on how many payments a sliding window holds: `20/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// The most; exactly so many are allowed.
    pub count: u32,
    /// How long the window is.
    pub span: Span,
}

shorthand!(Rate, "a number of payments and a time, such as 20/min, 100/hour or 5/10s");

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.span)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "a rate is NUMBER/TIME, the number 1 to {MAX_COUNT}, such as 20/min, 100/hour or \
                 5/10s"
            )
        };
        let (count, span) = text.split_once('/').ok_or_else(wrong)?;
        Ok(Self { count: plain(count).ok_or_else(wrong)?, span: span.parse()? })
    }
}

/// How many payments were let through in the buckets of a window that slides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// The counts, by number of the bucket.
    pub buckets: BTreeMap<i64, u32>,
    /// Of equal payments: whether the operator was told that they are too many.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flagged: bool,
}

impl Pace {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    pub(super) fn add(&mut self, span: Span, many: u32, at: Timestamp) {
        let bucket = span.bucket(at);
        let oldest = bucket.saturating_sub(BUCKETS);
        self.buckets.retain(|bucket, _| *bucket >= oldest);
        let count = self.buckets.entry(bucket).or_default();
        *count = count.saturating_add(many);
    }

    fn counted(&self, span: Span, now: Timestamp) -> impl Iterator<Item = (i64, u32)> {
        let back = BUCKETS.saturating_sub(i64::from(planted::is(Bug::PaceTooShort)));
        let oldest = span.bucket(now).saturating_sub(back);
        self.buckets.range(oldest..).map(|(bucket, count)| (*bucket, *count))
    }

    fn count(&self, span: Span, now: Timestamp) -> u32 {
        self.counted(span, now).fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// When at most `bearable` of what counts at `now` is left.
    fn frees(&self, span: Span, bearable: u32, now: Timestamp) -> Timestamp {
        let mut left = self.count(span, now);
        for (bucket, count) in self.counted(span, now) {
            left = left.saturating_sub(count);
            if left <= bearable {
                let leaves = bucket.saturating_add(BUCKETS).saturating_add(1);
                let at = leaves.saturating_mul(span.width());
                return Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX);
            }
        }
        now
    }

    /// How many there were, and until when there is no room for one more; nothing if there is.
    pub(super) fn full(&self, rate: Rate, now: Timestamp) -> Option<(u32, Timestamp)> {
        let bearable = rate.count.saturating_sub(1);
        (self.fitting(rate, now) == 0)
            .then(|| (self.count(rate.span, now), self.frees(rate.span, bearable, now)))
    }

    /// For how many there is room at `now`, one right after the other.
    fn fitting(&self, rate: Rate, now: Timestamp) -> u32 {
        let one_more = u32::from(planted::is(Bug::PaceOneMore));
        rate.count.saturating_add(one_more).saturating_sub(self.count(rate.span, now))
    }
}

/// What makes two payments equal.
fn kind(service: &ServiceId, amount: Usd) -> String {
    if planted::is(Bug::BurstIgnoresAmount) {
        return service.to_string();
    }
    format!("{service} {}", amount.decimal())
}

impl Book {
    /// How many payments there were in the time of `rate`, if that is as many as it allows, and
    /// when there is room for another.
    pub(super) fn paced(&self, rate: Rate, now: Timestamp) -> Option<(u32, Timestamp)> {
        self.paces.get(&rate.span)?.full(rate, now)
    }

    /// How many payments there were in the time of `rate`.
    pub(super) fn let_through(&self, rate: Rate, now: Timestamp) -> u32 {
        self.paces.get(&rate.span).map_or(0, |pace| pace.count(rate.span, now))
    }

    /// How many equal to one of `amount` to `service`.
    pub(super) fn let_alike(
        &self,
        rate: Rate,
        (service, amount): (&ServiceId, Usd),
        now: Timestamp,
    ) -> u32 {
        self.bursts.get(&kind(service, amount)).map_or(0, |pace| pace.count(rate.span, now))
    }

    /// Until when the next payment has to wait after the last one, if it does at `now`.
    pub(super) fn cools_until(&self, cooldown: Span, now: Timestamp) -> Option<Timestamp> {
        let short = i64::from(planted::is(Bug::CooldownIsShort));
        let long = SignedDuration::from_secs(i64::from(cooldown.0).saturating_sub(short));
        let until = self.last_paid?.checked_add(long).unwrap_or(Timestamp::MAX);
        (now < until).then_some(until)
    }

    /// The same of payments equal to one of `amount` to `service`.
    pub(super) fn burst(
        &self,
        rate: Rate,
        (service, amount): (&ServiceId, Usd),
        now: Timestamp,
    ) -> Option<(u32, Timestamp)> {
        self.bursts.get(&kind(service, amount))?.full(rate, now)
    }

    /// Whether the operator was told of payments equal to one of `amount` to `service`.
    pub(super) fn is_flagged(&self, (service, amount): (&ServiceId, Usd)) -> bool {
        let told = self.bursts.get(&kind(service, amount)).is_some_and(|pace| pace.flagged);
        told && !planted::is(Bug::FlaggedAgain)
    }

    /// Folds in that the operator was told of them.
    pub(super) fn set_flagged(&mut self, (service, amount): (&ServiceId, Usd)) {
        if let Some(pace) = self.bursts.get_mut(&kind(service, amount)) {
            pace.flagged = true;
        }
    }

    /// How many payments equal to one of `amount` to `service` all paces let through at `now`, if
    /// they let one: those that come at one moment count in one bucket.
    pub(super) fn paces_fit(&self, (service, amount): (&ServiceId, Usd), now: Timestamp) -> u32 {
        if self.mandate.cooldown.is_some() {
            return 1;
        }
        let paced =
            self.mandate.rates.iter().filter_map(|rate| Some((self.paces.get(&rate.span)?, rate)));
        let rates = paced.map(|(pace, rate)| pace.fitting(*rate, now));
        let stops = self.mandate.burst.filter(|burst| burst.action != Action::Flag);
        let equal = stops.map(|burst| match self.bursts.get(&kind(service, amount)) {
            Some(pace) => pace.fitting(burst.rate, now),
            None => Pace::default().fitting(burst.rate, now),
        });
        rates.chain(equal).min().unwrap_or(u32::MAX)
    }

    /// The bursts of payments equal to one of `amount` to `service`, and of no others.
    pub(super) fn bursts_of(&self, (service, amount): (&ServiceId, Usd)) -> BTreeMap<String, Pace> {
        let kind = kind(service, amount);
        self.bursts.get(&kind).map(|pace| (kind.clone(), pace.clone())).into_iter().collect()
    }

    /// Folds in a payment that was let through at `at`.
    pub(super) fn pace(&mut self, hold: &Hold, at: Timestamp) {
        self.pace_many(hold, 1, at);
    }

    /// The same for so many payments like it at once.
    pub(super) fn pace_many(&mut self, hold: &Hold, many: u32, at: Timestamp) {
        for (span, pace) in &mut self.paces {
            pace.add(*span, many, at);
        }
        self.last_paid = self.mandate.cooldown.map(|_| at);
        let Some(burst) = self.mandate.burst else { return };
        let (span, kind) = (burst.rate.span, kind(&hold.service, hold.amount));
        self.bursts.retain(|_, pace| pace.count(span, at) > 0);
        if self.bursts.len() >= MAX_KINDS && !self.bursts.contains_key(&kind) {
            let newest = |pace: &Pace| pace.buckets.last_key_value().map(|(bucket, _)| *bucket);
            let oldest = self.bursts.iter().min_by_key(|(_, pace)| newest(pace));
            if let Some(kind) = oldest.map(|(kind, _)| kind.clone()) {
                self.bursts.remove(&kind);
            }
        }
        self.bursts.entry(kind).or_default().add(span, many, at);
    }

    /// Folds in the paces of another mandate: one that is new counts from now on.
    pub(super) fn set_paces(&mut self, to: &Mandate) {
        self.paces.retain(|span, _| to.rates.iter().any(|rate| rate.span == *span));
        for rate in &to.rates {
            self.paces.entry(rate.span).or_default();
        }
        let span = |mandate: &Mandate| mandate.burst.map(|burst| burst.rate.span);
        if span(&self.mandate) != span(to) {
            self.bursts.clear();
        }
        if to.denials.is_none() {
            self.throttled = None;
        }
        if to.cooldown.is_none() {
            self.last_paid = None;
        }
    }
}
