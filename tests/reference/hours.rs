//! The second opinion on active hours: the next opening is found by looking, minute by minute.

use super::{Model, Terms};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
/// How far is looked.
const FAR: i64 = 15 * DAY;

impl Terms {
    /// Whether it may pay in a minute of a day, counted from a Monday.
    pub(super) fn may_at(&self, day: i64, minute: i64) -> bool {
        let named = |day: i64| self.days.is_empty() || self.days.contains(&day.rem_euclid(7));
        let in_range = |(from, to): &(i64, i64)| {
            if from < to {
                named(day) && (*from..*to).contains(&minute)
            } else {
                named(day) && minute >= *from || named(day - 1) && minute < *to
            }
        };
        if self.hours.is_empty() { named(day) } else { self.hours.iter().any(in_range) }
    }
}

impl Model {
    fn is_open(&self, terms: &Terms, at: i64) -> bool {
        let shown = at + self.calendar.offset(terms.zone, at);
        // The first of January 1970 was a Thursday.
        terms.may_at(shown.div_euclid(DAY) + 3, shown.rem_euclid(DAY) / MINUTE)
    }

    /// When the agent's hours are open from `at` on, if they are before its mandate ends.
    pub(super) fn opens(&self, agent: u8, at: i64) -> Option<i64> {
        let terms = &self.agents[&agent].terms;
        if terms.hours.is_empty() && terms.days.is_empty() {
            return Some(at).filter(|at| terms.expires.is_none_or(|end| *at < end));
        }
        if self.is_open(terms, at) {
            return Some(at).filter(|at| terms.expires.is_none_or(|end| *at < end));
        }
        let key = (terms.zone, terms.hours.clone(), terms.days.clone());
        let known = self.shut.borrow().get(&key).copied();
        let opens = known.filter(|(from, to)| (*from..*to).contains(&at)).map(|(_, to)| to);
        let opens = opens.or_else(|| {
            let first = at.div_euclid(MINUTE) * MINUTE + MINUTE;
            let mut minutes = (0..FAR / MINUTE).map(|n| first + n * MINUTE);
            let found = minutes.find(|minute| self.is_open(terms, *minute))?;
            self.shut.borrow_mut().insert(key, (at, found));
            Some(found)
        });
        opens.filter(|opens| terms.expires.is_none_or(|end| *opens < end))
    }

    /// Whether it is outside its hours.
    pub(super) fn is_shut(&self, agent: u8) -> bool {
        !self.is_open(&self.agents[&agent].terms, self.now())
    }

    /// When its hours open, if they are not open now.
    pub(crate) fn next_opening(&self, agent: u8) -> Option<i64> {
        self.opens(agent, self.now()).filter(|_| self.is_shut(agent))
    }
}
