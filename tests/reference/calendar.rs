//! Windows found by looking: each second has a label, a window is the stretch with the same one.

use std::{cell::RefCell, collections::HashMap};

use jiff::{Timestamp, civil, tz::TimeZone};

use super::Kind;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// The first second of a window, and the one after it.
type Found = (i64, i64);

/// Zones by name, and the windows that were looked for last.
#[derive(Clone, Default)]
pub(crate) struct Calendar {
    zones: RefCell<HashMap<&'static str, TimeZone>>,
    found: RefCell<HashMap<(&'static str, Kind), Found>>,
}

impl Calendar {
    /// The window of a period of the calendar around `at`: its first second, and the one after it.
    pub(crate) fn window(&self, zone: &'static str, kind: Kind, at: i64) -> Found {
        let known = self.found.borrow().get(&(zone, kind)).copied();
        if let Some((start, end)) = known.filter(|(start, end)| (*start..*end).contains(&at)) {
            return (start, end);
        }
        let mut zones = self.zones.borrow_mut();
        let tz = zones.entry(zone).or_insert_with(|| TimeZone::get(zone).unwrap());
        let found = match kind {
            Kind::Hour => hour(tz, at),
            Kind::Day => stretch(at, 3 * DAY, |second| date(tz, second)),
            Kind::Week => stretch(at, 10 * DAY, |second| (date(tz, second) + 3).div_euclid(7)),
            Kind::Month => stretch(at, 34 * DAY, |second| month(date(tz, second))),
            Kind::Lifetime | Kind::Run | Kind::Task | Kind::Rolling(_) => {
                unreachable!("not of the calendar")
            }
        };
        self.found.borrow_mut().insert((zone, kind), found);
        found
    }
}

impl Calendar {
    /// How far the clocks of a zone are ahead, in seconds.
    pub(crate) fn offset(&self, zone: &'static str, at: i64) -> i64 {
        let mut zones = self.zones.borrow_mut();
        offset(zones.entry(zone).or_insert_with(|| TimeZone::get(zone).unwrap()), at)
    }
}

fn offset(tz: &TimeZone, at: i64) -> i64 {
    i64::from(tz.to_offset(Timestamp::from_second(at).unwrap()).seconds())
}

/// The latest date, in days since 1970, that the clocks on the wall have shown up to `at`: where
/// they go back over midnight, the day before does not come again.
fn date(tz: &TimeZone, at: i64) -> i64 {
    let shown = |second| (second + offset(tz, second)).div_euclid(DAY);
    let turned = tz.preceding(Timestamp::from_second(at + 1).unwrap()).next();
    let before = turned.map_or(i64::MIN, |turn| shown(turn.timestamp().as_second() - 1));
    shown(at).max(before)
}

fn month(days: i64) -> i64 {
    let at = Timestamp::from_second(days * DAY).unwrap();
    let date: civil::Date = jiff::tz::Offset::UTC.to_datetime(at).date();
    i64::from(date.year()) * 12 + i64::from(date.month())
}

/// The seconds around `at`, up to `far` away, that have its label; labels never go down.
fn stretch(at: i64, far: i64, label: impl Fn(i64) -> i64) -> (i64, i64) {
    let own = label(at);
    let start = first(at - far, at, |second| label(second) >= own);
    let end = first(at, at + far, |second| label(second) > own);
    (start, end)
}

/// An hour of the wall clock, as long as its offset stays the same.
fn hour(tz: &TimeZone, at: i64) -> (i64, i64) {
    let own = offset(tz, at);
    let floor = at - (at + own).rem_euclid(HOUR);
    let start = first(floor - 1, at, |second| second >= floor && offset(tz, second) == own);
    let end = first(at, floor + HOUR, |second| offset(tz, second) != own);
    (start, end)
}

/// The first second after `low` of which something is true that stays true; `high` at the latest.
fn first(low: i64, high: i64, is_true: impl Fn(i64) -> bool) -> i64 {
    let (mut low, mut high) = (low, high);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if is_true(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}
