//! The second opinion on what gives an agent more.

use super::{
    Cap, Terms,
    models::dearer,
    trust::{frees_payees, raises},
};

/// A service that no terms name.
const ANOTHER: u8 = u8::MAX;

/// Whether `to` lets an agent do anything that `from` does not.
pub(super) fn loosens(from: &Terms, to: &Terms) -> bool {
    let caps = || from.caps.iter().chain(&to.caps);
    let most = |terms: &Terms, like: &Cap| {
        terms.caps.iter().find(|cap| cap.key() == like.key()).map(|cap| cap.most)
    };
    let spans = || from.rates.iter().chain(&to.rates).map(|(_, long)| *long);
    let rate = |terms: &Terms, long: i64| {
        terms.rates.iter().find(|(_, other)| *other == long).map(|(most, _)| i128::from(*most))
    };
    let pays = |terms: &Terms, service: u8| {
        let named = terms.allow.is_empty() || terms.allow.contains(&service);
        named && !terms.deny.contains(&service)
    };
    let services = 0..=ANOTHER;
    from.zone != to.zone
        || frees_payees(from, to)
        || raises(from, to)
        || dearer(from, to)
        || higher(from.limit, to.limit)
        || caps().any(|cap| higher(most(from, cap), most(to, cap)))
        || spans().any(|long| higher(rate(from, long), rate(to, long)))
        || services.into_iter().any(|service| pays(to, service) && !pays(from, service))
        || higher(from.expires.map(i128::from), to.expires.map(i128::from))
        || (to.local && !from.local)
        || (to.tasks && !from.tasks)
        || from.cooldown.is_some_and(|long| to.cooldown.is_none_or(|to| to < long))
        || (0..7 * 1_440).any(|minute| {
            let (day, minute) = (minute / 1_440, minute % 1_440);
            to.may_at(day, minute) && !from.may_at(day, minute)
        })
        || from.burst.is_some_and(|(most, long, done)| {
            to.burst.is_none_or(|to| to.0 > most || to.1 != long || (to.2 as u8) < done as u8)
        })
        || from.denials.is_some_and(|(most, done)| {
            to.denials.is_none_or(|to| to.0 > most || (to.1 as u8) < done as u8)
        })
}

/// Whether a bound leaves more than it did; none leaves the most.
fn higher(from: Option<i128>, to: Option<i128>) -> bool {
    from.is_some_and(|from| to.is_none_or(|to| to > from))
}
