//! MCP over Streamable HTTP: sessions of 2025-11-25 and before, and requests without one since.
//!
//! The library speaks the protocol. What comes before it is ours: whose session it is, what a
//! message may be, how many sessions there may be. And a message in a session of which nothing
//! is to be settled any more goes to the session's server as it is: the library would read it a
//! second time, and answer with a stream of one event where plain JSON does. Nothing comes then
//! before the answer, for which no call waits longer than 25 seconds.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::{Bytes, Incoming},
    header,
    http::request::Parts,
};
use rmcp::{
    ServerHandler,
    model::{ClientJsonRpcMessage, ClientRequest, GetExtensions, GetMeta, ProtocolVersion},
    transport::{StreamableHttpServerConfig, StreamableHttpService},
};

use super::{
    bearer::Bearer,
    message::{KEEP_ALIVE, Message, no_room, no_session},
    sessions::{Manager, Session, Sessions},
    web::not_taken,
};
use crate::mcp::framing::Passed;

/// In which a client names its session, and the version of the protocol that was agreed on in it.
const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";
/// What a client must say that it reads, each of them, whichever it then gets.
const ACCEPTED: [&str; 2] = ["application/json", "text/event-stream"];

/// Answers a request of this bearer's; `server` answers what is asked in it.
pub(super) async fn answer<S: ServerHandler + Clone>(
    sessions: &Sessions,
    bearer: &Bearer,
    server: S,
    mut request: Request<Incoming>,
) -> Response {
    let session = match named(request.headers_mut()) {
        Named::None => None,
        Named::One(id) => match sessions.of(bearer, &id) {
            Some(session) => Some(session),
            None => return no_session(),
        },
        Named::Wrong => return no_session(),
    };
    match *request.method() {
        Method::POST => post(sessions, bearer, server, session, request).await,
        Method::GET => library(sessions, bearer, server, request.map(|_| Full::default())).await,
        Method::DELETE => {
            let request = request.map(|_| Full::default());
            let mut response = library(sessions, bearer, server, request).await;
            // Some clients take the library's 202 for a failure: nothing is left to be done.
            if response.status() == StatusCode::ACCEPTED {
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            response
        }
        _ => not_taken(&request, "GET, POST, DELETE"),
    }
}

async fn post<S: ServerHandler + Clone>(
    sessions: &Sessions,
    bearer: &Bearer,
    server: S,
    session: Option<Arc<Session>>,
    request: Request<Incoming>,
) -> Response {
    let (parts, body) = request.into_parts();
    let message = match Message::read(session.as_ref(), &parts.headers, body).await {
        Ok(message) => message,
        Err(refused) => return refused,
    };
    if let Some(session) = &session
        && is_settled(&parts.headers, &message.read)
    {
        return straight(session, parts, message).await;
    }
    let Message { line, read, passed, begun } = message;
    if session.is_none() && opens_session(&read) && !sessions.has_room(bearer) {
        return no_room();
    }
    let request = Request::from_parts(parts, Full::from(line));
    let response = library(sessions, bearer, server, request).await;
    // A request that the library has not passed on is no longer in flight.
    drop(begun);
    if let (Some(session), Passed::Cancel(id)) = (session, passed)
        && response.status().is_success()
    {
        session.cancel(id);
    }
    response
}

/// Whether a message in a session has all its answers about the transport: it reads both kinds of
/// answers, speaks a version that has sessions, and does not begin anew. Whatever is odd is not
/// settled.
fn is_settled(headers: &HeaderMap, message: &ClientJsonRpcMessage) -> bool {
    let mut accepts = headers.get_all(header::ACCEPT).iter();
    let (Some(accept), None) = (accepts.next(), accepts.next()) else { return false };
    let kinds = || accept.to_str().unwrap_or_default().split(',').map(str::trim);
    let accepts = ACCEPTED.iter().all(|kind| kinds().any(|one| one.eq_ignore_ascii_case(kind)));
    let with_sessions = ProtocolVersion::known_up_to(&ProtocolVersion::LATEST_WITH_INITIALIZE);
    let known = |version| with_sessions.iter().any(|known| version == known.as_str());
    let agreed = headers.get_all(VERSION).iter().all(known);
    let of_itself = match message {
        ClientJsonRpcMessage::Request(request) => {
            request.request.get_meta().protocol_version().is_some()
        }
        ClientJsonRpcMessage::Notification(_)
        | ClientJsonRpcMessage::Response(_)
        | ClientJsonRpcMessage::Error(_) => false,
    };
    accepts && agreed && !of_itself && !negotiates(message)
}

/// Whether a message settles what is spoken, which is the library's to answer.
fn negotiates(message: &ClientJsonRpcMessage) -> bool {
    let ClientJsonRpcMessage::Request(request) = message else { return false };
    matches!(request.request, ClientRequest::DiscoverRequest(_)) || opens_session(message)
}

/// Takes a message into its session, and answers with what the session's server says to it.
async fn straight(session: &Session, parts: Parts, message: Message) -> Response {
    let Message { mut read, passed, begun, .. } = message;
    // The tools look there for what the client says of itself.
    match &mut read {
        ClientJsonRpcMessage::Request(request) => {
            request.request.extensions_mut().insert(parts);
        }
        ClientJsonRpcMessage::Notification(notification) => {
            notification.notification.extensions_mut().insert(parts);
        }
        ClientJsonRpcMessage::Response(_) | ClientJsonRpcMessage::Error(_) => {}
    }
    let is_request = matches!(passed, Passed::Request(_));
    let Ok(answer) = session.send(read).await else { return no_session() };
    drop(begun);
    if let Passed::Cancel(id) = passed {
        session.cancel(id);
    }
    if !is_request {
        return StatusCode::ACCEPTED.into_response();
    }
    match answer.await {
        Ok(answer) => Json(answer).into_response(),
        // It was cancelled: as the library does, a stream without an event. That there is no such
        // session is not said even where it has ended since: what was sent may have been paid.
        Err(_) => ([(header::CONTENT_TYPE, ACCEPTED[1])], Body::empty()).into_response(),
    }
}

fn opens_session(message: &ClientJsonRpcMessage) -> bool {
    let ClientJsonRpcMessage::Request(request) = message else { return false };
    matches!(request.request, ClientRequest::InitializeRequest(_))
}

async fn library<S: ServerHandler + Clone>(
    sessions: &Sessions,
    bearer: &Bearer,
    server: S,
    request: Request<Full<Bytes>>,
) -> Response {
    let manager = Manager { sessions: sessions.clone(), bearer: bearer.clone() };
    // Host and Origin have been checked more strictly at the door, and the body is here already.
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .with_json_response(true)
        .with_sse_retry(None)
        .with_sse_keep_alive(Some(KEEP_ALIVE));
    let factory = move || Ok(server.clone());
    let service = StreamableHttpService::new(factory, Arc::new(manager), config);
    // Boxed, for every connection has room for its largest request, and this is by far the largest.
    Box::pin(service.handle(request)).await.map(Body::new)
}

/// Which session the headers name.
enum Named {
    None,
    One(String),
    Wrong,
}

/// Takes from the headers what the library, which writes requests into its log, need not know.
fn named(headers: &mut HeaderMap) -> Named {
    headers.remove(header::AUTHORIZATION);
    headers.remove(header::COOKIE);
    let mut named = Named::None;
    for (name, value) in headers.iter_mut() {
        if name == SESSION {
            value.set_sensitive(true);
            named = match (named, value.to_str()) {
                (Named::None, Ok(id)) => Named::One(id.to_owned()),
                (Named::None | Named::One(_) | Named::Wrong, _) => Named::Wrong,
            };
        }
    }
    named
}
