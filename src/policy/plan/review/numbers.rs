//! Whom a policy lets pay without end, that does not itself change in how often it pays.

use std::collections::{BTreeMap, BTreeSet};

use super::{super::Basis, After, Review, place};
use crate::policy::{
    endless::endless,
    mandate::{Mandate, Service},
    names::{GroupId, Handle, ServiceId},
    terms::{FaultCode, PolicyTerms, ServiceTerms, Severity},
};

/// How many agents are named of those that it is so of.
const NAMED: usize = 3;

/// Whether `policy` may take a bound away from whom it does not name: by a service without a price,
/// or by what it says of a group.
pub(in crate::policy::plan) fn may_bound_less(policy: &PolicyTerms) -> bool {
    let unpriced =
        |(id, terms): (&ServiceId, &ServiceTerms)| terms.service(id).least_price().is_none();
    let unpriced = policy.services.iter().any(unpriced);
    unpriced || !policy.groups.is_empty()
}

/// The first service that a mandate lets pay for without end.
fn first<'s>(
    after: After<'_>,
    mandate: &Mandate,
    unpriced: &'s BTreeMap<ServiceId, Service>,
) -> Option<&'s Service> {
    let shared = after.caps_of(&after.chain(mandate.group.as_ref()));
    let shared: Vec<_> = shared.into_iter().map(|(_, cap)| cap).collect();
    endless(mandate, &shared, unpriced)
}

impl Review<'_> {
    /// Agents that something bounded and nothing bounds any more, by a service or a group alone:
    /// those whose own mandate says otherwise than before how often they pay are told of with it.
    pub(in crate::policy::plan) fn numbers(&mut self, basis: &Basis) {
        if !may_bound_less(self.policy) {
            return;
        }
        let (after, nothing) = (self.after(), PolicyTerms::default());
        let before = After { policy: &nothing, ..after };
        let (will, were) = (after.unpriced(), before.unpriced());
        let changed: BTreeMap<&Handle, &Mandate> =
            basis.agents.iter().map(|(handle, _, to)| (handle, to)).collect();
        let mut endless: BTreeMap<String, (ServiceId, BTreeSet<&Handle>)> = BTreeMap::new();
        for book in self.state.books().filter(|book| !book.is_revoked()) {
            let to = changed.get(&book.handle).copied().unwrap_or(&book.mandate);
            if to.paces_otherwise(&book.mandate) {
                continue;
            }
            let Some(service) = first(after, to, &will) else { continue };
            let was = first(before, &book.mandate, &were).is_some();
            if let Some(at) = self.by(service, to.group.as_ref()).filter(|_| !was) {
                let (_, whom) = endless.entry(at).or_insert((service.id.clone(), [].into()));
                whom.insert(&book.handle);
            }
        }
        for (at, (service, whom)) in endless {
            self.tell(Severity::Warning, FaultCode::NumberUnbounded, vec![place(at, None)], |_| {
                let message = format!(
                    "`{service}` has no price, and nothing bounds any more how many payments are \
                     made by {}",
                    names(&whom)
                );
                let hint = "a loop may pay next to nothing each time and fill the disk: a rate \
                            such as 20/min, or a cap such as 1000x/day, bounds it";
                (message, hint)
            });
        }
    }

    /// What of the document made it so: the service that had a price or was not there, or else the
    /// nearest group.
    fn by(&self, service: &Service, group: Option<&GroupId>) -> Option<String> {
        let named = self.policy.services.contains_key(&service.id);
        let at_service = named.then(|| format!("/services/{}", service.id));
        if self.state.service(&service.id).is_none_or(|was| was.price.is_some()) {
            return at_service;
        }
        let chain = self.after().chain(group);
        let before = self.state.chain(group).into_iter().map(|group| &group.name);
        let mut above = chain.into_iter().chain(before);
        let group = above.find(|name| self.policy.groups.contains_key(*name));
        group.map(|group| format!("/groups/{group}")).or(at_service)
    }
}

fn names(whom: &BTreeSet<&Handle>) -> String {
    let named: Vec<String> = whom.iter().take(NAMED).map(|handle| format!("`{handle}`")).collect();
    let others = whom.len().saturating_sub(NAMED);
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}
