//! What is odd about caps on some of the payments.

use super::{Agent, Review, SEARCHED};
use crate::policy::{
    cap::{Aim, Cap, Dimension},
    mandate::Service,
    terms::{FaultCode, Severity},
};

impl Review<'_> {
    /// Caps that never come to bear: on what nobody is paid for, or above another that is on all.
    pub(super) fn caps(&mut self, agent: &Agent<'_>) {
        let mandate = agent.mandate;
        for cap in mandate.caps.iter().filter(|cap| !cap.on.is_all()) {
            if !self.is_known(&cap.on) {
                self.on_nothing(agent, cap);
            }
            let whole = |other: &&Cap| {
                other.on.is_all()
                    && other.period == cap.period
                    && other.key().unit == cap.key().unit
                    && other.bound < cap.bound
            };
            if let Some(whole) = mandate.caps.iter().find(whole) {
                self.never_binds(agent, cap, whole);
            }
        }
    }

    /// Whether there is a service, in the document or the catalogue, that a cap is on.
    fn is_known(&self, on: &Dimension) -> bool {
        let covers = |service: &Service| on.covers(&Aim::from(service));
        let named = self.policy.services.iter();
        let mut after = named.map(|(id, terms)| terms.service(id));
        let kept = |service: &&Service| !self.policy.services.contains_key(&service.id);
        after.any(|service| covers(&service)) || self.state.services().filter(kept).any(covers)
    }

    fn on_nothing(&mut self, agent: &Agent<'_>, cap: &Cap) {
        let at = vec![agent.cap(cap, "not known")];
        let (code, what) = match &cap.on {
            Dimension::Agent => return,
            Dimension::Service(id) => {
                return self.tell(Severity::Warning, FaultCode::ServiceUnknown, at, |review| {
                    let message = format!("there is no service `{id}` that could be capped");
                    (message, review.nearest(id))
                });
            }
            Dimension::Category(name) => {
                (FaultCode::CategoryUnknown, format!("no service is of the category `{name}`"))
            }
            Dimension::Payee(payee) => {
                (FaultCode::PayeeUnknown, format!("no service pays the payee `{payee}`"))
            }
        };
        self.tell(Severity::Warning, code, at, |review| {
            let hint = match review.nearest_of(&cap.on) {
                Some(near) => format!("there is `{near}`"),
                None => "give a service this one, or take the cap out".to_owned(),
            };
            (what, hint)
        });
    }

    /// A category or payee that is there and spelled nearly like the one that is not.
    fn nearest_of(&self, on: &Dimension) -> Option<String> {
        let ours = self.policy.services.iter().map(|(id, terms)| terms.service(id));
        let there = self.state.services().cloned();
        let all = ours.chain(there).take(SEARCHED);
        let (meant, names): (&str, Vec<String>) = match on {
            Dimension::Agent | Dimension::Service(_) => return None,
            Dimension::Category(name) => {
                (name.as_str(), all.filter_map(|one| Some(one.category?.to_string())).collect())
            }
            Dimension::Payee(payee) => {
                (payee.as_str(), all.map(|one| one.payee.to_string()).collect())
            }
        };
        let far = |known: &String| (self.around.distance)(known, meant);
        let most = super::NEAR.min(meant.len() / 2);
        names.into_iter().min_by_key(far).filter(|near| far(near) <= most)
    }

    fn never_binds(&mut self, agent: &Agent<'_>, cap: &Cap, whole: &Cap) {
        let first = format!("the {} is spent first", whole.key().named());
        let at = vec![agent.cap(cap, "this never comes to bear"), agent.cap(whole, &first)];
        self.tell(Severity::Warning, FaultCode::CapNeverBinds, at, |_| {
            let handle = agent.handle;
            let (part, all) = (cap.in_words(), whole.in_words());
            let message = format!("the cap of {part} of `{handle}` is above its cap of {all}");
            (message, "lower it, or take it out")
        });
    }
}
