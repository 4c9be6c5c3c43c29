//! The paths over TCP, and who may use which.
//!
//! In this order, for every request: is it addressed to us (`door`), is there such a path, whose
//! token is it, and only then what it asks.

use axum::{
    Json, Router,
    response::{IntoResponse, Response},
};
use hyper::{HeaderMap, Method, Request, StatusCode, body::Incoming, header::ALLOW};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    App,
    bearer::{Bearer, Servers, shown_in},
    door::{Door, GATEWAY, HEALTHZ, MCP, MESSAGES, OPERATOR, SSE},
    gateway::{self, Gateway},
    operator_router,
    problem::Failure,
    sessions::{LOOK_EVERY, Sessions},
    socket, sse, streamable,
    tcp::Busy,
};
use crate::engine::Engine;

/// What is served over TCP.
pub(super) struct Web<S> {
    app: App,
    servers: S,
    door: Door,
    operators: TowerToHyperService<Router>,
    streamable: Sessions,
    legacy: Sessions,
    gateway: Gateway,
}

impl<S: Servers> Web<S> {
    pub(super) fn new(app: App, door: Door, servers: S) -> Self {
        let operators = TowerToHyperService::new(operator_router(app.clone()));
        let (streamable, legacy) = (Sessions::default(), Sessions::default());
        let gateway = Gateway::new(app.engine.clone());
        Self { app, servers, door, operators, streamable, legacy, gateway }
    }

    /// Ends sessions with their tokens until the end, and then as their answers have come.
    pub(super) async fn keep_sessions(&self) {
        let mut end = self.app.end.subscribe();
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = end.wait_for(Option::is_some) => break,
                _ = ticks.tick() => {}
            }
            self.streamable.look();
            self.legacy.look();
        }
        self.streamable.finish();
        self.legacy.finish();
    }

    /// Answers one request, always.
    pub(super) async fn answer(&self, request: Request<Incoming>, busy: &mut Busy) -> Response {
        self.respond(request, busy).await.unwrap_or_else(IntoResponse::into_response)
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        busy: &mut Busy,
    ) -> Result<Response, Failure> {
        self.door.admit(&request)?;
        let (method, path) = (request.method(), request.uri().path());
        Ok(match path {
            HEALTHZ if [Method::GET, Method::HEAD].contains(method) => {
                Json(json!({"status": "ok"})).into_response()
            }
            HEALTHZ => not_taken(&request, "GET, HEAD"),
            MCP => {
                let bearer = self.agent(request.headers(), busy)?;
                // Where a POST is answered by a stream, it is one of a single answer.
                if method == Method::GET && !busy.streams() {
                    return Err(too_many_streams());
                }
                let server = self.servers.of(&bearer);
                streamable::answer(&self.streamable, &bearer, server, request).await
            }
            SSE => match (self.agent(request.headers(), busy)?, method) {
                (_, &Method::GET) if !busy.streams() => return Err(too_many_streams()),
                (bearer, &Method::GET) => {
                    sse::open(&self.legacy, &bearer, self.servers.of(&bearer))
                }
                _ => not_taken(&request, "GET"),
            },
            MESSAGES => match (self.agent(request.headers(), busy)?, method) {
                (bearer, &Method::POST) => sse::message(&self.legacy, &bearer, request).await,
                _ => not_taken(&request, "POST"),
            },
            path if path.starts_with(GATEWAY) => {
                let bearer = self.payer(request.headers(), busy);
                self.gateway.answer(bearer, request).await
            }
            path if path.starts_with(OPERATOR) => {
                let engine = self.operator(request.headers(), busy)?;
                let mut request = request;
                request.extensions_mut().insert(engine);
                socket::answer(&self.operators, request).await
            }
            _ => return Err(Failure::unknown_path(request.uri())),
        })
    }

    /// Whose request it is, if it is an agent's.
    fn agent(&self, headers: &HeaderMap, busy: &mut Busy) -> Result<Bearer, Failure> {
        self.bearer(shown_in(headers), busy)
    }

    /// The same where it may take as long as an API does, and the token is in whichever header.
    fn payer(&self, headers: &HeaderMap, busy: &mut Busy) -> Result<Bearer, Failure> {
        let bearer = self.bearer(gateway::token_in(headers)?, busy)?;
        if busy.streams() { Ok(bearer) } else { Err(too_many_streams()) }
    }

    fn bearer(&self, token: Option<&str>, busy: &mut Busy) -> Result<Bearer, Failure> {
        let token = token.ok_or_else(unknown_token)?;
        if let Some(bearer) = Bearer::of(&self.app.engine, token) {
            return if busy.by(bearer.agent()) { Ok(bearer) } else { Err(too_many_requests()) };
        }
        if self.app.engine.operator(token).is_some() {
            return Err(wrong_token(
                "an operator's token pays nothing: this path takes an agent's",
            ));
        }
        Err(unknown_token())
    }

    /// Lets an operator's request pass, to an engine that does what he asks while his token stands.
    fn operator(&self, headers: &HeaderMap, busy: &mut Busy) -> Result<Engine, Failure> {
        let token = shown_in(headers).ok_or_else(unknown_token)?;
        if let Some(engine) = self.app.engine.operator(token) {
            busy.by_known();
            return Ok(engine);
        }
        if Bearer::of(&self.app.engine, token).is_some() {
            return Err(wrong_token("an agent's token opens nothing of the operator's"));
        }
        Err(unknown_token())
    }
}

/// The answer to a method that a path does not take.
pub(super) fn not_taken<B>(request: &Request<B>, taken: &'static str) -> Response {
    let refused = Failure::method_not_allowed(request.method(), request.uri());
    ([(ALLOW, taken)], refused).into_response()
}

fn too_many_streams() -> Failure {
    let detail = "this agent has as many streams open as one agent may have";
    Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", detail)
        .hint("close the streams that are not needed; on /mcp every answer comes without one")
}

fn too_many_requests() -> Failure {
    let detail = "this agent has as many requests under way as one agent may have";
    Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
        .hint("wait for the answers to come, then ask again")
}

fn unknown_token() -> Failure {
    let detail = "there is no token, or none that stands for anybody";
    Failure::new(StatusCode::UNAUTHORIZED, "token_unknown", detail)
        .hint("send `Authorization: Bearer …` with a token of `pettycash agent token`")
}

fn wrong_token(detail: &str) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "token_wrong_kind", detail)
}
