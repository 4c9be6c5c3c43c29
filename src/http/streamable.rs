//! MCP over Streamable HTTP: sessions of 2025-11-25 and before, and requests without one since.
//!
//! The library speaks the protocol. What comes before it is ours: whose session it is, what a
//! message may be, how many sessions there may be.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request,
    body::{Bytes, Incoming},
    header,
};
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest},
    transport::{StreamableHttpServerConfig, StreamableHttpService},
};

use super::{
    bearer::Bearer,
    message::{KEEP_ALIVE, Message, no_room, no_session},
    sessions::{Manager, Session, Sessions},
    web::not_taken,
};
use crate::mcp::framing::Passed;

/// In which a client names its session.
const SESSION: &str = "mcp-session-id";

/// Answers a request of this bearer's.
pub(super) async fn answer(
    sessions: &Sessions,
    bearer: &Bearer,
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
        Method::POST => post(sessions, bearer, session, request).await,
        Method::GET | Method::DELETE => {
            library(sessions, bearer, request.map(|_| Full::default())).await
        }
        _ => not_taken(&request, "GET, POST, DELETE"),
    }
}

async fn post(
    sessions: &Sessions,
    bearer: &Bearer,
    session: Option<Arc<Session>>,
    request: Request<Incoming>,
) -> Response {
    let (parts, body) = request.into_parts();
    let message = match Message::read(session.as_ref(), &parts.headers, body).await {
        Ok(message) => message,
        Err(refused) => return refused,
    };
    let Message { line, read, passed, begun } = message;
    if session.is_none() && opens_session(&read) && !sessions.has_room(bearer) {
        return no_room();
    }
    let request = Request::from_parts(parts, Full::from(line));
    let response = library(sessions, bearer, request).await;
    // A request that the library has not passed on is no longer in flight.
    drop(begun);
    if let (Some(session), Passed::Cancel(id)) = (session, passed)
        && response.status().is_success()
    {
        session.cancel(id);
    }
    response
}

fn opens_session(message: &ClientJsonRpcMessage) -> bool {
    let ClientJsonRpcMessage::Request(request) = message else { return false };
    matches!(request.request, ClientRequest::InitializeRequest(_))
}

async fn library(sessions: &Sessions, bearer: &Bearer, request: Request<Full<Bytes>>) -> Response {
    let manager = Manager { sessions: sessions.clone(), bearer: bearer.clone() };
    let server = bearer.server();
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
