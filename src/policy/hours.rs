//! Active hours: at what times of the day, and on which days of the week, an agent may pay.
//!
//! They are what a clock on the wall of the mandate's zone shows. Where clocks go back, an hour
//! that is shown twice is open twice; what they leave out is not open that day.

use std::{borrow::Cow, fmt, iter, str::FromStr};

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime, Weekday},
    tz::{AmbiguousOffset, TimeZone},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, SeqAccess, Visitor},
};

use super::{
    mandate::{Mandate, bounded},
    pace::shorthand,
    planted::{self, Bug},
};

/// The most ranges of a day.
const MAX_RANGES: usize = 8;
/// How many days are looked through for the next opening, from the day before on: a day of the week
/// whose hours the clocks leave out comes again after two weeks.
const LOOKED_THROUGH: i64 = 17;
/// How many changes of the clocks are looked at in that time.
const CHANGES: usize = 16;
/// The minutes of a day.
const DAY: u16 = 24 * 60;
/// The days of a week, as they are written.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A stretch of a day, in minutes since midnight; it goes over midnight where it ends no later than
/// it begins. Its end is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    from: u16,
    to: u16,
}

impl Range {
    const WHOLE: Self = Self { from: 0, to: DAY };

    /// Whether it holds a minute of the day it begins on, or of the day after.
    fn holds(self, minute: u16, is_next_day: bool) -> bool {
        let over = self.to <= self.from && !planted::is(Bug::HoursEndAtMidnight);
        match (over, is_next_day) {
            (false, false) => (self.from..self.to).contains(&minute),
            (false, true) => false,
            (true, false) => minute >= self.from,
            (true, true) => minute < self.to,
        }
    }
}

/// The times of the day at which an agent may pay: `09:00-18:00`, or several of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ActiveHours(Vec<Range>);

shorthand!(
    ActiveHours,
    "times of the day, such as 09:00-18:00, 22:00-06:00 (over midnight) or 09:00-12:00,13:00-17:00"
);

impl fmt::Display for ActiveHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |minute: u16| (minute.checked_div(60), minute.checked_rem(60));
        for (number, Range { from, to }) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let (from, to) = (clock(*from), clock(*to));
            let two = |part: Option<u16>| part.unwrap_or_default();
            let (begin, end) = ((two(from.0), two(from.1)), (two(to.0), two(to.1)));
            write!(f, "{comma}{:02}:{:02}-{:02}:{:02}", begin.0, begin.1, end.0, end.1)?;
        }
        Ok(())
    }
}

impl FromStr for ActiveHours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "hours are HH:MM-HH:MM such as 09:00-18:00 or 22:00-06:00, several with a comma \
             between them"
                .to_owned()
        };
        let mut ranges = Vec::new();
        for range in text.split(',') {
            let (from, to) = range.trim().split_once('-').ok_or_else(wrong)?;
            let from = minute(from).filter(|from| *from < DAY).ok_or_else(wrong)?;
            let to = minute(to).ok_or_else(wrong)?;
            if from == to {
                return Err("hours that end as they begin never open".to_owned());
            }
            ranges.push(Range { from, to });
        }
        if ranges.len() > MAX_RANGES {
            return Err(format!("a day has at most {MAX_RANGES} such hours"));
        }
        ranges.sort_unstable();
        ranges.dedup();
        Ok(Self(ranges))
    }
}

/// The minutes since midnight that `HH:MM` says.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_digit());
        part.parse::<u16>().ok().filter(|_| digits)
    };
    let minutes = two(hour)?.checked_mul(60)?.checked_add(two(minute).filter(|m| *m < 60)?)?;
    Some(minutes).filter(|minutes| *minutes <= DAY)
}

/// The days of the week on which an agent may pay, by the day on which its hours begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "Vec<String>")]
pub struct ActiveDays(u8);

impl<'de> Deserialize<'de> for ActiveDays {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Days)
    }
}

/// Reads days as a list of them, or in the one text that the command line takes.
struct Days;

impl<'de> Visitor<'de> for Days {
    type Value = ActiveDays;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("days of the week")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ActiveDays, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ActiveDays, A::Error> {
        let mut days = Vec::new();
        while let Some(word) = list.next_element::<Cow<'de, str>>()? {
            days.push(day(&word).map_err(de::Error::custom)?);
        }
        ActiveDays::of(days).map_err(de::Error::custom)
    }
}

impl ActiveDays {
    fn of(days: impl IntoIterator<Item = usize>) -> Result<Self, String> {
        let bit = |day| u32::try_from(day).ok().and_then(|day| 1_u8.checked_shl(day));
        let mask = days.into_iter().filter_map(bit).fold(0, |mask, bit| mask | bit);
        if mask == 0 {
            Err("name at least one day, such as mon".to_owned())
        } else {
            Ok(Self(mask))
        }
    }

    fn has(self, day: usize) -> bool {
        u32::try_from(day).ok().and_then(|day| self.0.checked_shr(day)).is_some_and(|d| d & 1 == 1)
    }

    fn words(self) -> impl Iterator<Item = &'static str> {
        DAYS.into_iter().enumerate().filter(move |(day, _)| self.has(*day)).map(|(_, word)| word)
    }
}

/// The number of a day of the week, from Monday on.
fn day(word: &str) -> Result<usize, String> {
    let known = || {
        let word = if word.is_empty() { "nothing" } else { &format!("`{}`", bounded(word)) };
        format!("{word} is none of the days {}", DAYS.join(", "))
    };
    DAYS.iter().position(|day| *day == word).ok_or_else(known)
}

fn weekday(date: Date) -> usize {
    let since_monday = date.weekday().since(Weekday::Monday);
    usize::try_from(since_monday).unwrap_or_default()
}

impl From<ActiveDays> for Vec<String> {
    fn from(days: ActiveDays) -> Self {
        days.words().map(str::to_owned).collect()
    }
}

impl FromStr for ActiveDays {
    type Err = String;

    /// Reads `mon,wed` or `mon-fri`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut days = Vec::new();
        for part in text.split(',') {
            match part.trim().split_once('-') {
                None => days.push(day(part.trim())?),
                Some((from, to)) => {
                    let (from, to) = (day(from)?, day(to)?);
                    // From Friday to Monday is over the end of the week.
                    let all = || (0..DAYS.len()).cycle().skip_while(|day| *day != from);
                    let long = all().position(|day| day == to).unwrap_or_default();
                    days.extend(all().take(long.saturating_add(1)));
                }
            }
        }
        Self::of(days)
    }
}

impl fmt::Display for ActiveDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.words().collect();
        let first = (0..DAYS.len()).find(|day| self.has(*day)).unwrap_or_default();
        let in_a_row = (first..).zip(&words).all(|(day, _)| self.has(day));
        match words.as_slice() {
            [first, _, .., last] if in_a_row => write!(f, "{first}-{last}"),
            words => f.write_str(&words.join(",")),
        }
    }
}

impl schemars::JsonSchema for ActiveDays {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ActiveDays".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"oneOf": [
            {"type": "array", "items": {"type": "string", "enum": DAYS}, "minItems": 1},
            {"type": "string", "description": "days as mon-fri or mon,wed"}
        ]})
    }
}

/// The hours and days of a mandate.
#[derive(Clone, Copy)]
struct Active<'a> {
    ranges: &'a [Range],
    days: Option<ActiveDays>,
}

impl Active<'_> {
    fn on(self, day: usize) -> bool {
        self.days.is_none_or(|days| days.has(day))
    }

    /// Whether a minute of a day of the week is open.
    fn shows(self, today: usize, minute: u16) -> bool {
        let yesterday = today.checked_sub(1).unwrap_or(DAYS.len().saturating_sub(1));
        self.ranges.iter().any(|range| {
            self.on(today) && range.holds(minute, false)
                || self.on(yesterday) && range.holds(minute, true)
        })
    }

    fn holds(self, at: Timestamp, zone: &TimeZone) -> bool {
        let local = zone.to_datetime(at);
        let hour = u16::try_from(local.hour()).unwrap_or_default();
        let minute = u16::try_from(local.minute()).unwrap_or_default();
        self.shows(weekday(local.date()), hour.saturating_mul(60).saturating_add(minute))
    }

    /// When it is open from `at` on: it begins where a range does, or where the clocks change.
    fn opens(self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.holds(at, zone) {
            return Some(at);
        }
        let before = zone.to_datetime(at).date().yesterday().ok()?;
        let dates = (0..LOOKED_THROUGH).filter_map(|days| before.checked_add(days.days()).ok());
        let begins = dates.flat_map(|date| {
            self.ranges.iter().filter_map(move |range| {
                let minutes = i64::from(range.from).minutes();
                date.to_datetime(jiff::civil::Time::midnight()).checked_add(minutes).ok()
            })
        });
        let changes = zone.following(at).map(|change| change.timestamp()).take(CHANGES);
        let moments = begins.flat_map(|begin| moments(begin, zone)).chain(changes);
        moments.filter(|moment| *moment > at && self.holds(*moment, zone)).min()
    }
}

/// The moments at which clocks show a time: two where it is shown twice, and where it is left out
/// those that either side of the change would make of it.
fn moments(shown: DateTime, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
    let (one, other) = match zone.to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { offset } => (offset, None),
        AmbiguousOffset::Gap { before, after } | AmbiguousOffset::Fold { before, after } => {
            (before, Some(after))
        }
    };
    iter::once(one).chain(other).filter_map(move |offset| offset.to_timestamp(shown).ok())
}

impl Mandate {
    fn active(&self) -> Option<Active<'_>> {
        if self.hours.is_none() && self.days.is_none() {
            return None;
        }
        let ranges = self.hours.as_ref().map_or(&[Range::WHOLE][..], |hours| &hours.0);
        Some(Active { ranges, days: self.days })
    }

    fn clocks(&self) -> TimeZone {
        if planted::is(Bug::HoursOfUtc) { TimeZone::UTC } else { self.zone.clocks().clone() }
    }

    /// Whether `at` is in its hours.
    pub(super) fn is_open(&self, at: Timestamp) -> bool {
        self.active().is_none_or(|active| active.holds(at, &self.clocks()))
    }

    /// When its hours, if it has any, are open from `at` on; nothing if it is over before.
    pub(super) fn opens(&self, at: Timestamp) -> Option<Timestamp> {
        let opens = match self.active() {
            None if planted::is(Bug::WaitsForNothing) => return Some(at),
            None => at,
            Some(active) => active.opens(at, &self.clocks())?,
        };
        Some(opens).filter(|opens| self.expires_at.is_none_or(|end| *opens < end))
    }

    /// Its hours in words, if it has any: `mon-fri 09:00-18:00`.
    pub fn active_words(&self) -> Option<String> {
        words(self.hours.as_ref(), self.days)
    }

    /// Whether `other` is open at no time of the week at which this is not.
    pub(super) fn covers_hours_of(&self, other: &Self) -> bool {
        let (Some(own), Some(theirs)) = (self.active(), other.active()) else {
            return self.active().is_none();
        };
        (0..DAYS.len())
            .all(|day| (0..DAY).all(|minute| !theirs.shows(day, minute) || own.shows(day, minute)))
    }
}

/// Hours and days in words, if there are any.
pub fn words(hours: Option<&ActiveHours>, days: Option<ActiveDays>) -> Option<String> {
    let parts = [days.map(|days| days.to_string()), hours.map(ToString::to_string)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}
