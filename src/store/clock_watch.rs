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

    /// How far the clock lies behind the latest entry; the record's time holds still meanwhile.
    pub(crate) fn behind(&mut self, clock: &Clock, latest: Timestamp) -> Option<SignedDuration> {
        let behind = latest.duration_since(clock.now());
        let is_behind = behind > BEHIND;
        if is_behind && !self.told {
            tracing::warn!(%behind, "the clock is behind the record, whose time holds still");
        }
        self.told = is_behind;
        is_behind.then_some(behind)
    }
}
