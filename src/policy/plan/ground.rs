//! As much of a state as a policy is planned on, so that nobody who pays waits for the planning.

use jiff::Timestamp;

use super::{Around, Planned, count, plan};
use crate::policy::{
    entry::{Draft, Fact},
    state::State,
    terms::PolicyTerms,
};

/// What a policy is planned on, and what tells whether that is still so.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The books that the policy names, the groups, and the catalogue.
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
        excerpt.books = named.map(|book| (book.handle.clone(), book.clone())).collect();
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
    }
    drafts
}
