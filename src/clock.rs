//! The clock: the only place that reads the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Where the time comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A hand-set clock for tests, moved by whoever holds it.
    Fixed(Arc<Hands>),
}

/// The hands of a clock that is set by hand, in microseconds.
#[derive(Debug, Default)]
pub struct Hands {
    /// Since 1970.
    wall: AtomicI64,
    /// Since it was made; it never goes back.
    elapsed: AtomicI64,
}

impl Clock {
    /// A hand-set clock that stands at `at` until it is moved.
    pub fn fixed(at: Timestamp) -> Self {
        let wall = AtomicI64::new(at.as_microsecond());
        Self::Fixed(Arc::new(Hands { wall, elapsed: AtomicI64::default() }))
    }

    /// The time, to the microsecond that the record keeps.
    pub fn now(&self) -> Timestamp {
        let micros = match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one place")]
            Self::System => Timestamp::now().as_microsecond(),
            Self::Fixed(hands) => hands.wall.load(Ordering::SeqCst),
        };
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
    }

    /// The time that has really passed since some moment, also while the machine slept: nobody
    /// sets it, so it tells a clock that was set from time that passed.
    pub fn elapsed(&self) -> SignedDuration {
        match self {
            Self::System => {
                let passed = clock_gettime(PASSED);
                let nanos = i32::try_from(passed.tv_nsec).unwrap_or_default();
                SignedDuration::new(passed.tv_sec, nanos)
            }
            Self::Fixed(hands) => SignedDuration::from_micros(hands.elapsed.load(Ordering::SeqCst)),
        }
    }

    /// Lets time pass by a hand-set clock: `by` forward; back, it is only set. The machine's is
    /// left alone.
    pub fn advance(&self, by: SignedDuration) {
        self.set(by);
        if let Self::Fixed(hands) = self {
            hands.elapsed.fetch_add(micros(by).max(0), Ordering::SeqCst);
        }
    }

    /// Sets a hand-set clock by `by`, forward or back, without any time passing.
    pub fn set(&self, by: SignedDuration) {
        if let Self::Fixed(hands) = self {
            hands.wall.fetch_add(micros(by), Ordering::SeqCst);
        }
    }
}

/// What counts the time while the machine sleeps as well.
#[cfg(target_os = "linux")]
const PASSED: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const PASSED: ClockId = ClockId::Monotonic;

fn micros(by: SignedDuration) -> i64 {
    i64::try_from(by.as_micros()).unwrap_or(i64::MAX)
}

/// An instant of the monotonic clock, for deadlines and for telling how long something took.
pub fn instant() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    Instant::now()
}
