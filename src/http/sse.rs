//! MCP over HTTP+SSE, the transport of protocol 2024-11-05: a stream, and a path for messages.

use std::{convert::Infallible, future::ready};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::{StreamExt, stream};
use hyper::{
    HeaderMap, Request, StatusCode, body::Incoming, header::HeaderValue, http::request::Parts,
};
use rmcp::{
    ServerHandler, ServiceExt,
    model::{ClientJsonRpcMessage, GetExtensions, ServerJsonRpcMessage},
};
use tokio::sync::mpsc;

use super::{
    bearer::Bearer,
    door::MESSAGES,
    message::{KEEP_ALIVE, Message, no_room, no_session},
    problem::Failure,
    sessions::{Outgoing, Session, Sessions},
};
use crate::mcp::{SESSION_HEADER, TRACE_HEADER, framing::Passed};

/// How many answers may lie before a client that does not read its stream; the next one waits.
const TO_CLIENT: usize = 16;
/// In which a client names its session.
const SESSION: &str = "session_id";

/// Opens a stream, and with it a session, which ends when the stream does.
pub(super) fn open(sessions: &Sessions, bearer: &Bearer, server: impl ServerHandler) -> Response {
    let (sender, answers) = mpsc::channel(TO_CLIENT);
    let Ok(transport) = sessions.open(bearer, Outgoing::Stream(sender)) else {
        return if sessions.is_finishing() { ending() } else { no_room() };
    };
    let session = transport.session().clone();
    let id = session.id().clone();
    let (opened, owner) = (sessions.clone(), bearer.clone());
    tokio::spawn({
        let (opened, owner, id) = (opened.clone(), owner.clone(), id.clone());
        async move {
            match server.serve(transport).await {
                Ok(serving) => drop(serving.waiting().await),
                Err(error) => tracing::debug!(%error, "a session did not begin"),
            }
            opened.end(&owner, &id);
        }
    });
    let leaving = Leaving(Some(move || opened.end(&owner, &id)));
    let endpoint = format!("{MESSAGES}?{SESSION}={}", session.id());
    let first = Event::default().event("endpoint").data(endpoint);
    let ended = Box::pin(session.ended());
    let answers = stream::unfold((answers, ended), async |(mut answers, mut ended)| {
        // What was answered before the end still goes out.
        let answer: Option<ServerJsonRpcMessage> = tokio::select! {
            biased;
            answer = answers.recv() => answer,
            () = &mut ended => None,
        };
        Some((answer?, (answers, ended)))
    });
    let answers = answers.filter_map(|answer| {
        // A message of the library's always has its JSON.
        let text = serde_json::to_string(&answer).ok();
        ready(text.map(|text| Event::default().event("message").data(text)))
    });
    let events = stream::iter([first]).chain(answers).map(move |event| {
        let _ = &leaving;
        Ok::<_, Infallible>(event)
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    // As the library says on its streams: a proxy in between must not gather what it gets.
    let unbuffered = ("x-accel-buffering", "no");
    ([unbuffered], Sse::new(events).keep_alive(keep_alive)).into_response()
}

/// The answer to who would open a stream while `serve` ends, which waits for the streams there are.
fn ending() -> Response {
    let detail = "this server is ending";
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ending", detail)
        .hint("open the stream again once another one serves")
        .into_response()
}

/// Takes a message into the session that the query names.
pub(super) async fn message(
    sessions: &Sessions,
    bearer: &Bearer,
    request: Request<Incoming>,
) -> Response {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let named = query.strip_prefix(SESSION).and_then(|rest| rest.strip_prefix('='));
    let session = named.and_then(|id| sessions.of(bearer, id));
    let Some(session) = session else { return no_session() };
    let message = match Message::read(Some(&session), &parts.headers, body).await {
        Ok(message) => message,
        Err(refused) => return refused,
    };
    let Message { mut read, passed, begun, .. } = message;
    if let ClientJsonRpcMessage::Request(request) = &mut read {
        request.request.extensions_mut().insert(told(&session, &parts.headers));
    }
    if session.send(read).await.is_err() {
        return no_session();
    }
    drop(begun);
    if let Passed::Cancel(id) = passed {
        session.cancel(id);
    }
    (StatusCode::ACCEPTED, "Accepted").into_response()
}

/// What a request tells of where it comes from, as one of the current transport would, and no more
/// of it: the library writes requests into its log.
fn told(session: &Session, headers: &HeaderMap) -> Parts {
    let (mut told, ()) = Request::new(()).into_parts();
    if let Ok(mut id) = HeaderValue::from_str(session.id()) {
        id.set_sensitive(true);
        told.headers.insert(SESSION_HEADER, id);
    }
    if let Some(trace) = headers.get(TRACE_HEADER) {
        told.headers.insert(TRACE_HEADER, trace.clone());
    }
    told
}

/// Does what is to be done when the stream is let go of.
struct Leaving<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Leaving<F> {
    fn drop(&mut self) {
        if let Some(leave) = self.0.take() {
            leave();
        }
    }
}
