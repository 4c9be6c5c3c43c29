//! The gateway: APIs that are paid for, as plain HTTP, for programs that speak no MCP.
//!
//! `/gateway/SERVICE/PATH` is `PATH` of that service's API. A program is given that as its base
//! URL and an agent's token as its key; what it asks for is decided, held, sent and charged as a
//! call of `pay_for_api_call` is. Its token is taken off here, and the API's own key put on where
//! the call is made; what the API answers goes back as it comes.

mod body;
mod refusal;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use hyper::{
    HeaderMap, Request, StatusCode, Uri, Version,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use tokio::task::yield_now;

use super::{bearer::Bearer, problem::Failure};
use crate::{
    engine::{Engine, Flow, GatewayCall, Head, Passed},
    mcp::TRACE_HEADER,
    policy::{
        came::Came,
        endpoint::ApiRequest,
        models::Models,
        names::{PaymentId, ServiceId},
        via::Via,
    },
};
use body::Bodies;
use refusal::{Refusal, Shape};

/// In which headers a program sends its key, whichever its library has for it.
const CREDENTIALS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];
/// In which header it names the task, and in which its own request: neither is sent on.
const TASK: HeaderName = HeaderName::from_static("pettycash-task");
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// In which it is told the payment, and that it was answered so before.
const PAYMENT: HeaderName = HeaderName::from_static("pettycash-payment");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// In which it is told which language model it asked for and which one answers, if that is another.
const MODEL_REQUESTED: HeaderName = HeaderName::from_static("pettycash-model-requested");
const MODEL_USED: HeaderName = HeaderName::from_static("pettycash-model-used");
/// What has a proxy in front of us gather nothing of a stream.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
/// What has the libraries of vendors send a request again, or not.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Passes requests on.
pub(super) struct Gateway {
    engine: Engine,
    bodies: Bodies,
}

impl Gateway {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine, bodies: Bodies::default() }
    }

    /// Answers a request for what is behind `/gateway/`, in the words of a vendor's library where
    /// it is for one.
    pub(super) async fn answer(
        &self,
        bearer: Result<Bearer, Failure>,
        request: Request<Incoming>,
    ) -> Response {
        let Asked { service, path } = Asked::read(request.uri());
        let mut shape = Shape::by_path(&path);
        let asked = match (bearer, service) {
            _ if request.version() < Version::HTTP_11 => Err(Refusal::too_old()),
            (Err(failure), _) => Err(Refusal::stranger(failure)),
            (Ok(_), None) => Err(Refusal::nameless()),
            (Ok(bearer), Some(service)) => Ok((bearer, service)),
        };
        let answered = match asked {
            Ok((bearer, service)) => self.passed(&bearer, service, path, request, &mut shape).await,
            Err(refusal) => {
                let (parts, body) = request.into_parts();
                body::pass_by(&parts.headers, body);
                Err(refusal)
            }
        };
        answered.unwrap_or_else(|refusal| refusal.response(shape))
    }

    async fn passed(
        &self,
        bearer: &Bearer,
        service: ServiceId,
        path: String,
        request: Request<Incoming>,
        shape: &mut Shape,
    ) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        let (task, key) = match (only(&parts.headers, &TASK), only(&parts.headers, &KEY)) {
            (Ok(task), Ok(key)) => (task, key),
            (Err(failure), _) | (_, Err(failure)) => {
                body::pass_by(&parts.headers, body);
                return Err(Refusal::failure(failure));
            }
        };
        let (body, room) = self.bodies.read(bearer.agent(), &parts.headers, body).await?;
        let trace = parts.headers.get(TRACE_HEADER).and_then(|trace| trace.to_str().ok());
        let traceparent = trace.and_then(|trace| trace.parse().ok());
        let asked = ApiRequest {
            method: Some(parts.method.to_string()),
            path: Some(path),
            headers: handed_on(&parts.headers),
            body,
            ..ApiRequest::default()
        };
        let call = GatewayCall {
            agent: bearer.agent().clone(),
            run: bearer.run().cloned(),
            came: Came::By(bearer.token().clone()),
            via: Via { traceparent, ..Via::default() }.said(),
            service,
            task,
            key,
            request: asked,
            room: Some(Box::new(room)),
        };
        let through = self.engine.pass(call).await;
        if let Some(metered) = through.metered {
            *shape = Shape::of(metered);
        }
        match through.passed {
            Passed::Answered { payment, model, head, flow } => {
                Ok(response(payment, model.as_ref(), &head, streamed(flow)))
            }
            Passed::Again { payment, model, head, body } => {
                let mut response = response(payment, model.as_ref(), &head, Body::from(body));
                let yes = HeaderValue::from_static("true");
                response.headers_mut().insert(REPLAYED, yes);
                if head.status >= 400 {
                    // It is answered so for ever.
                    let never = HeaderValue::from_static("false");
                    response.headers_mut().insert(SHOULD_RETRY, never);
                }
                Ok(response)
            }
            Passed::Not(answer) => Err(Refusal::of(&answer, through.known)),
        }
    }
}

/// What an address asks for.
struct Asked {
    /// The service; none if the name is not one that there could be.
    service: Option<ServiceId>,
    /// The path there, as it came, with its query.
    path: String,
}

impl Asked {
    fn read(uri: &Uri) -> Self {
        let rest = uri.path().strip_prefix(super::door::GATEWAY).unwrap_or_default();
        let (service, path) = rest.split_once('/').unwrap_or((rest, ""));
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Self { service: service.parse().ok(), path: format!("/{path}{query}") }
    }
}

/// The one token that the headers show, in whichever of them.
///
/// # Errors
/// Where they show several: nobody could say who pays.
pub(super) fn token_in(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    let several = || {
        let detail = "the headers show more than one token";
        Failure::new(StatusCode::UNAUTHORIZED, "token_unknown", detail)
            .hint("send one, as `Authorization: Bearer …` or as x-api-key")
    };
    let mut shown = None;
    for name in &CREDENTIALS {
        for value in headers.get_all(name) {
            let text = value.to_str().map_err(|_| several())?.trim();
            let token = match text.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
                Some(_) | None => text,
            };
            if shown.is_some_and(|shown| shown != token) {
                return Err(several());
            }
            shown = Some(token);
        }
    }
    Ok(shown)
}

/// What the one header of that name says, if there is one.
///
/// # Errors
/// Where there are several, or it is no text: which one was meant nobody could say.
fn only(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Failure> {
    let refused =
        |wrong: &str, hint: &str| Failure::invalid(format!("{wrong} `{name}`")).hint(hint);
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refused("the headers show more than one", "send it once"));
    }
    let text = str::from_utf8(value.as_bytes());
    let text = text.map_err(|_| refused("no UTF-8 is in the header", "send plain text"))?;
    Ok(Some(text.to_owned()))
}

/// The headers that may go on: all but what is for us alone. Which of them do is the service's.
fn handed_on(headers: &HeaderMap) -> Vec<(String, String)> {
    let ours = |name: &HeaderName| CREDENTIALS.contains(name) || *name == TASK || *name == KEY;
    let mut told = Vec::new();
    for name in headers.keys().filter(|name| !ours(name)) {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let values = values.map(|value| value.trim().to_owned());
        if *name == header::CONTENT_TYPE {
            // There is one, or it is refused.
            told.extend(values.map(|value| (name.to_string(), value)));
        } else {
            told.push((name.to_string(), values.collect::<Vec<_>>().join(", ")));
        }
    }
    told
}

/// An answer of an API's: its status, what of its headers is handed on, and its body.
fn response(payment: PaymentId, model: Option<&Models>, head: &Head, body: Body) -> Response {
    let status = StatusCode::from_u16(head.status).ok();
    // What is no answer yet cannot be one here.
    let status = status.filter(|status| !status.is_informational());
    let mut response = (status.unwrap_or(StatusCode::BAD_GATEWAY), body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in &head.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            headers.append(name, value);
        }
    }
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    named(headers, payment);
    if let Some(Models { asked: Some(asked), used }) = model {
        for (name, model) in [(MODEL_REQUESTED, asked), (MODEL_USED, used)] {
            if let Ok(model) = model.as_str().parse() {
                headers.insert(name, model);
            }
        }
    }
    response
}

/// Tells the payment.
fn named(headers: &mut HeaderMap, payment: PaymentId) {
    if let Ok(payment) = payment.to_string().parse() {
        headers.insert(PAYMENT, payment);
    }
}

/// A body as it comes. One that breaks off breaks the connection, so that nobody takes what came
/// for all of it.
fn streamed(flow: Flow) -> Body {
    Body::from_stream(stream::try_unfold(flow, async |mut flow: Flow| match flow.next().await {
        Ok(bytes) => Ok(bytes.map(|bytes| (bytes, flow))),
        Err(broken) => {
            // What came before leaves first: who has not even got a head would send it again.
            yield_now().await;
            Err(broken)
        }
    }))
}
