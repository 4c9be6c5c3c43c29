//! Windows: the concrete hour, day, week or month that contains an instant.
//!
//! They are computed from the clock and a time zone, never reset by a job, and they tile time:
//! every instant lies in exactly one window of each period, in every zone, across every change
//! of offset.

use std::{borrow::Cow, cell::RefCell, collections::BTreeMap, fmt, str::FromStr};

use jiff::{
    Timestamp, ToSpan, Unit,
    civil::{Date, Time},
    tz::{Offset, TimeZone},
};
use serde::{Deserialize, Serialize};

use super::planted::{self, Bug};

/// The kind of window a cap is counted in, from the narrowest to the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Period {
    /// An hour of the zone's wall clock.
    Hour,
    /// A civil day of the zone.
    Day,
    /// Monday to Sunday (ISO 8601).
    Week,
    /// A calendar month.
    Month,
    /// The hours just before now, whatever the calendar says.
    Rolling(Hours),
    /// One invocation of the agent, as the operator named it; without a name, the day.
    Run,
    /// One task.
    Task,
    /// From the agent's first payment to its last.
    Lifetime,
}

/// How long a rolling window is: 1 to 744 hours, which is 31 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Hours(u16);

impl TryFrom<u16> for Hours {
    type Error = String;
    fn try_from(hours: u16) -> Result<Self, String> {
        Self::new(hours).ok_or_else(|| format!("{hours} hours are not 1 to {}", Self::MAX))
    }
}

impl From<Hours> for u16 {
    fn from(hours: Hours) -> Self {
        hours.0
    }
}

impl Hours {
    /// The longest rolling window.
    pub const MAX: u16 = 31 * 24;

    /// So many hours, if a rolling window can be that long.
    pub fn new(hours: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&hours).then_some(Self(hours))
    }

    /// How many.
    pub fn get(self) -> i64 {
        i64::from(self.0)
    }
}

/// The longest that a day is, where the clocks go back, and so a week.
const LONGEST_DAY: i64 = 25;
const LONGEST_WEEK: i64 = 7 * 24 + 1;
/// A rolling window is rounded to so many parts, and reaches back by up to one more.
const PARTS: i64 = 60;

impl Period {
    /// Whether all that counts in one window of `other`, of the same zone, counts in one of this
    /// too: a month has all of each of its days, and not of each of its weeks.
    pub(super) fn spans(self, other: Self) -> bool {
        match (self, other) {
            (Self::Lifetime, _)
            | (Self::Month | Self::Week, Self::Day | Self::Hour)
            | (Self::Day | Self::Rolling(_), Self::Hour) => true,
            (Self::Rolling(hours), Self::Day) => hours.get() >= LONGEST_DAY,
            (Self::Rolling(hours), Self::Week) => hours.get() >= LONGEST_WEEK,
            (Self::Rolling(long), Self::Rolling(short)) => {
                let reach = short.get().saturating_mul(PARTS.saturating_add(1));
                long == short || long.get().saturating_mul(PARTS) >= reach
            }
            (one, another) => one == another,
        }
    }

    /// The periods of which every payment is counted in one window, capped or not.
    pub const CALENDAR: [Self; 5] =
        [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Lifetime];

    /// How a sentence says when a cap counts: `per day`, `in any 24 h`, `in all`.
    pub fn during(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Hour => "per hour",
            Self::Day => "per day",
            Self::Week => "per week",
            Self::Month => "per month",
            Self::Rolling(hours) => return format!("in any {} h", hours.get()).into(),
            Self::Run => "per run",
            Self::Task => "per task",
            Self::Lifetime => "in all",
        })
    }

    /// How a sentence names the current window: `today's cap`.
    pub fn possessive(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Hour => "this hour's",
            Self::Day => "today's",
            Self::Week => "this week's",
            Self::Month => "this month's",
            Self::Rolling(hours) if hours.get() == 1 => "the last 60 minutes'",
            Self::Rolling(hours) => return format!("the last {} hours'", hours.get()).into(),
            Self::Run => "this run's",
            Self::Task => "this task's",
            Self::Lifetime => "the lifetime",
        })
    }
}

impl fmt::Display for Period {
    /// The word that people type and the wire carries: `day`, `rolling_24h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Rolling(hours) => return write!(f, "rolling_{}h", hours.get()),
            Self::Run => "run",
            Self::Task => "task",
            Self::Lifetime => "lifetime",
        })
    }
}

impl FromStr for Period {
    type Err = String;

    /// Reads a period's word; `24h` is short for `rolling_24h`.
    fn from_str(text: &str) -> Result<Self, String> {
        let rolling = || {
            let hours = text.strip_prefix("rolling_").unwrap_or(text).strip_suffix('h')?;
            let plain = hours.bytes().all(|digit| digit.is_ascii_digit());
            let hours = hours.parse().ok().filter(|_| plain && !hours.starts_with('0'))?;
            Hours::new(hours).map(Self::Rolling)
        };
        let mut known = Self::CALENDAR.into_iter().chain([Self::Run, Self::Task]);
        let named = known.find(|period| period.to_string() == text);
        named.or_else(rolling).ok_or_else(|| {
            "the periods are hour, day, week, month, lifetime, run, task, and 1h to 744h for any \
             so many hours in a row"
                .to_owned()
        })
    }
}

impl TryFrom<String> for Period {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl schemars::JsonSchema for Period {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "hour, day, week, month, rolling_24h (any number of hours), run, task \
                            or lifetime"
        })
    }
}

/// An IANA time zone by name, from the data bundled with the program; UTC unless said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Its clocks.
    pub(super) fn clocks(&self) -> &TimeZone {
        &self.0
    }

    /// The zone's IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The first instant of a day.
    pub(super) fn start_of(&self, day: Date) -> Option<Timestamp> {
        day.to_zoned(self.0.clone()).ok().map(|zoned| zoned.timestamp())
    }

    /// When the clocks show `time` next after `now`.
    pub(super) fn next(&self, time: Time, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned(self.0.clone()).date();
        let at = |day: Date| day.to_datetime(time).to_zoned(self.0.clone()).ok();
        let to_come = |day| at(day).map(|zoned| zoned.timestamp()).filter(|at| *at > now);
        to_come(today).or_else(|| to_come(today.tomorrow().ok()?))
    }
}

impl schemars::JsonSchema for Zone {
    fn schema_name() -> Cow<'static, str> {
        "Zone".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "an IANA time zone such as Europe/Paris"
        })
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || format!("`{name}` is not an IANA time zone such as Europe/Paris");
        // A POSIX rule is a zone to jiff but has no name to store.
        TimeZone::get(name)
            .ok()
            .filter(|zone| zone.iana_name().is_some())
            .map(Self)
            .ok_or_else(unknown)
    }
}

impl TryFrom<String> for Zone {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}

/// More changes of its offset than any zone has until the calendar ends, at several a year.
const CHANGES: usize = 50_000;

thread_local! {
    /// The last window found of each period. Windows tile time, so it is the answer for every
    /// instant in it, and nearly every payment falls where the one before it fell; finding it in
    /// the calendar costs more than the rest of the decision.
    static LAST: RefCell<BTreeMap<Period, (Zone, Window)>> = RefCell::default();
}

/// The window of one period that contains an instant: `start` is in it, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When it opened.
    pub start: Timestamp,
    /// When the next one opens; a lifetime never ends.
    pub end: Option<Timestamp>,
}

impl Window {
    /// The window of `period` in `zone` that contains `at`.
    ///
    /// At the far ends of the calendar, where the next boundary cannot be written down, it is
    /// all of time: a window that never ends refuses more, never less.
    pub fn containing(at: Timestamp, period: Period, zone: &Zone) -> Self {
        if cfg!(feature = "planted") {
            return Self::find(at, period, zone);
        }
        LAST.with_borrow_mut(|last| {
            let known = last.get(&period).filter(|(of, window)| of == zone && window.holds(at));
            let known = known.map(|(_, window)| *window);
            known.unwrap_or_else(|| {
                let window = Self::find(at, period, zone);
                if window.end.is_some() {
                    last.insert(period, (zone.clone(), window));
                }
                window
            })
        })
    }

    fn find(at: Timestamp, period: Period, zone: &Zone) -> Self {
        let zone = if planted::is(Bug::ZoneIgnored) { &Zone::utc() } else { zone };
        let bounds = match period {
            Period::Month if planted::is(Bug::MonthIsADay) => {
                return Self::find(at, Period::Day, zone);
            }
            Period::Hour => hour(at, &zone.0),
            Period::Day => civil(at, &zone.0, Some, |start| start.checked_add(1.day()).ok()),
            Period::Week => civil(at, &zone.0, monday, |start| start.checked_add(1.week()).ok()),
            Period::Month => civil(
                at,
                &zone.0,
                |date| Some(date.first_of_month()),
                |start| start.checked_add(1.month()).ok(),
            ),
            // Runs and tasks have no place in the calendar, and what rolls has its own buckets.
            Period::Rolling(_) | Period::Run | Period::Task | Period::Lifetime => None,
        };
        match bounds {
            Some((start, end)) => Self { start, end: Some(end) },
            None => Self { start: Timestamp::MIN, end: None },
        }
    }

    /// How many windows of a period of the calendar open from `from` on, when one does, and before
    /// `end`.
    pub fn count(period: Period, zone: &Zone, from: Timestamp, end: Timestamp) -> u32 {
        let Some(last) = end.checked_sub(1.nanosecond()).ok().filter(|last| from <= *last) else {
            return 0;
        };
        let window = Self::containing(last, period, zone);
        // At the end of the calendar, where windows are not told apart, that date's.
        let opens = if window.end.is_some() { window.start } else { last };
        let date = |at: Timestamp| at.to_zoned(zone.0.clone()).date();
        let (first, opens) = (date(from), date(opens));
        let days = || first.until(opens).map_or(0, |span| i64::from(span.get_days()));
        let month = |date: Date| {
            i64::from(date.year()).saturating_mul(12).saturating_add(date.month().into())
        };
        let later = match period {
            Period::Hour => return hours(&zone.0, from, last),
            Period::Day => days(),
            Period::Week => days().div_euclid(7),
            Period::Month => month(opens).saturating_sub(month(first)),
            Period::Rolling(_) | Period::Run | Period::Task | Period::Lifetime => return 0,
        };
        u32::try_from(later.saturating_add(1)).unwrap_or(0)
    }

    fn holds(&self, at: Timestamp) -> bool {
        self.start <= at && self.end.is_some_and(|end| at < end)
    }

    /// The window's id: the second it opened.
    pub fn id(&self) -> i64 {
        self.start.as_second()
    }
}

fn monday(date: Date) -> Option<Date> {
    let since_monday = i64::from(date.weekday().to_monday_zero_offset());
    date.checked_sub(since_monday.days()).ok()
}

/// The stretch of civil days from `first` of the local date up to `next` of it.
///
/// Where clocks go back over midnight a date occurs twice, with a day in between; the window of
/// the new date opens at its first midnight and stays open.
fn civil(
    at: Timestamp,
    zone: &TimeZone,
    first: impl Fn(Date) -> Option<Date>,
    next: impl Fn(Date) -> Option<Date>,
) -> Option<(Timestamp, Timestamp)> {
    let midnight = |date: Date| date.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp());
    let mut opens = first(at.to_zoned(zone.clone()).date())?;
    let mut closes = next(opens)?;
    if midnight(closes)? <= at && !planted::is(Bug::DateTwice) {
        opens = closes;
        closes = next(opens)?;
    }
    Some((midnight(opens)?, midnight(closes)?))
}

/// The local hour, cut where the zone's offset changes within it.
fn hour(at: Timestamp, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    let offset = zone.to_offset(at);
    let local = offset.to_datetime(at);
    let floor = local
        .round(jiff::civil::DateTimeRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Trunc))
        .ok()?;
    let floor = offset.to_timestamp(floor).ok()?;
    let ceiling = floor.checked_add(1.hour()).ok()?;
    if planted::is(Bug::HourNotCut) {
        return Some((floor, ceiling));
    }
    let start =
        change(zone.preceding(at.checked_add(1.nanosecond()).ok()?), zone, offset, floor, at);
    let end = change(zone.following(at), zone, offset, at, ceiling);
    Some((start.unwrap_or(floor), end.unwrap_or(ceiling)))
}

/// How many local hours there are from the one that opens at `from` to the one that `last` is in,
/// cut where the offset changes.
fn hours(zone: &TimeZone, from: Timestamp, last: Timestamp) -> u32 {
    let hour = |at: Timestamp, offset: Offset| {
        at.as_second().saturating_add(offset.seconds().into()).div_euclid(60 * 60)
    };
    let within = |from: Timestamp, last: Timestamp| {
        let offset = zone.to_offset(from);
        hour(last, offset).saturating_sub(hour(from, offset)).saturating_add(1)
    };
    let (mut all, mut opens) = (0_i64, from);
    let changes = zone.following(from).map(|transition| transition.timestamp());
    for at in changes.take_while(|at| *at <= last).take(CHANGES) {
        let Ok(before) = at.checked_sub(1.nanosecond()) else { continue };
        if zone.to_offset(before) != zone.to_offset(at) {
            all = all.saturating_add(within(opens, before));
            opens = at;
        }
    }
    u32::try_from(all.saturating_add(within(opens, last))).unwrap_or(u32::MAX)
}

/// The first of `transitions` between `after` and `before` that really changes the offset.
fn change<'t>(
    transitions: impl Iterator<Item = jiff::tz::TimeZoneTransition<'t>>,
    zone: &TimeZone,
    offset: Offset,
    after: Timestamp,
    before: Timestamp,
) -> Option<Timestamp> {
    transitions
        .map(|transition| transition.timestamp())
        .take_while(|moment| (after..=before).contains(moment))
        .find(|moment| {
            let earlier = moment.checked_sub(1.nanosecond()).map(|at| zone.to_offset(at));
            zone.to_offset(*moment) != offset || earlier.is_ok_and(|earlier| earlier != offset)
        })
}
