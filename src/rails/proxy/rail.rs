//! The rail of services that are APIs with a key: it makes the call, and says what that cost.

use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::{
    Answer, Body, Broken, Call, Carried, End, Outcome, Place, Secret, SecretError, Secrets, Site,
    Source, Wire, metered::bounded, told,
};
use crate::{
    policy::{
        denial::BadField,
        endpoint::{Asking, Endpoint, OnUnknown, Operation, Pointer, PriceAt, Pricing, SecretRef},
        entry::CaptureFlag,
        mandate::Service,
        money::Usd,
        names::RailName,
    },
    rails::{
        Bounded, Dispatch, Head, Order, Part, Rail, Reply, Terms, Verdict,
        meter::{Count, Counted, Shared},
    },
};

/// How much longer than a call the engine waits for it: connecting may take that long again.
const LONGER: Duration = Duration::from_secs(15);
/// What has the libraries of vendors send a request again, or not.
const SHOULD_RETRY: &str = "x-should-retry";
/// How much of a body is kept to find a price in it.
const MAX_PRICED: usize = 1024 * 1024;

/// Calls APIs with keys that only it has.
#[derive(Debug, Default)]
pub struct Proxy {
    wire: Wire,
    secrets: Secrets,
    prices: Shared,
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
enum Unready {
    #[error("there is nothing to call")]
    NoCall,
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl Proxy {
    /// A rail over this wire.
    pub fn over(wire: Wire) -> Self {
        Self { wire, ..Self::default() }
    }

    /// The same, that meters by these prices.
    #[must_use]
    pub fn metering_by(self, prices: Shared) -> Self {
        Self { prices, ..self }
    }

    async fn made(&self, order: &Order, reply: &Reply) -> Result<Verdict, Unready> {
        let endpoint = order.service.endpoint.as_deref().ok_or(Unready::NoCall)?;
        let asking = order.request.as_deref().ok_or(Unready::NoCall)?;
        let operation = endpoint.operation(asking.operation.as_str()).ok_or(Unready::NoCall)?;
        let site = Site::of(&endpoint.base_url);
        let secret = match &endpoint.secret {
            Some(named) => Some(self.secrets.read(&source(named)).await?),
            None => None,
        };
        let keep = kept(operation);
        let call = Call {
            site: &site,
            method: Method::from_bytes(asking.method.as_str().as_bytes())
                .map_err(|_| Unready::NoCall)?,
            target: &asking.target,
            headers: headers(endpoint, asking, order).ok_or(Unready::NoCall)?,
            body: asking.body.clone(),
            secret: secret.as_deref().map(|secret| carried(endpoint, secret)),
            within: Duration::from_secs(endpoint.timeout_s.into()),
            max_body: endpoint.max_response_bytes.into(),
            keep: &keep,
        };
        let (agent, payment) = (&order.agent, order.payment);
        Ok(match self.wire.call(&call).await {
            Outcome::NotSent(unsent) => {
                tracing::warn!(%agent, %payment, service = %order.service.id, why = %unsent,
                    "nothing was sent");
                reply.explain(format!("{unsent}: {}", unsent.remedy()));
                Verdict::NotSent
            }
            Outcome::Broken(broken) => {
                reply.explain(format!("{broken}: {}", broken.remedy()));
                unknown(endpoint, order, Some(broken))
            }
            Outcome::Answered(answer) => {
                // It may have been replaced: what a command said is asked for anew.
                if let (401 | 403, Some(named)) = (answer.head.status, &endpoint.secret) {
                    self.secrets.forget(&source(named));
                }
                handed_on(*answer, (endpoint, operation), order, reply).await
            }
        })
    }
}

impl Rail for Proxy {
    fn name(&self) -> RailName {
        RailName::proxy()
    }

    fn dispatch(&self, service: &Service) -> Dispatch {
        let endpoint = service.endpoint.as_deref();
        let seconds = endpoint.map_or(0, |endpoint| endpoint.timeout_s);
        Dispatch::Called { within: Duration::from_secs(seconds.into()) + LONGER }
    }

    fn bound(&self, service: &Service, call: Asking, terms: Terms) -> Result<Bounded, BadField> {
        let endpoint = service.endpoint.as_deref();
        let operation = endpoint.and_then(|known| known.operation(call.operation.as_str()));
        if operation.is_some_and(|operation| !service.prices(operation)) {
            return Err(unpriced(&call));
        }
        match (endpoint, operation.map(|operation| &operation.price)) {
            (None, _) | (_, None | Some(Pricing::Service)) => Ok(Bounded::plain(call, None)),
            (_, Some(Pricing::Fixed(price))) => Ok(Bounded::plain(call, Some(*price))),
            (_, Some(Pricing::Answered { at_most, .. })) => {
                Ok(Bounded::plain(call, Some(*at_most)))
            }
            (Some(endpoint), Some(Pricing::Metered { metered, strict })) => {
                bounded(endpoint, (*metered, *strict), &self.prices.get(), call, terms)
            }
        }
    }

    fn pay<'a>(&'a self, order: &'a Order, reply: Reply) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let made = self.made(order, &reply).await;
            made.unwrap_or_else(|why| {
                let (agent, payment) = (&order.agent, order.payment);
                let service = &order.service.id;
                tracing::error!(%agent, %payment, %service, %why, "the call could not be made");
                reply.explain(why.to_string());
                Verdict::NotReady
            })
        })
    }
}

/// Why a call is not made that has no price, as older records may have it: whoever calls would say
/// what a key costs that is not theirs.
fn unpriced(call: &Asking) -> BadField {
    BadField {
        field: "request.operation".to_owned(),
        got: format!("\"{}\"", call.operation),
        expected: "an operation that the operator gave a price; this one has none".to_owned(),
        example: String::new(),
    }
}

/// Hands an answer on as it comes, and says what it cost.
async fn handed_on(
    answer: Answer,
    (endpoint, operation): (&Endpoint, &Operation),
    order: &Order,
    reply: &Reply,
) -> Verdict {
    let Answer { head, mut body } = answer;
    let mut reads = reply.send(Part::Head(begun(&head, endpoint))).await;
    let mut count = order.metering.as_deref().map(|by| by.count(head.content_type.as_deref()));
    let priced_inside = matches!(&operation.price, Pricing::Answered { at: PriceAt::Json(_), .. });
    let most = if priced_inside { MAX_PRICED } else { 0 };
    let (told, broken) = passed(&mut body, count.as_mut(), most, reply, &mut reads).await;
    if broken.is_none() && body.end() == Some(End::Whole) {
        reply.send(Part::End).await;
    }
    if endpoint.free_on.contains(head.status) {
        return Verdict::Failed;
    }
    if let Some(why) = body.end().and_then(withheld) {
        let (agent, payment, service) = (&order.agent, order.payment, &order.service.id);
        tracing::warn!(%agent, %payment, %service, why, "not all of the answer was handed on");
        reply.explain(why.to_owned());
    }
    let counted = count.map(Count::finish);
    if !endpoint.charge_on.contains(head.status) {
        return match counted {
            // Whatever the status means, what was used was used.
            Some(counted) if counted.amount > order.amount => charged(&counted, endpoint, order),
            Some(_) | None => unknown(endpoint, order, broken),
        };
    }
    if let Some(counted) = counted {
        return charged(&counted, endpoint, order);
    }
    let price = match &operation.price {
        // It was answered, and so it is paid for, whatever became of the rest of the answer.
        Pricing::Service | Pricing::Fixed(_) => Some(order.amount),
        Pricing::Answered { at: PriceAt::Header(name), .. } => {
            let named = head.headers.iter().find(|(one, _)| one.as_str() == name.as_str());
            named.and_then(|(_, value)| told::price(value))
        }
        Pricing::Answered { at: PriceAt::Json(pointer), .. } => priced(&told, pointer),
        Pricing::Metered { .. } => None,
    };
    let (agent, payment, held) = (&order.agent, order.payment, order.amount);
    match price {
        Some(price) if price > held => {
            tracing::warn!(%agent, %payment, %price, %held, "it says more than it may cost");
            Verdict::Flagged(held, CaptureFlag::AboveCeiling)
        }
        Some(price) => Verdict::Captured(price),
        None => {
            tracing::warn!(%agent, %payment, "the answer does not say what it cost");
            reply.explain(
                "the answer does not say what it cost: see `price_from`, or `metered`".to_owned(),
            );
            unknown(endpoint, order, broken)
        }
    }
}

/// What is handed on of the head of an answer. Where nobody knows whether it is charged, libraries
/// are told not to ask again.
fn begun(head: &super::Head, endpoint: &Endpoint) -> Head {
    let sure = [&endpoint.charge_on, &endpoint.free_on];
    let sure = sure.into_iter().any(|statuses| statuses.contains(head.status));
    let kind = head.content_type.clone().map(|kind| ("content-type".to_owned(), kind));
    let others = head.headers.iter().filter(|(name, _)| {
        Head::hands_on(name.as_str()) && (sure || name.as_str() != SHOULD_RETRY)
    });
    let others = others.map(|(name, value)| (name.as_str().to_owned(), value.clone()));
    let never = (!sure).then(|| (SHOULD_RETRY.to_owned(), "false".to_owned()));
    let headers = kind.into_iter().chain(others).chain(never).collect();
    Head { status: head.status, headers }
}

/// Why not all of an answer is handed on that came to its end.
fn withheld(end: End) -> Option<&'static str> {
    match end {
        End::Whole => None,
        End::Packed => Some("it came packed, which nobody asked for, and is not unpacked"),
        End::Truncated => Some("it is longer than `max_response_bytes`: raise that for the rest"),
    }
}

/// What a call comes to of which nobody knows whether it is charged.
fn unknown(endpoint: &Endpoint, order: &Order, broken: Option<Broken>) -> Verdict {
    let (agent, payment, service) = (&order.agent, order.payment, &order.service.id);
    let why = broken.map(|why| why.to_string());
    if order.amount.is_zero() && order.metering.is_none() {
        // It costs nothing however it ended: there is nothing to find out.
        return Verdict::Captured(Usd::ZERO);
    }
    tracing::warn!(%agent, %payment, %service, why, "nobody knows whether the call is charged");
    match endpoint.on_unknown {
        OnUnknown::Hold => Verdict::InDoubt,
        OnUnknown::Capture => Verdict::Flagged(order.amount, CaptureFlag::OutcomeUnknown),
    }
}

/// Hands a body on as it comes, but for what is not its caller's. What it began with and how it
/// broke, if it did.
async fn passed(
    body: &mut Body,
    mut count: Option<&mut Count<'_>>,
    most: usize,
    reply: &Reply,
    reads: &mut bool,
) -> (Vec<u8>, Option<Broken>) {
    let mut told = Vec::new();
    let broken = loop {
        let bytes = match body.chunk().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break None,
            Err(why) => {
                reply.explain(format!("{why}: {}", why.remedy()));
                break Some(why);
            }
        };
        if told.len() < most {
            told.extend_from_slice(&bytes);
        }
        let bytes = match &mut count {
            Some(count) => count.take(bytes),
            None => bytes,
        };
        // Whoever asked may have gone: what is paid for is read all the same.
        *reads = *reads && (bytes.is_empty() || reply.send(Part::Chunk(bytes)).await);
    };
    let rest = count.map(Count::rest).unwrap_or_default();
    if *reads && !rest.is_empty() {
        *reads = reply.send(Part::Chunk(rest)).await;
    }
    (told, broken)
}

/// What a metered call comes to. What its vendor did not tell to the end is in doubt, unless more
/// is known to be used than is held: a hold cannot grow, so that a doubt would count for less than
/// is known. It is taken then, with the whole hold for what is not known: what came in has been
/// told, and whatever may still come out was held for. That is never too little, and what was too
/// much an operator gives back.
fn charged(counted: &Counted, endpoint: &Endpoint, order: &Order) -> Verdict {
    let Counted { amount, complete, flags } = counted;
    let (agent, payment, held) = (&order.agent, order.payment, order.amount);
    if !flags.is_empty() {
        let odd: Vec<String> = flags.iter().map(ToString::to_string).collect();
        tracing::warn!(%agent, %payment, odd = odd.join("; "), "odd about what was used");
    }
    if !complete {
        tracing::warn!(%agent, %payment, known = %amount, "not all that was used is known");
    }
    match (complete, endpoint.on_unknown) {
        (true, _) if *amount > held => Verdict::Flagged(*amount, CaptureFlag::Overrun),
        (true, _) => Verdict::Captured(*amount),
        (false, OnUnknown::Hold | OnUnknown::Capture) if *amount > held => {
            Verdict::Flagged(amount.saturating_plus(held), CaptureFlag::UsageIncomplete)
        }
        (false, OnUnknown::Hold) => Verdict::InDoubt,
        (false, OnUnknown::Capture) => Verdict::Flagged(held, CaptureFlag::UsageIncomplete),
    }
}

/// The price that a body of JSON says, as text or as a number.
fn priced(body: &[u8], at: &Pointer) -> Option<Usd> {
    let body: Value = serde_json::from_slice(body).ok()?;
    match body.pointer(at.as_str())? {
        Value::String(text) => told::price(text),
        Value::Number(number) => told::price(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The headers of an answer that are needed here.
fn kept(operation: &Operation) -> Vec<HeaderName> {
    match &operation.price {
        Pricing::Answered { at: PriceAt::Header(name), .. } => {
            HeaderName::from_bytes(name.as_str().as_bytes()).into_iter().collect()
        }
        Pricing::Answered { .. }
        | Pricing::Service
        | Pricing::Fixed(_)
        | Pricing::Metered { .. } => Vec::new(),
    }
}

/// All headers but those with the secret; the payment's id where the service takes a name for it.
fn headers(endpoint: &Endpoint, asking: &Asking, order: &Order) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let name = endpoint.idempotency_header.iter().map(|name| (name, order.payment.to_string()));
    let asked = asking.headers.iter().map(|(name, value)| (name, value.clone()));
    for (name, value) in asked.chain(name) {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        headers.insert(name, HeaderValue::from_str(&value).ok()?);
    }
    Some(headers)
}

/// The secret with the places it goes to.
fn carried<'a>(endpoint: &Endpoint, secret: &'a Secret) -> Carried<'a> {
    let headers = endpoint.secret_headers().filter_map(|(name, before)| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        Some(Place::Header { name, before: before.to_owned() })
    });
    let query = endpoint
        .secret_query()
        .map(|(name, before)| Place::Query { name: name.to_owned(), before: before.to_owned() });
    Carried { secret, places: headers.chain(query).collect() }
}

fn source(named: &SecretRef) -> Source {
    match named {
        SecretRef::Env(name) => Source::Env(name.clone()),
        SecretRef::File(path) => Source::File(path.into()),
        SecretRef::Command(line) => Source::Command(line.clone()),
        SecretRef::Keyring(name) => Source::Keyring(name.clone()),
    }
}
