//! The call of an API that a payment is for: read, priced and named before anything is decided.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Engine, EngineError,
    gates::{Asker, Gate},
    request,
};
use crate::{
    policy::{
        answer::PayAnswer,
        denial::BadField,
        downgrade::OutputTokens,
        endpoint::{ApiRequest, Asking},
        entry::{Fact, Hash},
        mandate::{Mandate, Service},
        names::{Handle, ModelName, RunId, ServiceId},
        rooms::Spender,
        state::State,
    },
    rails::{Bounded, Rails, Terms, meter::Metering},
};

/// How many bytes of a body are read in no time.
const LONG: usize = 64 * 1024;

/// A call that is asked for, of a service as the catalogue had it then.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) service: Service,
    /// What is sent, and what is held for it.
    pub(super) call: Bounded,
    /// The same call of the mandate's cheaper model, where there is one that costs no more.
    cheaper: Option<Bounded>,
    /// What the mandate said of models then.
    said: Said,
}

/// A service, and what the mandate of whoever calls it says.
pub(super) struct Callable {
    pub(super) service: Service,
    pub(super) said: Said,
}

/// What a mandate says of models that a call is read by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    most: Option<OutputTokens>,
    cheaper: Option<ModelName>,
}

impl Said {
    fn by(mandate: &Mandate) -> Self {
        let cheaper = mandate.downgrade().map(|(_, model)| model.clone());
        Self { most: mandate.max_output_tokens, cheaper }
    }
}

impl Called {
    /// The service as this call of it is priced.
    pub(super) fn priced(&self) -> Service {
        Service { price: self.call.amount.or(self.service.price), ..self.service.clone() }
    }

    /// Whether what is held for it is an estimate, which a smaller call makes less.
    pub(super) fn is_estimated(&self) -> bool {
        self.call.metering.is_some()
    }

    /// What is sent, and what its charge goes by.
    pub(super) fn sent(self) -> (Arc<Asking>, Option<Arc<Metering>>) {
        (Arc::new(self.call.asking), self.call.metering)
    }

    /// The call that is meant of the two, as much as is spent by now.
    pub(super) fn meant(self, spender: &Spender<'_>, run: Option<&RunId>, now: Timestamp) -> Self {
        match self.cheaper {
            Some(cheaper) if spender.downgrades(&self.service, run, now).is_some() => {
                Self { call: cheaper, cheaper: None, ..self }
            }
            Some(_) | None => Self { cheaper: None, ..self },
        }
    }
}

/// Whether the catalogue or the mandate says something else by now than what a call was read by.
pub(super) fn is_stale(
    read: Option<&Called>,
    service: Option<&Service>,
    mandate: &Mandate,
) -> bool {
    let by_other_terms =
        |read: &Called| read.call.metering.is_some() && read.said != Said::by(mandate);
    service != read.map(|read| &read.service) || read.is_some_and(by_other_terms)
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
        let Some(found) = self.callable(agent, service).await? else { return Ok(Ok(None)) };
        let who = Asker::Agent(agent.clone());
        Ok(self.read(&who, found, asked).await?.map(Some))
    }

    /// Reads and prices a call; a long one when it is his turn who asks, where nothing else waits
    /// for it.
    pub(super) async fn read(
        &self,
        who: &Asker,
        found: Callable,
        asked: &ApiRequest,
    ) -> Result<Result<Called, BadField>, EngineError> {
        if asked.body.as_ref().is_none_or(|body| body.bytes.len() <= LONG) {
            return Ok(read(&self.rails, found, asked));
        }
        let (rails, asked) = (self.rails.clone(), asked.clone());
        self.gates.pass(who, Gate::Calling, move || read(&rails, found, &asked)).await
    }

    /// The service, if there is such a one for this agent.
    pub(super) async fn callable(
        &self,
        agent: &Handle,
        service: &ServiceId,
    ) -> Result<Option<Callable>, EngineError> {
        let (agent, id) = (agent.clone(), service.clone());
        self.look(move |state: &State, _| {
            let mandate = &state.book(&agent)?.mandate;
            let service = state.service(&id).filter(|_| mandate.allows(&id)).cloned()?;
            Some(Callable { service, said: Said::by(mandate) })
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
fn read(
    rails: &Rails,
    Callable { service, said }: Callable,
    asked: &ApiRequest,
) -> Result<Called, BadField> {
    let asking = service.endpoint.as_deref().ok_or_else(request::uncalled)?.ask(asked)?;
    // What there is no rail for is told where it is decided.
    let Some(rail) = rails.get(&service.rail) else {
        let call = Bounded::plain(asking, None);
        return Ok(Called { service, call, cheaper: None, said });
    };
    let terms = Terms { max_output_tokens: said.most.map(OutputTokens::number), model: None };
    let again = said.cheaper.as_ref().map(|model| (model, asking.clone()));
    let call = rail.bound(&service, asking, terms)?;
    let cheaper = again.filter(|_| call.metering.is_some()).and_then(|(model, asking)| {
        let terms = Terms { model: Some(model.as_str()), ..terms };
        let cheaper = rail.bound(&service, asking, terms);
        if cheaper.is_err() {
            // It may have no price, or not do what is asked for.
            tracing::warn!(service = %service.id, %model, "the cheaper model cannot be used");
        }
        cheaper.ok().filter(|cheaper| cheaper.stands_in_for(&call))
    });
    Ok(Called { service, call, cheaper, said })
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
