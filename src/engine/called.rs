//! The call of an API that a payment is for: read, priced and named before anything is decided.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Engine, EngineError, request};
use crate::{
    policy::{
        answer::PayAnswer,
        denial::BadField,
        endpoint::{ApiRequest, Asking},
        entry::{Fact, Hash},
        mandate::Service,
        models::Models,
        money::Usd,
        names::{Handle, ServiceId},
        state::State,
    },
    rails::{Bounded, Rails, Terms, meter::Metering},
};

/// A call that is asked for, of a service as the catalogue had it then.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) service: Service,
    /// What is sent.
    pub(super) asking: Arc<Asking>,
    /// The most that it can cost, where the service's own price is not that.
    pub(super) bound: Option<Usd>,
    /// The language model that it is of, where it is metered, and what its charge goes by.
    pub(super) model: Option<Models>,
    pub(super) metering: Option<Arc<Metering>>,
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

    /// The answer with the language model of its call, where it is of an earlier payment: a key
    /// knows what that came to, and no more.
    pub(super) async fn with_model(&self, agent: &Handle, answer: PayAnswer) -> PayAnswer {
        let replayed = answer.replayed == Some(true) && answer.charged_usd.is_some();
        let earlier = answer.payment_id.filter(|_| replayed && answer.model_used.is_none());
        match earlier {
            // Nothing of the answer depends on it.
            Some(payment) => match self.first_entry(agent, payment).await {
                Ok(Some(Fact::Held(hold) | Fact::Paid(hold))) => {
                    answer.by_model(hold.model.as_ref())
                }
                Ok(_) | Err(_) => answer,
            },
            None => answer,
        }
    }
}

/// Whether a call is asked for.
pub(super) fn is_asked(arguments: &Value) -> bool {
    arguments.get("request").is_some()
}

/// Reads and prices a call of a service.
pub(super) fn read(
    rails: &Rails,
    service: Service,
    asked: &ApiRequest,
) -> Result<Called, BadField> {
    let asking = service.endpoint.as_deref().ok_or_else(request::uncalled)?.ask(asked)?;
    // What there is no rail for is told where it is decided.
    let bounded = match rails.get(&service.rail) {
        Some(rail) => rail.bound(&service, asking, Terms::default())?,
        None => Bounded::plain(asking, None),
    };
    let Bounded { amount: bound, asking, model, metering } = bounded;
    Ok(Called { service, asking: Arc::new(asking), bound, model, metering })
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
