//! What is answered where nothing is passed on: a problem (RFC 9457) with the denial that the tool
//! answers, and the message once more where the library of a vendor looks for it.

use axum::response::{IntoResponse, Response};
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::{Map, Value, json};

use super::{SHOULD_RETRY, named};
use crate::{
    http::problem::Failure,
    policy::{
        answer::{Outcome, PayAnswer},
        denial::{Advice, Code},
        endpoint::Metered,
        names::PaymentId,
        terms::Problem,
    },
};

/// Libraries come again within seconds, whatever they are told of more than a minute.
const PATIENCE_S: u64 = 60;

/// Whose library reads an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Anthropic's.
    Anthropic,
    /// `OpenAI`'s, or nobody's: others find their way in it.
    OpenAi,
}

impl Shape {
    /// That of an API.
    pub(super) fn of(metered: Metered) -> Self {
        match metered {
            Metered::AnthropicMessages => Self::Anthropic,
            Metered::OpenAiChat | Metered::OpenAiResponses => Self::OpenAi,
        }
    }

    /// That of whoever asks for a path.
    pub(super) fn by_path(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        if path.contains("/v1/messages") { Self::Anthropic } else { Self::OpenAi }
    }

    /// Its word for what is wrong.
    fn word(self, status: StatusCode) -> &'static str {
        match (status.as_u16(), self) {
            (401, _) => "authentication_error",
            (402, Self::Anthropic) => "billing_error",
            (402, Self::OpenAi) => "insufficient_quota",
            (403, _) => "permission_error",
            (404, _) => "not_found_error",
            (413, Self::Anthropic) => "request_too_large",
            (429, _) => "rate_limit_error",
            (500.., _) => "api_error",
            _ => "invalid_request_error",
        }
    }
}

/// A request that is not passed on, or to which nothing came back.
pub(super) struct Refusal {
    status: StatusCode,
    code: String,
    message: String,
    /// What else the tool would say.
    denial: Map<String, Value>,
    /// After how many seconds it may be sent again. None: not as it is.
    again_after: Option<u64>,
    payment: Option<PaymentId>,
}

impl Refusal {
    /// A refusal that no policy gives.
    pub(super) fn plain(status: StatusCode, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        let denial = Map::from_iter([("outcome".to_owned(), json!(Outcome::Denied))]);
        Self { status, code, message, denial, again_after: None, payment: None }
    }

    pub(super) fn again_after(self, seconds: u64) -> Self {
        Self { again_after: Some(seconds), ..self }
    }

    /// A request that is wrong in itself.
    pub(super) fn failure(Failure(problem): Failure) -> Self {
        let Problem { status, code, detail, hint } = problem;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        Self::plain(status, &code, &format!("{detail}{hint}. Nothing was charged."))
    }

    /// One of somebody who shows no token that pays, or who has too much under way.
    pub(super) fn stranger(failure: Failure) -> Self {
        let refusal = Self::failure(failure);
        match refusal.status {
            StatusCode::TOO_MANY_REQUESTS => refusal.again_after(1),
            _ => Self { status: StatusCode::UNAUTHORIZED, ..refusal },
        }
    }

    /// One for a service that has no name.
    pub(super) fn nameless() -> Self {
        let message = "The address names no service: it is /gateway/SERVICE/ and a path of its \
                       API. Nothing was charged.";
        Self::plain(StatusCode::NOT_FOUND, "service_unknown", message)
    }

    /// One for a client that could not tell an answer that breaks off from a whole one.
    pub(super) fn too_old() -> Self {
        let message = "An answer that breaks off looks whole over HTTP/1.0: use HTTP/1.1. Nothing \
                       was charged. (A proxy in between may be set to it: in nginx it is \
                       `proxy_http_version 1.1`.)";
        Self::plain(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "http_version", message)
    }

    /// What the engine answers; `known` says whether there is such an operation.
    pub(super) fn of(answer: &PayAnswer, known: bool) -> Self {
        let status = status(answer, known);
        let word = |code: Code| code.word().to_owned();
        let mut code = answer.refused.code.map(word).unwrap_or_default();
        let mut message = answer.refused.message.clone().unwrap_or_default();
        if let Some((own, told)) = own_words(answer) {
            (code, message) = (own.to_owned(), told);
        }
        let waits = answer.refused.retry_after_s;
        let may = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        let again_after = waits.filter(|_| may.contains(&status));
        let payment = answer.payment_id;
        let denial = match serde_json::to_value(answer) {
            Ok(Value::Object(denial)) => denial,
            Ok(_) | Err(_) => Map::new(),
        };
        Self { status, code, message, denial, again_after, payment }
    }

    pub(super) fn response(self, shape: Shape) -> Response {
        let Self { status, code, message, denial, again_after, payment } = self;
        let word = shape.word(status);
        let (kind, error) = match shape {
            Shape::Anthropic => ("error", json!({"type": word, "message": message})),
            Shape::OpenAi => {
                let error = json!({"message": message, "type": word, "code": code, "param": null});
                ("about:blank", error)
            }
        };
        let title = status.canonical_reason().unwrap_or_default();
        let own = json!({"type": kind, "error": error, "title": title, "status": status.as_u16(),
            "detail": message});
        let mut told = if let Value::Object(own) = own { own } else { Map::new() };
        told.extend(denial);
        told.insert("code".to_owned(), json!(code));
        told.insert("message".to_owned(), json!(message));
        let mut response = (status, Value::Object(told).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = again_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if again_after.is_none_or(|seconds| seconds > PATIENCE_S) {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(payment) = payment {
            named(headers, payment);
        }
        response
    }
}

/// The code and the sentence where the tool has others, or none: it speaks to who has a tool.
fn own_words(answer: &PayAnswer) -> Option<(&'static str, String)> {
    let again = answer.replayed == Some(true);
    let charged = answer.charged_usd.map(|charged| charged.to_string()).unwrap_or_default();
    match answer.refused.outcome? {
        Outcome::Paid if again => {
            let told = "This request was paid before, and its answer is no longer kept. Nothing \
                        was charged again.";
            Some(("answer_gone", told.to_owned()))
        }
        Outcome::Paid => {
            let told = format!("The payee's side did not answer, and {charged} was charged.");
            Some(("no_answer", told))
        }
        Outcome::InProgress => {
            let told = if again {
                "This request is still under way and is not sent twice: ask again later, with the \
                 same idempotency-key."
            } else {
                "Nobody knows yet what became of this request: look into the ledger before it is \
                 sent again."
            };
            Some(("payment_in_progress", told.to_owned()))
        }
        Outcome::InDoubt => {
            let told = "Nobody knows whether this request was carried out, so what it may cost \
                        stays held until an operator has looked. Do not send it again.";
            Some(("payment_in_doubt", told.to_owned()))
        }
        Outcome::Denied | Outcome::Failed | Outcome::Allowed => None,
    }
}

/// Which status says what became of a request that is not answered by its API.
///
/// 402 is for what a policy refuses, 429 and 503 are for what the same request may be sent again
/// for, and 409 is for one that was sent before.
fn status(answer: &PayAnswer, known: bool) -> StatusCode {
    let refused = &answer.refused;
    match refused.outcome {
        Some(Outcome::Paid | Outcome::InProgress | Outcome::Failed)
            if answer.replayed == Some(true) =>
        {
            StatusCode::CONFLICT
        }
        Some(Outcome::Paid | Outcome::InProgress | Outcome::InDoubt) => StatusCode::BAD_GATEWAY,
        Some(Outcome::Failed) if refused.advice == Some(Advice::Wait) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Some(Outcome::Failed) => StatusCode::PAYMENT_REQUIRED,
        Some(Outcome::Denied | Outcome::Allowed) | None => {
            // A loop is of what is refused again and again.
            let looped = refused.code.filter(|code| *code == Code::LoopDetected);
            let repeated = looped.and_then(|_| answer.breached.first().map(|breach| breach.code));
            let waits = refused.retry_after_s.is_some();
            repeated
                .or(refused.code)
                .map_or(StatusCode::INTERNAL_SERVER_ERROR, |code| status_of(code, known, waits))
        }
    }
}

/// The same of a denial; `waits` where it says how long.
fn status_of(code: Code, known: bool, waits: bool) -> StatusCode {
    match code {
        Code::InvalidRequest if !known => StatusCode::NOT_FOUND,
        Code::InvalidRequest | Code::TaskUnknown => StatusCode::BAD_REQUEST,
        Code::AgentUnknown => StatusCode::UNAUTHORIZED,
        Code::ServiceUnknown => StatusCode::NOT_FOUND,
        Code::PossibleDuplicate => StatusCode::CONFLICT,
        Code::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        Code::RateLimited if waits => StatusCode::TOO_MANY_REQUESTS,
        Code::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        Code::EngineUnavailable | Code::LedgerUnwritable | Code::LedgerDamaged => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::PaymentInDoubt | Code::PaymentFailed => StatusCode::BAD_GATEWAY,
        Code::LoopDetected
        | Code::RateLimited
        | Code::AgentRevoked
        | Code::AgentFrozen
        | Code::MandateExpired
        | Code::OutsideActiveHours
        | Code::ServiceNotAllowed
        | Code::PayeeChanged
        | Code::PriceAboveMaximum
        | Code::PerCallLimitExceeded
        | Code::CapExceeded
        | Code::InsufficientBalance
        | Code::TaskFailed
        | Code::TaskNotAllowed
        | Code::TooManyTasks => StatusCode::PAYMENT_REQUIRED,
    }
}
