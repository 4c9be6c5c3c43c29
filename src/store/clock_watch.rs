//! Watching the clock: one that was set is no time that passed.

use jiff::{SignedDuration, Timestamp};

use crate::{clock::Clock, policy::entry::Incident};

/// How far the clock may be set forward before that is written down.
const JUMP: SignedDuration = SignedDuration::from_secs(60);
/// How far it may lie behind the record before that is told.
const BEHIND: SignedDuration = SignedDuration::from_secs(1);

/// The wall clock, held against the time that passed.
pub(crate) struct ClockWatch {
    /// What the wall clock said, and how much time had passed by then. It is kept until a jump, so
    /// that many small ones count too.
    seen: (Timestamp, SignedDuration),
    /// Whether it was told that the clock is behind the record.
    told: bool,
}

impl ClockWatch {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { seen: (clock.now(), clock.elapsed()), told: false }
    }

    /// The jump forward that the clock made since it was last looked at, if it made one.
    ///
    /// A suspended machine is none: the time did pass.
    pub(crate) fn jump(&mut self, clock: &Clock) -> Option<Incident> {
        let (now, elapsed) = (clock.now(), clock.elapsed());
        let (wall, then) = self.seen;
        let passed = elapsed.saturating_sub(then);
        let from = wall.checked_add(passed).unwrap_or(Timestamp::MAX);
        if now.duration_since(from) <= JUMP {
            return None;
        }
        self.seen = (now, elapsed);
        tracing::warn!(%from, to = %now, "the clock was set forward: windows may have ended early");
        Some(Incident::ClockJumped { from, to: now })
    }

    /// Warns of a clock that lies behind the latest entry, whose time holds still meanwhile. Says
    /// whether it warned: once, until the clock has caught up.
    pub(crate) fn tell_if_behind(&mut self, clock: &Clock, latest: Timestamp) -> bool {
        let behind = latest.duration_since(clock.now());
        let is_behind = behind > BEHIND;
        let warns = is_behind && !self.told;
        self.told = is_behind;
        if warns {
            tracing::warn!(%behind, "the clock is behind the record, whose time holds still");
        }
        warns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_behind_the_record_is_told_once_until_it_has_caught_up() {
        let clock = Clock::fixed("2026-11-21T10:00:00Z".parse().unwrap());
        let (mut watch, latest) = (ClockWatch::new(&clock), clock.now());
        let hour = SignedDuration::from_hours(1);
        let mut told = |by: SignedDuration| {
            clock.set(by);
            watch.tell_if_behind(&clock, latest)
        };
        assert!(!told(SignedDuration::ZERO) && !told(-BEHIND), "a second is none");
        assert!(told(-hour) && !told(-hour));
        assert!(!told(hour * 2 + BEHIND) && told(-hour), "and once more");
    }
}
