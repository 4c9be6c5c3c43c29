//! What is wrong with the APIs that services are.

use super::{Review, place};
use crate::policy::{
    endpoint::EndpointError,
    names::ServiceId,
    terms::{FaultCode, ServiceTerms, Severity},
};

impl Review<'_> {
    /// An API that cannot be called as it is written, is missing, or that nothing calls.
    pub(super) fn endpoint(&mut self, id: &ServiceId, terms: &ServiceTerms) {
        let Err(wrong) = terms.endpoint.check(&terms.service(id)) else { return };
        let code = if wrong == EndpointError::Missing {
            FaultCode::EndpointMissing
        } else if wrong == EndpointError::Unused {
            FaultCode::EndpointUnused
        } else {
            FaultCode::EndpointInvalid
        };
        let key = match (&wrong, terms.rail.is_iou(), terms.endpoint.base_url.is_some()) {
            (EndpointError::Unused, true, true) => "base_url",
            (EndpointError::Unused, true, false) => "",
            _ => wrong.key(),
        };
        let at = vec![place(format!("/services/{id}/{key}"), None)];
        self.tell(Severity::Error, code, at, |_| {
            (format!("`{id}`: {wrong}"), wrong.hint().replace("NAME", id.as_str()))
        });
    }
}
