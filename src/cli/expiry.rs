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

impl Expiry {
    pub(super) fn at(self, clock: &Clock) -> Result<Timestamp, Failure> {
        let at = match self {
            Self::At(at) => Ok(at),
            Self::In(span) => clock.now().checked_add(span),
        };
        let usage = |message: &str| Failure::Usage {
            message: message.to_owned(),
            hint: "give a time to come, such as `--expires 30d`".to_owned(),
        };
        match at {
            Ok(at) if at > clock.now() => Ok(at),
            Ok(_) => Err(usage("the mandate would be over before it begins")),
            Err(_) => Err(usage("the mandate would end beyond the calendar")),
        }
    }
}
