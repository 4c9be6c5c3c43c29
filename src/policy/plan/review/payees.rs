//! What is wrong with the payees that a mandate pins.

use super::{Agent, Review, place, severity_of};
use crate::policy::{
    names::{Payee, ServiceId},
    payee::MAX_PINNED,
    terms::{FaultCode, Place, Severity},
};

impl Review<'_> {
    /// Pins that no payment ever passes: of services that are not there, that pay another payee,
    /// or that the agent may not pay.
    pub(super) fn payees(&mut self, agent: &Agent<'_>) {
        // Then that is what is told.
        let bounded = agent.mandate.pinned.len() <= MAX_PINNED;
        for (service, payee) in agent.mandate.pinned.iter().filter(|_| bounded) {
            let had = agent.present.is_some_and(|had| had.pinned.get(service) == Some(payee));
            let severity = severity_of(had);
            let Some((found, there)) = self.payee_of(service) else {
                let at = vec![agent.pin(service, "not known")];
                self.tell(severity, FaultCode::ServiceUnknown, at, |review| {
                    let message = format!("there is no service `{service}` that could pay it");
                    (message, review.nearest(service))
                });
                continue;
            };
            if found != *payee {
                let label = format!("`{service}` pays `{found}`");
                let at = vec![agent.pin(service, &label)].into_iter().chain(there);
                self.tell(severity, FaultCode::PinnedElsewhere, at.collect(), |_| {
                    let handle = agent.handle;
                    let message = format!(
                        "`{handle}` could pay nothing for `{service}`: it is pinned to `{payee}`"
                    );
                    (message, "pin the payee that the service has, or correct the service")
                });
            } else if !agent.mandate.allows(service) {
                let at = vec![agent.pin(service, "this can never match")];
                self.tell(Severity::Warning, FaultCode::PinnedUnpaid, at, |_| {
                    let handle = agent.handle;
                    (format!("`{handle}` may not pay `{service}` at all"), "take the pin out")
                });
            }
        }
    }

    /// Who gets the money of a service once the document is applied, and where it says so.
    fn payee_of(&self, id: &ServiceId) -> Option<(Payee, Option<Place>)> {
        if let Some(terms) = self.policy.services.get(id) {
            let label = Some("the payee it has".to_owned());
            let at = place(format!("/services/{id}/payee"), label);
            return Some((terms.payee.clone(), Some(at)));
        }
        self.state.service(id).map(|service| (service.payee.clone(), None))
    }
}

impl Agent<'_> {
    fn pin(&self, service: &ServiceId, label: &str) -> Place {
        let Place { pointer, .. } = self.place("pinned", None);
        place(format!("{pointer}/{service}"), Some(label.to_owned()))
    }
}
