//! Moments as people and models write them: an instant, a day, a time of day, or a span.

use std::{fmt, str::FromStr};

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Time},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::window::Zone;

/// A moment, told in one of the ways in which people tell one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Moment {
    /// This instant: `2026-11-21T18:00:00Z`.
    At(Timestamp),
    /// The start of this day in the mandate's zone: `2026-11-21`.
    Day(Date),
    /// When the clocks of the mandate's zone show this: `18:00`.
    Clock(Time),
    /// So long from now, into the past or the future as it is asked: `24h`.
    Span(SignedDuration),
}

/// What a moment looks like.
const RULE: &str = "a time such as 2026-11-21T18:00:00Z, a day such as 2026-11-21, or a span such \
                    as 30m, 24h or 7d";
/// What spans are told in, and how many seconds each is.
const UNITS: [(char, i64); 4] = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];

impl Moment {
    /// The instant, of something that was: a span is how long ago, and a time of day says nothing.
    /// Beyond the calendar it is the end of it.
    pub fn past(self, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Day(day) => zone.start_of(day),
            Self::Clock(_) => None,
            Self::Span(span) => Some(now.checked_sub(span).unwrap_or(Timestamp::MIN)),
        }
    }

    /// The instant, of something that is to come: a span is how long from now, and a time of day
    /// is the next one.
    pub fn future(self, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Day(day) => zone.start_of(day),
            Self::Clock(time) => zone.next(time, now),
            Self::Span(span) => now.checked_add(span).ok(),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The library takes more forms than one of each, and what follows a date for a date.
        let shape: String =
            text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let told = match shape.as_str() {
            "0000-00-00" => text.parse().ok().map(Self::Day),
            "00:00" | "00:00:00" => text.parse().ok().map(Self::Clock),
            _ => span(text).map(Self::Span).or_else(|| text.parse().ok().map(Self::At)),
        };
        told.ok_or_else(|| format!("a moment is {RULE}"))
    }
}

fn span(text: &str) -> Option<SignedDuration> {
    let (letter, seconds) = UNITS.into_iter().find(|(letter, _)| text.ends_with(*letter))?;
    let digits = text.strip_suffix(letter)?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
    let number: u32 = digits.parse().ok().filter(|_| plain)?;
    i64::from(number).checked_mul(seconds).map(SignedDuration::from_secs)
}

impl fmt::Display for Moment {
    /// A text that [`Moment`] reads as the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => write!(f, "{at}"),
            Self::Day(day) => write!(f, "{day}"),
            Self::Clock(time) => write!(f, "{time}"),
            Self::Span(span) => write!(f, "{}s", span.as_secs()),
        }
    }
}

impl TryFrom<String> for Moment {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": RULE})
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::Moment;
    use crate::policy::window::Zone;

    fn of(text: &str) -> Moment {
        text.parse().unwrap()
    }

    #[test]
    fn each_way_to_tell_a_moment_means_one_instant() {
        let zone: Zone = "Europe/Paris".parse().unwrap();
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let past = |text| of(text).past(&zone, now).map(|at| at.to_string()).unwrap_or_default();
        assert_eq!(past("2026-11-20T06:00:00+01:00"), "2026-11-20T05:00:00Z");
        assert_eq!(past("2026-11-20"), "2026-11-19T23:00:00Z");
        assert_eq!(past("24h"), "2026-11-20T12:00:00Z");
        assert_eq!(past("18:00"), "", "of which day?");
        let next = |text| of(text).future(&zone, now).unwrap().to_string();
        assert_eq!(next("18:00"), "2026-11-21T17:00:00Z");
        assert_eq!(next("13:00"), "2026-11-22T12:00:00Z", "it is 13:00 there now: the next one");
        assert_eq!(next("2h"), "2026-11-21T14:00:00Z");
        assert_eq!(next("2026-11-23"), "2026-11-22T23:00:00Z");
        // A day that begins an hour late, for there is no midnight.
        let cairo: Zone = "Africa/Cairo".parse().unwrap();
        let day = of("2026-04-24").past(&cairo, now).unwrap();
        assert_eq!(day.to_string(), "2026-04-23T22:00:00Z");
    }

    #[test]
    fn a_moment_is_read_strictly_and_reads_back() {
        for text in ["2026-11-20T05:00:00Z", "2026-11-20", "18:00:00", "90s"] {
            assert_eq!(of(text).to_string(), text);
        }
        for wrong in [
            "",
            "h",
            "+1h",
            "-1h",
            "1.5h",
            "1w",
            "20261120",
            "2026-11-31",
            "2026-11-20T05:00:00",
            "24:00",
            "yesterday",
            "4294967296s",
            "2026-11-20 ",
            "\u{664}h",
        ] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }
}
