//! The operator's own call of a service: by the same rail as an agent's, with the same key, and
//! with nobody's money. What it would have come to is told, and written down.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    Engine, EngineError,
    called::{Callable, Said},
    gates::Asker,
    request,
    send::ask,
    spool::collect,
};
use crate::{
    policy::{
        answer::ServiceName,
        denial::BadField,
        endpoint::{Endpoint, Method},
        mandate::Service,
        money::Usd,
        names::{Handle, PaymentId, ServiceId},
        operate::OperateError,
        service_test::{ServiceTested, TestOutcome, tested},
        state::State,
        terms::{ServiceTest, TestAsked},
    },
    rails::{Dispatch, Order, Reply, Verdict},
    store::{Purpose, StoreError},
};

/// How long it may take: whoever asks waits for it.
const WITHIN: Duration = Duration::from_secs(20);
/// Who pays, for the log.
const OPERATOR: &str = "operator";
/// Positions of the record never come up to this, so that no id of a payment is sent twice.
const BEYOND: u64 = 1 << 47;

impl Engine {
    /// Calls a service as an operator. Nothing is held and nobody is charged here; the API's side
    /// may charge whoever the key is of.
    ///
    /// # Errors
    /// If there is no such service or nothing to call, or the store refuses.
    pub async fn test_service(
        &self,
        id: &ServiceId,
        asked: TestAsked,
    ) -> Result<ServiceTest, EngineError> {
        let looking = id.clone();
        let found = self.look(move |state: &State, _| state.service(&looking).cloned()).await?;
        let service = found.ok_or_else(|| OperateError::UnknownService(id.clone()))?;
        let Some(rail) = self.rails.get(&service.rail).cloned() else {
            self.knows_rail(&service.rail)?;
            return Err(uncalled(&service));
        };
        let endpoint = service.endpoint.as_deref().ok_or_else(|| uncalled(&service))?;
        let Dispatch::Called { within } = rail.dispatch(&service) else {
            return Err(uncalled(&service));
        };
        let request = request::api_request(&wanted(endpoint, asked)?).map_err(told)?;
        // It is nobody's mandate that it goes by.
        let found = Callable { service, said: Said::default() };
        let called = self.read(&Asker::Operator, found, &request).await?.map_err(told)?;
        let held = called.priced().price;
        let order = Order {
            payment: name()?,
            agent: OPERATOR.parse::<Handle>().map_err(|_| StoreError::Panicked)?,
            service: called.service.clone(),
            amount: held.unwrap_or(Usd::ZERO),
            request: Some(Arc::new(called.call.asking.clone())),
            metering: called.call.metering.clone(),
        };
        let (reply, mut reading) = Reply::channel();
        let why = reading.why();
        let answered = tokio::spawn(async move { collect(&mut reading, None, None).await });
        let verdict = ask(rail, order, reply, within.min(WITHIN)).await;
        let answered = answered.await.ok().flatten();
        let (outcome, charge) = outcome(verdict);
        let status = answered.as_ref().map(|told| told.head.status);
        let why = why.get().cloned();
        let missing =
            || (status.is_none()).then(|| "there was no answer in time: try again".to_owned());
        let test = ServiceTest {
            service_id: ServiceName(id.clone()),
            operation: called.call.asking.operation.to_string(),
            outcome,
            would_hold_usd: held,
            would_charge_usd: charge.filter(|_| held.is_some()),
            why: why.or_else(|| status.and_then(of_status).map(str::to_owned)).or_else(missing),
            size: answered.as_ref().map(|told| told.size),
            response: answered.map(|told| told.response()),
        };
        let fact = ServiceTested {
            service: id.clone(),
            operation: called.call.asking.operation.clone(),
            outcome,
            status,
            charge: test.would_charge_usd,
            token: self.shown_token(),
        };
        let decide = move |_: &State, _| Ok::<_, EngineError>((tested(fact), ()));
        self.act(Purpose::Record, decide, |_, _, ()| ()).await?;
        tracing::info!(service = %id, ?outcome, status, "service tested");
        Ok(test)
    }
}

/// A name for the call where the API takes one: no payment's, now or ever.
fn name() -> Result<PaymentId, StoreError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| StoreError::Panicked)?;
    let drawn = u64::from_be_bytes(bytes);
    let salt = u16::try_from(drawn & u64::from(u16::MAX)).unwrap_or_default();
    Ok(PaymentId::new(BEYOND | (drawn >> 17), salt))
}

fn outcome(verdict: Verdict) -> (TestOutcome, Option<Usd>) {
    match verdict {
        Verdict::Captured(amount) | Verdict::Flagged(amount, _) => {
            (TestOutcome::Charged, Some(amount))
        }
        Verdict::Failed => (TestOutcome::Free, None),
        Verdict::NotSent | Verdict::NotReady => (TestOutcome::NotSent, None),
        Verdict::InDoubt => (TestOutcome::Unknown, None),
    }
}

/// The request that is meant, as an agent would send it.
fn wanted(endpoint: &Endpoint, asked: TestAsked) -> Result<Value, EngineError> {
    let mut request = match &asked.request {
        None => json!({}),
        Some(text) => match serde_json::from_str(text) {
            Ok(Value::Object(request)) => Value::Object(request),
            Ok(_) | Err(_) => {
                return Err(EngineError::Asked(
                    "the request is no JSON of an object, such as {\"query\": {\"q\": \"tea\"}}"
                        .to_owned(),
                ));
            }
        },
    };
    let says = ["operation", "operation_id", "operationId", "path"];
    if let Some(operation) = asked.operation {
        request["operation"] = Value::String(operation);
    } else if !says.iter().any(|field| request.get(field).is_some()) {
        request["operation"] = Value::String(plainest(endpoint)?);
    }
    Ok(request)
}

/// The first operation that only reads, and can be called without another word.
fn plainest(endpoint: &Endpoint) -> Result<String, EngineError> {
    let mut operations = endpoint.operations.iter();
    let plain = operations.find(|operation| {
        operation.method == Method::Get && !operation.path.to_string().contains('{')
    });
    if let Some(plain) = plain {
        return Ok(plain.name.to_string());
    }
    let each =
        endpoint.operations.iter().take(8).map(|operation| {
            format!("`{}` ({} {})", operation.name, operation.method, operation.path)
        });
    let each = each.collect::<Vec<_>>().join(", ");
    Err(EngineError::Asked(format!(
        "say which operation to call, and with what: there is {each}, and none that only reads \
         and takes no parameters"
    )))
}

fn uncalled(service: &Service) -> EngineError {
    let (id, rail) = (&service.id, &service.rail);
    EngineError::Asked(format!("`{id}` is paid by {rail}, and nothing is called for it"))
}

fn told(bad: BadField) -> EngineError {
    let BadField { field, got, expected, .. } = bad;
    EngineError::Asked(format!("{field} is {got}: it has to be {expected}"))
}

/// What a status says that an operator could mend.
fn of_status(status: u16) -> Option<&'static str> {
    match status {
        401 | 403 => Some("the API does not take the key: see `secret` and `headers`"),
        404 | 405 => Some("the API has no such path: see `base_url` and the operation's `path`"),
        400 | 415 | 422 => Some("the API does not take the request: see what it says"),
        429 => Some("the API has had enough requests for now: try again later"),
        300..=399 => Some("the API points elsewhere, which is not followed: see `base_url`"),
        500..=599 => {
            Some("the API failed, and does not say whether it charges for that: try again later")
        }
        _ => None,
    }
}
