//! What is wrong with the services that an agent may pay.

use std::collections::BTreeSet;

use super::{Agent, NEAR, Review, SEARCHED, place, severity_of};
use crate::policy::{
    cap::Cap,
    mandate::Mandate,
    money::Usd,
    names::{GroupId, ServiceId},
    terms::{FaultCode, Place, Severity},
};

impl Review<'_> {
    pub(super) fn services(&mut self, agent: &Agent<'_>) {
        let Mandate { allow, deny, .. } = agent.mandate;
        if !allow.is_empty() && allow.is_subset(deny) {
            let at = vec![agent.place("allow", None), agent.place("deny", None)];
            let severity = severity_of(agent.so_already);
            self.tell(severity, FaultCode::NothingAllowed, at, |_| {
                let handle = agent.handle;
                let message = format!("`{handle}` may pay nothing: all it may pay is denied too");
                let hint = "take something out of `deny`; to stop an agent, freeze or revoke it";
                (message, hint)
            });
        } else {
            for id in allow.intersection(deny) {
                let at = vec![
                    agent.service("allow", id, "this can never match"),
                    agent.service("deny", id, "what is denied stays unpaid"),
                ];
                self.tell(Severity::Warning, FaultCode::DeniedToo, at, |_| {
                    let message = format!("`{id}` is allowed and denied, and so never paid");
                    (message, "name it in one of the two lists")
                });
            }
        }
        self.prices(agent);
        for id in self.unknown(allow) {
            let had = agent.present.is_some_and(|present| present.allow.contains(id));
            let severity = if had { Severity::Warning } else { Severity::Error };
            let at = vec![agent.service("allow", id, "not known")];
            self.tell(severity, FaultCode::ServiceUnknown, at, |review| {
                let hint = review.nearest(id);
                (format!("there is no service `{id}`, neither here nor in the catalogue"), hint)
            });
        }
        for id in self.unknown(deny) {
            let at = vec![agent.service("deny", id, "not known")];
            self.tell(Severity::Warning, FaultCode::ServiceUnknown, at, |review| {
                (format!("there is no service `{id}` that could be denied"), review.nearest(id))
            });
        }
    }

    /// What is allowed and costs more than one payment may, or than a cap ever leaves.
    fn prices(&mut self, agent: &Agent<'_>) {
        let Mandate { allow, caps, group, .. } = agent.mandate;
        let (after, limit) = (self.after(), agent.mandate.highest_limit());
        let shared = after.caps_of(&after.chain(group.as_ref())).into_iter();
        let shared = shared.map(|(group, cap)| (Some(group), cap));
        let caps: Vec<_> = caps.iter().map(|cap| (None, cap)).chain(shared).collect();
        for id in allow.iter().filter(|id| agent.mandate.allows(id)) {
            let Some(service) = after.service(id) else { continue };
            let Some(price) = service.least_price() else { continue };
            if let Some(limit) = limit.filter(|limit| price > *limit) {
                self.above_limit(agent, (id, price), limit);
                continue;
            }
            let bear =
                caps.iter().filter(|(_, cap)| cap.covers(&service) && !cap.could_bear(price));
            if let Some((group, cap)) = bear.min_by_key(|(_, cap)| cap.bound) {
                self.above_cap(agent, (id, price), (*group, cap));
            }
        }
    }

    fn above_limit(&mut self, agent: &Agent<'_>, (id, price): (&ServiceId, Usd), limit: Usd) {
        let tiers = &agent.mandate.tiers;
        let least = format!("nothing above {limit} is paid");
        let most = match tiers.last() {
            Some(tier) => agent.tier(tier, &least),
            None => agent.place("per_call", Some(least)),
        };
        let at = self.never_paid(agent, id, most);
        self.tell(Severity::Warning, FaultCode::PriceAboveLimit, at, |_| {
            let handle = agent.handle;
            let highest = if tiers.is_empty() { "limit" } else { "highest limit" };
            let message = format!(
                "`{handle}` never pays `{id}`: it costs {price}, above the {highest} of {limit} \
                 for one payment"
            );
            let raised = if tiers.is_empty() { "`per_call`" } else { "the last of `tiers`" };
            let price = price.decimal();
            (message, format!("take it out of `allow`, or raise {raised} to \"{price}\""))
        });
    }

    fn above_cap(
        &mut self,
        agent: &Agent<'_>,
        (id, price): (&ServiceId, Usd),
        (group, cap): (Option<&GroupId>, &Cap),
    ) {
        let least = format!("nothing above {} is paid", cap.bound);
        let most = match group {
            None => agent.cap(cap, &least),
            Some(group) => self.shared_cap(agent, group, cap, &least),
        };
        let at = self.never_paid(agent, id, most);
        self.tell(Severity::Warning, FaultCode::PriceAboveCap, at, |_| {
            let (handle, words) = (agent.handle, cap.in_words());
            let above = match group {
                None => format!("its cap of {words}"),
                Some(group) => format!("the cap of {words} of `{group}`"),
            };
            let message = format!("`{handle}` never pays `{id}`: it costs {price}, above {above}");
            (message, "take it out of `allow`, or raise the cap")
        });
    }

    /// Where a service is allowed, what keeps it from being paid, and its price if that is said.
    fn never_paid(&self, agent: &Agent<'_>, id: &ServiceId, most: Place) -> Vec<Place> {
        let priced = self.policy.services.contains_key(id);
        let price =
            priced.then(|| place(format!("/services/{id}/price"), Some("its price".to_owned())));
        let allowed = agent.service("allow", id, "this can never match");
        [allowed, most].into_iter().chain(price).collect()
    }

    fn unknown<'i>(&self, ids: &'i BTreeSet<ServiceId>) -> Vec<&'i ServiceId> {
        let is_known = |id: &&ServiceId| self.after().service(id).is_some();
        ids.iter().filter(|id| !is_known(id)).collect()
    }

    /// What to do about a service that is not known.
    pub(super) fn nearest(&self, id: &ServiceId) -> String {
        let there = self.state.services().map(|service| &service.id);
        let known = self.policy.services.keys().chain(there).take(SEARCHED);
        let far = |known: &&ServiceId| (self.around.distance)(known.as_str(), id.as_str());
        // Of a short name everything is near.
        let most = NEAR.min(id.as_str().len() / 2);
        match known.min_by_key(far).filter(|near| far(near) <= most) {
            Some(near) => format!("there is `{near}`"),
            None => format!("add it, as [services.{id}], or take it out"),
        }
    }
}
