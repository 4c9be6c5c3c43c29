//! When a mandate ends, as people type it.

use jiff::{SignedDuration, Timestamp};

use super::output::Failure;
use crate::clock::Clock;

/// A time, or a span from now.
#[derive(Clone, Copy, Debug)]
pub enum Expiry {
    /// At this instant.
    At(Timestamp),
    /// So long from now, in whole seconds.
    In(SignedDuration),
}

/// What spans are given in, and how many seconds each is.
const UNITS: [(char, u32); 4] = [('d', 24 * 60 * 60), ('h', 60 * 60), ('m', 60), ('s', 1)];

/// Reads one, for clap.
pub fn expiry(text: &str) -> Result<Expiry, String> {
    let wrong = || {
        format!(
            "`{text}` is neither a span such as 30d, 12h or 30m nor a time such as \
             2026-12-31T00:00:00Z"
        )
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Expiry::At(at));
    }
    let seconds = seconds(text).filter(|seconds| *seconds > 0).ok_or_else(wrong)?;
    Ok(Expiry::In(SignedDuration::from_secs(seconds)))
}

/// Reads how long something overlaps, in seconds, for clap: 24h, 30m, 7d or 0.
pub(super) fn overlap(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is not a span such as 24h, 30m or 7d, of 90 days at most");
    let seconds = if text == "0" { Some(0) } else { seconds(text) };
    let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
    seconds.filter(|seconds| *seconds <= MAX_OVERLAP_S).ok_or_else(wrong)
}

/// The seconds of a whole number and its unit.
fn seconds(text: &str) -> Option<i64> {
    let (letter, seconds) = UNITS.into_iter().find(|(letter, _)| text.ends_with(*letter))?;
    let number: u32 = text.strip_suffix(letter)?.parse().ok()?;
    i64::from(number).checked_mul(i64::from(seconds))
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

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::{Expiry, expiry, overlap};

    #[test]
    fn what_ends_and_what_overlaps_take_the_same_spans() {
        for (text, seconds) in [("45s", 45), ("30m", 1_800), ("12h", 43_200), ("7d", 604_800)] {
            let span = SignedDuration::from_secs(i64::from(seconds));
            assert!(matches!(expiry(text), Ok(Expiry::In(read)) if read == span), "{text}");
            assert_eq!(overlap(text), Ok(seconds), "{text}");
        }
        for wrong in ["", "m", "30", "3w", "-1h", "1.5h", "1hh", "4294967296s", "\u{e4}"] {
            assert!(expiry(wrong).is_err() && overlap(wrong).is_err(), "{wrong}");
        }
        // A time that is over is none, an overlap of nothing is one, and neither lasts for ever.
        assert!(expiry("0m").is_err() && expiry("0").is_err());
        assert_eq!(overlap("0"), Ok(0));
        assert!(overlap("91d").is_err() && expiry("91d").is_ok());
    }
}
