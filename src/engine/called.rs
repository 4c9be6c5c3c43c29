//! The call of an API that a payment is for: read, priced and named before anything is decided.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Engine, EngineError, request};
use crate::{
    policy::{
        denial::BadField,
        endpoint::{ApiRequest, Asking},
        entry::Hash,
        mandate::Service,
        money::Usd,
        names::{Handle, ServiceId},
        state::State,
    },
    rails::Rails,
};

/// A call that is asked for, of a service as the catalogue had it then.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) service: Service,
    pub(super) asking: Arc<Asking>,
    /// The most that it can cost, where the service's own price is not that.
    pub(super) bound: Option<Usd>,
}

impl Called {
    /// The service as this call of it is priced.
    pub(super) fn priced(&self) -> Service {
        Service { price: self.bound.or(self.service.price), ..self.service.clone() }
    }
}

/// What is to be called, or what is wrong with it.
pub(super) type Read = Result<Option<Called>, BadField>;

impl Engine {
    /// Makes a call of what is asked for. It is nothing where there is no such service for this
    /// agent: that is told where it is decided.
    pub(super) async fn called(
        &self,
        agent: &Handle,
        service: &ServiceId,
        asked: &ApiRequest,
    ) -> Result<Read, EngineError> {
        let Some(service) = self.callable(agent, service).await? else { return Ok(Ok(None)) };
        Ok(read(&self.rails, service, asked).map(Some))
    }

    /// The service, if there is such a one for this agent.
    pub(super) async fn callable(
        &self,
        agent: &Handle,
        service: &ServiceId,
    ) -> Result<Option<Service>, EngineError> {
        let (agent, id) = (agent.clone(), service.clone());
        self.look(move |state: &State, _| {
            let book = state.book(&agent)?;
            state.service(&id).filter(|_| book.mandate.allows(&id)).cloned()
        })
        .await
    }
}

/// Reads and prices a call of a service.
pub(super) fn read(
    rails: &Rails,
    service: Service,
    asked: &ApiRequest,
) -> Result<Called, BadField> {
    let asking = service.endpoint.as_deref().ok_or_else(request::uncalled)?.ask(asked)?;
    // What there is no rail for is told where it is decided.
    let rail = rails.get(&service.rail);
    let bound = rail.map(|rail| rail.bound(&service, &asking)).transpose()?.flatten();
    Ok(Called { service, asking: Arc::new(asking), bound })
}

/// What tells a request from another: the digest of all that was asked, each part with its length
/// so that none reads as another. It is of the request and not of the call, so that a key stands
/// for its payment whatever an operator changes about the service.
pub(super) fn digest(request: &ApiRequest) -> Hash {
    let ApiRequest { operation, method, path, params, query, headers, body } = request;
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    };
    for named in [operation, method, path] {
        add(named.as_ref().map_or(b"-", |_| b"+"));
        add(named.as_deref().unwrap_or_default().as_bytes());
    }
    let params: Vec<(String, String)> = params.clone().into_iter().collect();
    for pairs in [&params, query, headers] {
        add(pairs.len().to_string().as_bytes());
        for (name, value) in pairs {
            add(name.as_bytes());
            add(value.as_bytes());
        }
    }
    add(body.as_ref().map_or(b"-", |_| b"+"));
    add(body.as_ref().map_or(&[], |body| &body.bytes));
    Hash(digest.finalize().into())
}
