//! The worst case of each agent, held against what is added up window by window.

use jiff::Timestamp;
use pettycash::policy::{
    exposure::{Until, at_most, together},
    state::State,
    window::Period,
};

use super::{
    decide::same,
    ops::WHALE,
    words::{handle, usd},
};
use crate::reference::{Kind, Model};

/// Where nothing but an agent's own caps and balance bounds it, it is the same to the nano; what
/// else there is only ever lowers it, though never below what is held.
pub(crate) fn check_all(model: &Model, state: &State, now: Timestamp) -> Result<(), String> {
    for (kind, period) in [(Kind::Day, Period::Day), (Kind::Week, Period::Week)] {
        let (until, mut each) = (Until::End(period), Vec::new());
        for agent in model.agents.keys().filter(|agent| **agent != WHALE) {
            let book = state.book(&handle(*agent)).unwrap();
            let most = at_most(state, book, until, now);
            let expected = model.at_most(*agent, kind).map(usd);
            let what = format!("the worst case of {agent}, {kind:?}");
            if model.is_plain(*agent) {
                same(&what, &expected, &most)?;
            }
            let less = most.is_some_and(|most| most < book.held);
            let more = expected.is_some_and(|at_most| most.is_none_or(|most| most > at_most));
            if less || more {
                return Err(format!("{what}: {most:?}, where {expected:?} is without groups"));
            }
            each.push((book, most));
        }
        let sum =
            each.iter().try_fold(0, |sum, (_, most)| Some(sum + i128::from((*most)?.nanos())));
        // More than an amount can be is told as the most that it can.
        let most = i128::from(i64::MAX);
        let sum = sum.map(|sum| sum.min(most));
        let all = together(state, &each, until, now).map(|all| i128::from(all.nanos()));
        let held: i128 = each.iter().map(|(book, _)| i128::from(book.held.nanos())).sum();
        let held = held.min(most);
        let plain = model.agents.values().all(|book| book.terms.group.is_none());
        let is_right = match (all, sum) {
            (all, sum) if plain => all == sum,
            (Some(all), Some(sum)) => held <= all && all <= sum,
            (all, None) => all.is_none_or(|all| held <= all),
            (None, Some(_)) => false,
        };
        if !is_right {
            return Err(format!("the worst case of all, {kind:?}: {all:?} of {sum:?}"));
        }
    }
    Ok(())
}
