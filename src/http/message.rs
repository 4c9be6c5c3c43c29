//! One message of an MCP client, in the body of a request.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use hyper::{HeaderMap, StatusCode, body::Incoming};
use rmcp::model::{ClientJsonRpcMessage, ErrorCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    problem::{BODY_WITHIN, Failure, MAX_REFUSED_BODY, is_json},
    sessions::{Begun, Session},
};
use crate::mcp::framing::{
    Gathered, Gathering, InFlight, Passed, Verdict, check, too_long, unexpected, unreadable,
};

/// Between two comments in a stream that is silent, so that nobody takes it for dead.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A message that may go to the server.
pub(super) struct Message {
    pub(super) line: Vec<u8>,
    pub(super) read: ClientJsonRpcMessage,
    pub(super) passed: Passed,
    /// It is a request in a session, and in flight.
    pub(super) begun: Option<Begun>,
}

impl Message {
    /// Reads the body as one message and checks it as every transport does.
    pub(super) async fn read(
        session: Option<&Arc<Session>>,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Self, Response> {
        if !is_json(headers) {
            return Err(Failure::not_json().into_response());
        }
        let gathered = timeout(BODY_WITHIN, gather(body)).await;
        let gathered = gathered.unwrap_or_else(|_| Err(Failure::body_too_slow()));
        let line = match gathered.map_err(Failure::into_response)? {
            Gathered::Whole(line) => line,
            Gathered::TooLong(id) => {
                let answer = match session {
                    Some(session) => session.with_in_flight(|taken| too_long(id, taken)),
                    None => too_long(id, &InFlight::default()),
                };
                return Err(refused(answer));
            }
        };
        let (verdict, begun) = match session {
            Some(session) => session.check(&line),
            None => (check(&line, &InFlight::default()), None),
        };
        let passed = match verdict {
            Verdict::Pass(passed) => passed,
            Verdict::Answer(answer) => return Err(refused(answer)),
            Verdict::Drop => return Err(refused(unexpected())),
        };
        match (serde_json::from_slice(&line), passed) {
            (Ok(read), passed) => Ok(Self { line, read, passed, begun }),
            (Err(_), Passed::Request(id)) => {
                // From here on it is no longer in flight, and its id may be told.
                drop(begun);
                Err(refused(unreadable(id, &InFlight::default())))
            }
            (Err(_), Passed::Cancel(_) | Passed::Other) => Err(refused(unexpected())),
        }
    }
}

/// Reads a body to its end, however long, as far as that is no attack.
async fn gather(mut body: Incoming) -> Result<Gathered, Failure> {
    let (mut gathering, mut length) = (Gathering::default(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::invalid("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        gathering.feed(&data);
        if length > MAX_REFUSED_BODY {
            break;
        }
    }
    Ok(gathering.take())
}

/// The answer to a message that is wrong: the error that it gets on every transport.
fn refused(answer: Value) -> Response {
    tracing::debug!(error = %answer["error"]["message"], "a message was refused");
    (StatusCode::BAD_REQUEST, Json(answer)).into_response()
}

/// The answer to a session that there is not, or not for this token: nobody learns which.
pub(super) fn no_session() -> Response {
    /// What clients know it by.
    const NO_SESSION: ErrorCode = ErrorCode(-32_001);
    let message = "There is no such session: open a new one.";
    let error = json!({"code": NO_SESSION, "message": message});
    let answer = json!({"jsonrpc": "2.0", "id": null, "error": error});
    (StatusCode::NOT_FOUND, Json(answer)).into_response()
}

/// The answer where no more sessions are to be had.
pub(super) fn no_room() -> Response {
    let detail = "too many sessions are open and in use";
    Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_sessions", detail)
        .hint("end the sessions that are not needed any more")
        .into_response()
}
