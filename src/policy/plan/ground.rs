//! As much of a state as a policy is planned on, so that nobody who pays waits for the planning.

use jiff::Timestamp;

use super::{Around, Planned, count, plan, review::may_bound_less};
use crate::policy::{
    book::Book,
    entry::{Draft, Fact},
    group::GroupFact,
    planted::{self, Bug},
    state::State,
    terms::PolicyTerms,
};

/// Of how many agents that a policy does not name it is looked at whether it bounds them less.
const MAX_OTHERS: usize = 1_000;

/// What a policy is planned on, and what tells whether that is still so.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The books and tokens of whom the policy names, the books of some others that it may bear on,
    /// the groups, and the catalogue.
    state: State,
    now: Timestamp,
    edition: u64,
    agents_left: u32,
}

impl Ground {
    /// What it takes of `state` to plan `policy`.
    pub fn of(state: &State, policy: &PolicyTerms, now: Timestamp) -> Self {
        let others = state.books().filter(|book| !policy.agents.contains_key(&book.handle));
        let agents_left = count(others.filter(|book| !book.is_revoked()).count());
        let named = policy.agents.keys().filter_map(|handle| state.book(handle));
        let mut excerpt = State::default();
        let others = state.books().filter(|book| !policy.agents.contains_key(&book.handle));
        let others = others.filter(|book| may_bound_less(policy) && !book.is_revoked());
        let named = named.map(Book::clone);
        let books = named.chain(others.take(MAX_OTHERS).map(Book::without_parts));
        excerpt.books = books.map(|book| (book.handle.clone(), book)).collect();
        let owners = policy.agents.keys();
        let tokens = owners.flat_map(|handle| state.tokens_of(Some(handle)));
        tokens.for_each(|token| excerpt.tokens.insert(token.clone()));
        excerpt.services.clone_from(&state.services);
        excerpt.groups.clone_from(&state.groups);
        excerpt.now = state.now;
        Self { state: excerpt, now, edition: state.edition(), agents_left }
    }

    /// What `policy` would change on it.
    pub fn plan(&self, policy: &PolicyTerms, around: &Around) -> Planned {
        let mut planned = plan(&self.state, policy, around, self.now);
        planned.plan.agents_left = self.agents_left;
        planned
    }

    /// How many groups there are once `policy` is applied, where it makes some.
    pub fn groups_with(&self, policy: &PolicyTerms) -> Option<usize> {
        let new = policy.groups.keys().filter(|name| self.state.group(name).is_none()).count();
        let all = self.state.groups.len().saturating_add(new);
        (new > 0).then_some(all)
    }

    /// Which state it was taken from: another number than [`State::edition`] is another.
    pub fn edition(&self) -> u64 {
        self.edition
    }
}

/// What was planned, as it is to be written down at `now`: how long the windows of a zone that is
/// left stay open hangs on that, and on nothing else that may have changed meanwhile.
pub fn retimed(state: &State, mut drafts: Vec<Draft>, now: Timestamp) -> Vec<Draft> {
    for Draft { agent, fact, .. } in &mut drafts {
        if let Fact::MandateSet { mandate, moved: Some(moved), .. } = fact
            && let Some(book) = agent.as_ref().and_then(|agent| state.book(agent))
        {
            *moved = book.moved_to(&mandate.zone, now);
        }
        if let Fact::Group(GroupFact::Set { group, rules, moved: Some(moved) }) = fact
            && let Some(group) = state.group(group)
            && !planted::is(Bug::GroupMovedAsPlanned)
        {
            *moved = group.moved_to(&rules.zone, now);
        }
    }
    drafts
}
