//! Calendars: which windows are open for an agent or a group, whatever became of its zone.

use jiff::Timestamp;

use super::{
    counter::Tallies,
    entry::{Moved, Windows},
    planted::{self, Bug},
    tally::minute,
    window::{Period, Window, Zone},
};

/// What tells the windows of an agent or a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar<'a> {
    pub(super) zone: &'a Zone,
    /// The last change of the zone.
    pub(super) moved: Option<Moved>,
    /// The newest windows that were used.
    pub(super) tallies: &'a Tallies,
    /// Whether there are rolling caps.
    pub(super) rolls: bool,
}

impl Calendar<'_> {
    /// What a change to `zone` means for the windows that are open at `now`: each ends at the
    /// boundary of the new zone that is nearest to its own end, or at its own end where that
    /// boundary has passed. So none opens at once, none is cut or stretched by more than half, and
    /// no sum is forgotten.
    pub(super) fn moved_to(&self, zone: &Zone, now: Timestamp) -> Moved {
        let until = |period| {
            let end = self.window(period, now).end.unwrap_or(Timestamp::MAX);
            let next = Window::containing(end, period, zone);
            let away = |at: Timestamp| end.duration_since(at).abs();
            let after = next.end.unwrap_or(Timestamp::MAX);
            let other = planted::is(Bug::ZoneChangeFarthest);
            let is_after = (away(after) < away(next.start)) != other;
            let nearest = if is_after { after } else { next.start };
            if nearest > now { nearest } else { end }.as_second()
        };
        let until = Windows {
            hour: until(Period::Hour),
            day: until(Period::Day),
            week: until(Period::Week),
            month: until(Period::Month),
            minute: None,
        };
        Moved { open: Windows { minute: None, ..self.windows(now) }, until }
    }

    /// The ids of the windows that a payment placed at `now` counts in.
    pub(super) fn windows(&self, now: Timestamp) -> Windows {
        let id = |period| self.window(period, now).id();
        Windows {
            hour: id(Period::Hour),
            day: id(Period::Day),
            week: id(Period::Week),
            month: id(Period::Month),
            minute: self.rolls.then(|| minute(now)),
        }
    }

    /// The window of `period` at `now`, but never one before the newest that was ever used: a
    /// clock that goes back reopens nothing. One that was open when the zone changed stays so as
    /// long as was said then.
    pub(super) fn window(&self, period: Period, now: Timestamp) -> Window {
        let mut window = Window::containing(now, period, self.zone);
        if let Some((open, until)) = self.moved.and_then(|moved| moved.window(period)) {
            if now < until {
                window = Window { start: open, end: Some(until) };
            } else {
                window.start = window.start.max(until);
            }
        }
        let newest = self.tallies.get(&period).map(|tally| tally.window);
        match newest {
            Some(newest) if newest > window.id() => {
                let opened = Timestamp::from_second(newest).unwrap_or(Timestamp::MAX);
                let end = Window::containing(opened, period, self.zone).end;
                Window { start: opened, end }
            }
            Some(_) | None => window,
        }
    }
}
