//! The windows that a payment counts in, as its entries have them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::window::Period;

/// The ids of the calendar windows that contained a payment when its money was set aside.
///
/// Each is the second its window opened. Entries store them, and nothing recomputes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// The hour.
    pub hour: i64,
    /// The day.
    pub day: i64,
    /// The week.
    pub week: i64,
    /// The month.
    pub month: i64,
    /// The minute since 1970, where a rolling cap needs it: its buckets are so many minutes long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<i64>,
}

impl Windows {
    /// The id for a period of the calendar; a lifetime has but one window.
    pub fn id(&self, period: Period) -> Option<i64> {
        match period {
            Period::Hour => Some(self.hour),
            Period::Day => Some(self.day),
            Period::Week => Some(self.week),
            Period::Month => Some(self.month),
            Period::Lifetime => Some(Timestamp::MIN.as_second()),
            Period::Rolling(_) | Period::Run | Period::Task => None,
        }
    }
}

/// A change of the time zone: the windows that are open take their end from the new zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The windows that are open.
    pub open: Windows,
    /// The second each of them ends; from there on the windows are the new zone's.
    pub until: Windows,
}

impl Moved {
    /// When the window of a period that was open began, and when it ends.
    pub fn window(&self, period: Period) -> Option<(Timestamp, Timestamp)> {
        let second = |windows: &Windows| Timestamp::from_second(windows.id(period)?).ok();
        let until = second(&self.until).filter(|_| period != Period::Lifetime)?;
        Some((second(&self.open)?, until))
    }
}
