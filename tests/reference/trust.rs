//! The second opinion on whom an agent may pay.

use std::collections::BTreeMap;

use super::{Agent, DAY, Done, Model, Terms};

impl Model {
    /// Whether a service of the catalogue pays somebody else than the agent is held to.
    pub(super) fn pays_another(&self, agent: u8, service: u8) -> bool {
        let Some(found) = self.services.get(&service).map(|service| service.payee) else {
            return false;
        };
        let terms = &self.agents[&agent].terms;
        let pinned = terms.pinned.get(&service).copied();
        let first = self.first_paid(agent).get(&service).copied().filter(|_| terms.locked);
        [pinned, first].into_iter().flatten().any(|payee| payee != found)
    }

    /// Whom each service was paid to first while that was to stay, or is by the operator's word.
    pub(crate) fn first_paid(&self, agent: u8) -> BTreeMap<u8, u8> {
        let mut first = BTreeMap::new();
        for (_, paid) in self.theirs(agent).filter(|(_, paid)| paid.locked) {
            first.entry(paid.asked.service).or_insert(paid.was.payee);
        }
        first.extend(&self.agents[&agent].repinned);
        first
    }

    /// The limit for one payment that the track record comes to.
    pub(crate) fn limit(&self, agent: u8) -> Option<i128> {
        let Agent { terms, captures, .. } = &self.agents[&agent];
        let first = captures.first().copied().unwrap_or(i64::MAX);
        let mut limit = terms.limit;
        for (after, days, most) in &terms.tiers {
            let old = self.now().checked_sub(first).is_some_and(|long| long >= days * DAY);
            if old && i64::try_from(captures.len()).unwrap() >= *after {
                limit = Some(*most);
            }
        }
        limit
    }

    /// So much of a payment was captured now: what is less than a tenth of the limit is no track.
    pub(super) fn captured(&mut self, agent: u8, amount: i128) {
        let now = self.now();
        let book = self.agents.get_mut(&agent).unwrap();
        let counts =
            book.terms.limit.is_some_and(|limit| amount >= limit / 10 + (limit % 10).min(1));
        if !book.terms.tiers.is_empty() && counts {
            book.captures.push(now);
        }
    }

    /// Something happened that ends a track record.
    pub(super) fn incident(&mut self, agent: u8) {
        self.agents.get_mut(&agent).unwrap().captures.clear();
    }

    pub(crate) fn repin(&mut self, agent: u8, service: u8, payee: u8) -> Done {
        self.living(agent)?;
        if !self.agents[&agent].terms.locked {
            return Err("first_payee_free");
        }
        let first = self.first_paid(agent).get(&service).copied();
        if first.is_none() && !self.services.contains_key(&service) {
            return Err("unknown_service");
        }
        if first == Some(payee) {
            return Ok(false);
        }
        self.agents.get_mut(&agent).unwrap().repinned.insert(service, payee);
        self.other_than_refused(agent);
        Ok(self.done())
    }
}

/// Whether `to` lets somebody be paid whom `from` does not.
pub(super) fn frees_payees(from: &Terms, to: &Terms) -> bool {
    let other = |(service, payee)| to.pinned.get(service) != Some(payee);
    (from.locked && !to.locked) || from.pinned.iter().any(other)
}

/// Whether somebody's limit would be higher by the tiers of `to` than it is by `from`, or it takes
/// less to reach those that stay.
pub(super) fn raises(from: &Terms, to: &Terms) -> bool {
    let limit = |terms: &Terms, after: i64, days: i64| {
        let reached = terms.tiers.iter().filter(|tier| tier.0 <= after && tier.1 <= days);
        reached.map(|tier| tier.2).chain(terms.limit).max()
    };
    let more = |(after, days, most): &(i64, i64, i128)| {
        from.limit.is_some() && limit(from, *after, *days).is_some_and(|limit| *most > limit)
    };
    let stay = !from.tiers.is_empty() && !to.tiers.is_empty();
    let less = stay && to.limit.is_some_and(|to| from.limit.is_some_and(|from| to < from));
    less || (from.tiers != to.tiers && to.tiers.iter().any(more))
}
