//! Problems, and the strict reading of requests whose mistakes they tell.

use std::{str::FromStr, time::Duration};

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::{
    engine::EngineError,
    policy::{names::NameError, terms::Problem},
};

/// The longest body of a request that is read.
pub(super) const MAX_BODY: usize = 256 * 1024;
/// The longest one that holds a whole policy.
pub(super) const MAX_POLICY: usize = 8 * 1024 * 1024;
/// The longest body that is let pass by, so that its sender comes to read why it was refused.
pub(super) const MAX_REFUSED_BODY: usize = 16 * 1024 * 1024;
/// How long a body may take to arrive.
pub(super) const BODY_WITHIN: Duration = Duration::from_secs(10);

/// A request that is refused.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Problem);

impl Failure {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let (status, code, detail) = (status.as_u16(), code.to_owned(), detail.into());
        Self(Problem { status, code, detail, hint: None })
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self(Problem { hint: Some(hint.into()), ..self.0 })
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    pub(super) fn unknown_path(uri: &Uri) -> Self {
        let detail = format!("there is no `{}` here", uri.path());
        Self::new(StatusCode::NOT_FOUND, "path_unknown", detail)
    }

    pub(super) fn method_not_allowed(method: &Method, uri: &Uri) -> Self {
        let detail = format!("`{}` does not take {method}", uri.path());
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    pub(super) fn body_too_slow() -> Self {
        let detail = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail)
    }

    pub(super) fn not_json() -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "not_json", "the body is not declared to be JSON")
            .hint("send `content-type: application/json`")
    }

    /// Something broke inside; the log says what.
    pub(super) fn internal() -> Self {
        let detail = "something broke inside pettycash; it may have been done all the same";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
            .hint("look before you repeat it; the log of `pettycash serve` has the details")
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self(error.problem())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = serde_json::to_vec(&problem).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, kind)], text).into_response();
        if status == StatusCode::UNAUTHORIZED {
            // No word of where a token is to be had: no authorization server gives any.
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// The answer to a path that there is not.
pub(super) async fn unknown_path(uri: Uri) -> Failure {
    Failure::unknown_path(&uri)
}

/// The answer to a method that a path does not take.
pub(super) async fn unknown_method(method: Method, uri: Uri) -> Failure {
    Failure::method_not_allowed(&method, &uri)
}

/// A body of JSON of at most so many bytes, read whole and strictly.
pub(super) struct Sent<T, const MOST: usize = MAX_BODY>(pub(super) T);

impl<T, S, const MOST: usize> FromRequest<S> for Sent<T, MOST>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let is_json = is_json(request.headers());
        let reading = tokio::time::timeout(BODY_WITHIN, read(request, MOST)).await;
        let body = reading.unwrap_or_else(|_| Err(Failure::body_too_slow()))?;
        if !is_json {
            return Err(Failure::not_json());
        }
        // Nothing of a text that stands alone is repeated: it may be a secret.
        if body.trim_ascii_start().first() == Some(&b'"') {
            return Err(Failure::invalid("the body does not fit: it is a text, and no object"));
        }
        let read = serde_json::from_slice(&body);
        read.map(Self).map_err(|error| Failure::invalid(format!("the body does not fit: {error}")))
    }
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

async fn read(request: Request, most: usize) -> Result<Vec<u8>, Failure> {
    let mut body = request.into_body();
    let (mut read, mut length) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::invalid(format!("the body broke off: {error}")));
        let Ok(data) = frame?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length <= most {
            read.extend_from_slice(&data);
        } else if length > MAX_REFUSED_BODY {
            break;
        }
    }
    if length > most {
        let detail = format!("the body is longer than {most} bytes");
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    Ok(read)
}

/// What the path names: an agent, a service, a payment.
pub(super) struct Named<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Named<T>
where
    T: FromStr<Err = NameError>,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let named = Path::<String>::from_request_parts(parts, state).await;
        let Path(named) = named.map_err(|rejection| Failure::invalid(rejection.body_text()))?;
        named.parse().map(Self).map_err(|error| Failure::invalid(format!("`{named}`: {error}")))
    }
}

/// What the query asks for, with no word that is not known.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let asked = Query::<T>::from_request_parts(parts, state).await;
        let Query(asked) = asked.map_err(|rejection| {
            let text = rejection.body_text();
            let cause = text.split_once(": ").map_or(text.as_str(), |(_, cause)| cause);
            Failure::invalid(format!("the query does not fit: {cause}"))
        })?;
        Ok(Self(asked))
    }
}
