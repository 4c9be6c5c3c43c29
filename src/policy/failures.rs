//! Calls that fail again and again: when an API is not asked the same once more.
//!
//! A call that fails costs nothing, so no cap ends a loop of them. From the third on, an equal call
//! of one that its API refused twice in a row is not sent; what may be different in a moment (429,
//! 5xx, nobody there) is tried ten times. After a minute one more is let through, and after each
//! that fails twice as long as before, up to an hour. Whatever else is paid, or fails, ends it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    book::Book,
    entry::{Entry, Fact, Hash, Hold, VoidCause},
    names::{Handle, ServiceId},
    state::State,
    stop::throttle,
};

/// How often a call is sent that its API refuses for what it is.
const REFUSED: u64 = 2;
/// How often one is sent that fails for what may be different in a moment.
const FOR_NOW: u64 = 10;

/// Equal calls that failed, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// Of which service.
    pub service: ServiceId,
    /// What tells the call from another.
    pub request: Hash,
    /// Why.
    pub how: Failed,
    /// How many there were.
    pub times: u64,
    /// When the last one failed (µs since 1970 on disk).
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub last: Timestamp,
}

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failed {
    /// The call is refused for what it is, and will be again.
    Refused,
    /// It may be different in a moment, or nobody was reached.
    ForNow,
}

impl Failed {
    /// What the status of an answer says that costs nothing, where it has one.
    pub fn with(status: Option<u16>) -> Self {
        match status {
            Some(408 | 425 | 429) => Self::ForNow,
            Some(400..=499) => Self::Refused,
            Some(_) | None => Self::ForNow,
        }
    }

    /// How often an equal call is sent.
    fn sent(self) -> u64 {
        match self {
            Self::Refused => REFUSED,
            Self::ForNow => FOR_NOW,
        }
    }
}

impl State {
    /// Folds in whether a call failed, before the end of its hold is.
    pub(super) fn count_failures(&mut self, agent: &Handle, entry: &Entry) {
        let (payment, how) = if let Fact::Failed { payment, status: status @ Some(_) } = &entry.fact
        {
            (payment, Failed::with(*status))
        } else if let Fact::Voided { payment, cause: VoidCause::NotSent | VoidCause::NotReady } =
            &entry.fact
        {
            (payment, Failed::ForNow)
        } else {
            let ends = matches!(
                &entry.fact,
                Fact::Captured { .. } | Fact::Paid(_) | Fact::Unfrozen { .. }
            );
            if let Some(book) = self.books.get_mut(agent).filter(|_| ends) {
                book.failures = None;
            }
            return;
        };
        let hold = self.open(*payment).map(|open| open.hold.clone());
        if let (Some(hold), Some(book)) = (hold, self.books.get_mut(agent)) {
            book.fail(&hold, how, entry.at);
        }
    }
}

impl Book {
    fn fail(&mut self, hold: &Hold, how: Failed, at: Timestamp) {
        let Some(request) = hold.request else { return };
        let service = hold.service.clone();
        let known = self.failures.take();
        let equal = known.filter(|known| known.is_of(&service, request) && known.how == how);
        let times = equal.map_or(0, |known| known.times).saturating_add(1);
        self.failures = Some(Failures { service, request, how, times, last: at });
    }

    /// Whether a call is not sent at `now`, for it failed too often.
    pub fn fails_again(&self, hold: &Hold, now: Timestamp) -> bool {
        let (Some(known), Some(request)) = (&self.failures, hold.request) else { return false };
        if !known.is_of(&hold.service, request) {
            return false;
        }
        let Some(over) = known.times.checked_sub(known.how.sent()) else { return false };
        known.last.checked_add(throttle(over)).is_ok_and(|until| now < until)
    }
}

impl Failures {
    fn is_of(&self, service: &ServiceId, request: Hash) -> bool {
        self.service == *service && self.request == request
    }
}
