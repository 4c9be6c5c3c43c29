//! The call of an API that a payment is for: read, priced and named before anything is decided.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Engine, EngineError, request};
use crate::{
    policy::{
        answer::PayAnswer,
        denial::BadField,
        downgrade::OutputTokens,
        endpoint::{ApiRequest, Asking},
        entry::{Fact, Hash},
        mandate::{Mandate, Service},
        models::Models,
        money::Usd,
        names::{Handle, ModelName, RunId, ServiceId},
        rooms::Spender,
        state::State,
    },
    rails::{Bounded, Rails, Terms, meter::Metering},
};

/// What an agent's mandate says of calls of language models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    max_output: Option<OutputTokens>,
    /// What is used in place of a dearer model, once so much of a cap is spent.
    cheaper: Option<ModelName>,
}

impl Rules {
    pub(super) fn of(mandate: &Mandate) -> Self {
        let cheaper = mandate.downgrade().map(|(_, to)| to.clone());
        Self { max_output: mandate.max_output_tokens, cheaper }
    }
}

/// A service, and what the mandate of whoever calls it says.
pub(super) struct Callable {
    pub(super) service: Service,
    pub(super) rules: Rules,
}

/// A call that is asked for, of a service as the catalogue had it then and by the rules of then.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) service: Service,
    pub(super) rules: Rules,
    /// The call as it was asked for.
    pub(super) fit: Fit,
    /// The same of the mandate's cheaper model, where that is one.
    cheaper: Option<Fit>,
}

/// A call as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    /// What is sent.
    pub(super) asking: Arc<Asking>,
    /// The most that it can cost, where the service's own price is not that.
    pub(super) bound: Option<Usd>,
    /// The language model that it is of, where it is metered, and what its charge goes by.
    pub(super) model: Option<Models>,
    pub(super) metering: Option<Arc<Metering>>,
}

impl From<Bounded> for Fit {
    fn from(bounded: Bounded) -> Self {
        let Bounded { amount: bound, asking, model, metering } = bounded;
        Self { asking: Arc::new(asking), bound, model, metering }
    }
}

impl Fit {
    /// Whether this costs no more than another, whatever comes of it.
    fn is_no_dearer_than(&self, other: &Self) -> bool {
        let metering = self.metering.as_ref().zip(other.metering.as_ref());
        self.bound <= other.bound
            && metering.is_some_and(|(this, other)| this.is_no_dearer_than(other))
    }
}

impl Called {
    /// The service as this call of it is priced.
    pub(super) fn priced(&self) -> Service {
        Service { price: self.fit.bound.or(self.service.price), ..self.service.clone() }
    }

    /// The call of the cheaper model where the mandate has that one used by now.
    #[must_use]
    pub(super) fn downgraded(self, spender: &Spender, run: Option<&RunId>, now: Timestamp) -> Self {
        let due = self.cheaper.is_some() && spender.downgrades(&self.service, run, now).is_some();
        let fit = self.cheaper.filter(|_| due).unwrap_or(self.fit);
        Self { fit, cheaper: None, ..self }
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
        let Some(found) = self.callable(agent, service).await? else { return Ok(Ok(None)) };
        Ok(read(&self.rails, found, asked).map(Some))
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
            Some(Callable { service, rules: Rules::of(mandate) })
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
    Callable { service, rules }: Callable,
    asked: &ApiRequest,
) -> Result<Called, BadField> {
    let asking = service.endpoint.as_deref().ok_or_else(request::uncalled)?.ask(asked)?;
    // What there is no rail for is told where it is decided.
    let Some(rail) = rails.get(&service.rail) else {
        let fit = Bounded::plain(asking, None).into();
        return Ok(Called { service, rules, fit, cheaper: None });
    };
    let max_output_tokens = rules.max_output.and_then(|most| i64::from(most).try_into().ok());
    let terms = Terms { max_output_tokens, model: None };
    let other = rules.cheaper.as_ref().map(|model| (model, asking.clone()));
    let fit = Fit::from(rail.bound(&service, asking, terms)?);
    // A call that the cheaper model cannot do is made by the one that was asked for.
    let cheaper = other.filter(|_| fit.metering.is_some()).and_then(|(model, asking)| {
        let terms = Terms { model: Some(model.as_str()), ..terms };
        rail.bound(&service, asking, terms).ok().map(Fit::from)
    });
    let cheaper = cheaper.filter(|cheaper| cheaper.is_no_dearer_than(&fit));
    Ok(Called { service, rules, fit, cheaper })
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
