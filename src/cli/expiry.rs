//! When a mandate ends, as people type it.

use jiff::{SignedDuration, Timestamp};

use super::output::Failure;
use crate::clock::Clock;

/// A time, or a span from now.
#[derive(Clone, Copy, Debug)]
pub enum Expiry {
    /// At this instant.
    At(Timestamp),
    /// So long from now, in whole hours.
    In(SignedDuration),
}

/// Reads one, for clap.
pub fn expiry(text: &str) -> Result<Expiry, String> {
    let wrong = || {
        format!(
            "`{text}` is neither a span such as 30d or 12h nor a time such as 2026-12-31T00:00:00Z"
        )
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Expiry::At(at));
    }
    let span = text
        .strip_suffix('d')
        .map(|days| (days, 24))
        .or(text.strip_suffix('h').map(|hours| (hours, 1)));
    let (number, hours) = span.ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let hours =
        i64::from(number).checked_mul(hours).filter(|hours| *hours > 0).ok_or_else(wrong)?;
    SignedDuration::try_from_hours(hours).map(Expiry::In).ok_or_else(wrong)
}

/// Reads how long something overlaps, in seconds, for clap: 24h, 30m, 7d or 0.
pub(super) fn overlap(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is not a span such as 24h, 30m or 7d, of 90 days at most");
    let units = [('d', 24 * 60 * 60), ('h', 60 * 60), ('m', 60), ('s', 1)];
    let unit = units.into_iter().find(|(letter, _)| text.ends_with(*letter));
    let (number, seconds) = match unit {
        Some((letter, seconds)) => (text.trim_end_matches(letter), seconds),
        None if text == "0" => ("0", 1),
        None => return Err(wrong()),
    };
    let number = number.parse::<u32>().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|seconds| *seconds <= MAX_OVERLAP_S).ok_or_else(wrong)
}

/// How long a token that was replaced may go on at most.
const MAX_OVERLAP_S: u32 = 90 * 24 * 60 * 60;

impl Expiry {
    /// The time, for what ends then.
    pub(super) fn at(self, clock: &Clock, what: &str) -> Result<Timestamp, Failure> {
        let at = match self {
            Self::At(at) => Ok(at),
            Self::In(span) => clock.now().checked_add(span),
        };
        let usage = |message: String| Failure::Usage {
            message,
            hint: "give a time to come, such as `--expires 30d`".to_owned(),
        };
        match at {
            Ok(at) if at > clock.now() => Ok(at),
            Ok(_) => Err(usage(format!("the {what} would be over before it begins"))),
            Err(_) => Err(usage(format!("the {what} would end beyond the calendar"))),
        }
    }
}
