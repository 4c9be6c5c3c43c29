//! What programs that speak no MCP ask for: a payment for each HTTP request, whose answer goes to
//! them as it comes.
//!
//! It is the road of `pay.rs`, with another beginning and another end: what is asked for is an
//! HTTP request, and what is answered to it is handed on piece by piece and not gathered.

use hyper::body::Bytes;
use tokio::sync::oneshot;

use super::{
    Engine, EngineError,
    called::{self, Called},
    gates::Asker,
    malformed::Malformed,
    pay::Asked,
    request::{Misread, bad_header},
    send::{Begun, Passing, Room},
};
use crate::{
    policy::{
        answer::{Outcome, PayAnswer},
        came::Came,
        denial::BadField,
        endpoint::{ApiRequest, Endpoint, Metered, Method, Operation},
        models::Models,
        names::{Handle, IdempotencyKey, PaymentId, RunId, ServiceId},
        state::State,
        task::TaskId,
        via::Via,
    },
    rails::{Part, Reading},
    store::StoreError,
};

pub use crate::rails::Head;

/// One HTTP request that is to be passed on.
pub struct GatewayCall {
    /// Who calls.
    pub agent: Handle,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// How whoever asks came.
    pub came: Came,
    /// What the client says of where it comes from.
    pub via: Option<Via>,
    /// The service whose API is called.
    pub service: ServiceId,
    /// The task it belongs to, as it was named.
    pub task: Option<String>,
    /// The caller's name for the request, by which it can be sent again. Without one each request
    /// is a payment of its own.
    pub key: Option<String>,
    /// Method, path with its query, headers and body, as they came. The headers that the caller
    /// may not set are left out here.
    pub request: ApiRequest,
    /// What holds the place of the body until the payment has come to its end.
    pub room: Option<Room>,
}

/// What a request comes to.
#[derive(Debug)]
pub struct Through {
    /// What it comes to.
    pub passed: Passed,
    /// Whether the service has such an operation.
    pub known: bool,
    /// What kind of language model's API the operation is, if it is one.
    pub metered: Option<Metered>,
}

/// How a request was answered, or why not.
#[derive(Debug)]
pub enum Passed {
    /// The API answers.
    Answered {
        /// The payment.
        payment: PaymentId,
        /// The language model that answers.
        model: Option<Models>,
        /// How the answer begins.
        head: Head,
        /// The rest, as it comes.
        flow: Flow,
    },
    /// It answered before, to the same request with the same key.
    Again {
        /// The payment.
        payment: PaymentId,
        /// The language model that answered.
        model: Option<Models>,
        /// How the answer began.
        head: Head,
        /// All of the rest.
        body: Bytes,
    },
    /// There is no answer: it was refused, or nobody knows, or nothing came back.
    Not(Box<PayAnswer>),
}

/// The body of an answer as it comes. Whoever lets go of it ends nothing.
#[derive(Debug)]
pub struct Flow {
    reading: Reading,
    settled: oneshot::Receiver<()>,
}

/// It broke off before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub struct BrokenOff;

impl Flow {
    /// The next bytes; nothing at the end, by when what was paid counts for what is asked next.
    ///
    /// # Errors
    /// Where it broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        match self.reading.next().await {
            Some(Part::Chunk(bytes)) => Ok(Some(bytes)),
            Some(Part::End) => {
                let _ = (&mut self.settled).await;
                Ok(None)
            }
            Some(Part::Head(_)) | None => Err(BrokenOff),
        }
    }
}

/// A request whose service is looked up.
struct Found {
    called: Result<Option<Called>, BadField>,
    known: bool,
    metered: Option<Metered>,
}

impl Engine {
    /// Passes a request on, or says why not.
    pub async fn pass(&self, call: GatewayCall) -> Through {
        let handle = call.agent.clone();
        let through = self.passed_or_not(call).await.unwrap_or_else(|error| {
            let answer = PayAnswer { refused: error.refused(), ..PayAnswer::default() };
            Through { passed: Passed::Not(answer.into()), known: true, metered: None }
        });
        let payment = through.passed.payment();
        tracing::debug!(agent = %handle, ?payment, "a request was passed on, or not");
        through
    }

    async fn passed_or_not(&self, call: GatewayCall) -> Result<Through, EngineError> {
        let GatewayCall { agent, run, came, via, service, task, key, mut request, room } = call;
        let found = self.found(&agent, &service, &mut request).await?;
        let (known, metered) = (found.known, found.metered);
        let through = |passed| Through { passed, known, metered };
        let named = named("idempotency-key", key).and_then(|key| {
            let task: Option<TaskId> = named("pettycash-task", task)?;
            Ok((key, task, found.called?))
        });
        let (key, task, called) = match named {
            Ok(named) => named,
            Err(bad) => {
                let bad = Box::new(Misread { bad, service: Some(service), amount: None });
                let asked = Malformed { agent, run, came, bad, via, call: None };
                let answer = self.refuse(asked, false).await?;
                return Ok(through(Passed::Not(answer.into())));
            }
        };
        let digest = Some(called::digest(&request));
        // What is sent is in the call by now.
        drop(request);
        let asked = Asked {
            agent: agent.clone(),
            run,
            came,
            service,
            amount: None,
            key: key.clone(),
            call: None,
            via,
            task,
            request: digest,
            called,
            each_its_own: true,
        };
        let (rails, seats) = (self.rails.clone(), self.seats.clone());
        let decide = move |state: &State, id, now| asked.decide((&rails, &seats), state, id, now);
        let begun = match self.begin_passing(decide, key.is_some(), room).await {
            // It may be on disk: to say that nothing was charged could be a lie.
            Err(StoreError::Uncertain { .. }) => {
                let key: Option<String> = key.map(|key: IdempotencyKey| key.to_string());
                Begun::Not(PayAnswer::in_progress(None, key).into())
            }
            begun => begun?,
        };
        Ok(through(match begun {
            Begun::Not(answer) => {
                let answer = self.with_model(&agent, *answer).await;
                self.again(&agent, answer.into())
            }
            Begun::Sent(passing) => answered(passing).await,
        }))
    }

    /// Looks a request's service up, takes from the request the headers that its caller may not
    /// set, and makes a call of it.
    async fn found(
        &self,
        agent: &Handle,
        service: &ServiceId,
        request: &mut ApiRequest,
    ) -> Result<Found, EngineError> {
        let Some(found) = self.callable(agent, service).await? else {
            // There is no such service for this agent: that is told where it is decided.
            return Ok(Found { called: Ok(None), known: true, metered: None });
        };
        let endpoint = found.service.endpoint.as_deref();
        let may = |name: &str| {
            let name = name.parse().ok();
            endpoint.zip(name).is_some_and(|(endpoint, name)| endpoint.may_set(&name))
        };
        request.headers.retain(|(name, _)| may(name));
        let operation = endpoint.map(|endpoint| operation(endpoint, request));
        let (known, metered) = operation.unwrap_or((false, None));
        let who = Asker::Agent(agent.clone());
        let called = self.read(&who, found, request).await?.map(Some);
        Ok(Found { called, known, metered })
    }

    /// What was decided without sending anything: perhaps it was sent before, and answered.
    fn again(&self, agent: &Handle, answer: Box<PayAnswer>) -> Passed {
        let settled =
            [Some(Outcome::Paid), Some(Outcome::Failed)].contains(&answer.refused.outcome);
        let replayed = answer.replayed == Some(true) && settled;
        let payment = answer.payment_id.filter(|_| replayed);
        let told = payment.and_then(|payment| Some((payment, self.spool.get(agent, payment)?)));
        match told.filter(|(_, told)| told.is_whole()) {
            Some((payment, told)) => {
                let models = answer.model_requested.zip(answer.model_used);
                let model = models.map(|(requested, used)| Models::of(requested, used));
                Passed::Again { payment, model, head: told.head.clone(), body: told.body.clone() }
            }
            None => Passed::Not(answer),
        }
    }
}

impl Passed {
    /// The payment, or the refusal.
    pub fn payment(&self) -> Option<PaymentId> {
        match self {
            Self::Answered { payment, .. } | Self::Again { payment, .. } => Some(*payment),
            Self::Not(answer) => answer.payment_id,
        }
    }
}

/// Waits for the beginning of an answer; where none comes, for what became of the payment.
async fn answered(passing: Passing) -> Passed {
    let Passing { payment, model, mut reading, settled, ended } = passing;
    if let Some(Part::Head(head)) = reading.next().await {
        return Passed::Answered { payment, model, head, flow: Flow { reading, settled } };
    }
    let unknown = |_| PayAnswer::in_progress(Some(payment), None);
    Passed::Not(ended.await.unwrap_or_else(unknown).into())
}

/// Whether an endpoint has an operation of a request's path, and what kind it is of.
fn operation(endpoint: &Endpoint, request: &ApiRequest) -> (bool, Option<Metered>) {
    let method: Option<Method> = request.method.as_deref().and_then(|method| method.parse().ok());
    let path = request.path.as_deref().unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let found = method.and_then(|method| endpoint.matching(method, path));
    (found.is_some(), found.and_then(Operation::metered))
}

/// What a header names, by the rule of its type.
fn named<T>(header: &str, text: Option<String>) -> Result<Option<T>, BadField>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|cause: T::Err| bad_header(header, &text, &cause.to_string()))
}
