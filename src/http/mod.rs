//! HTTP: the `/v1` paths that agents and operators reach the engine by, each plane on its own
//! socket; and over TCP, with a token, MCP and the gateway for agents and `/v1` for operators.
//!
//! Nothing is decided here. A request is read strictly, done to its end even if its caller goes
//! away, and answered always: in the words of the tool for agents, with a problem (RFC 9457) for
//! operators and for whatever is not a request.

mod agent;
mod bearer;
mod door;
mod gateway;
mod message;
mod openapi;
mod operator;
mod problem;
mod proof;
mod route;
mod sessions;
mod socket;
mod sse;
mod streamable;
mod tcp;
mod web;

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::sync::watch;

use crate::{engine::Engine, policy::terms::StartedBy};
use problem::Failure;

pub(crate) use crate::engine::{Counted, Tally};
pub(crate) use agent::router as agent_router;
pub use bearer::{Bearer, Ours, Servers};
pub use door::{ProxyName, ProxyNameError};
pub use operator::openapi;
pub(crate) use operator::router as operator_router;
pub(crate) use socket::serve_socket;
pub(crate) use tcp::Listener;

/// Why a `serve` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was asked to, over the operator's socket.
    Asked,
    /// The system sent a signal.
    Signal(&'static str),
    /// Nobody has used it for long enough.
    Idle,
    /// Its home is gone, or was taken from under it.
    HomeGone,
    /// A socket was taken away: nobody new can reach us.
    SocketsGone,
}

/// What every path needs of the `serve` it belongs to.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) started_by: StartedBy,
    /// The open connections, of both sockets.
    pub(crate) connections: Tally,
    /// What operators asked and was not answered yet, whether or not anybody still waits for it.
    pub(crate) work: Tally,
    /// Set once, to why.
    pub(crate) end: watch::Sender<Option<End>>,
}

impl FromRequestParts<Self> for App {
    type Rejection = Infallible;

    /// As it is for whoever asks: by a token, the engine of whom it lets in.
    async fn from_request_parts(parts: &mut Parts, app: &Self) -> Result<Self, Infallible> {
        let engine = parts.extensions.get::<Engine>().unwrap_or(&app.engine).clone();
        Ok(Self { engine, ..app.clone() })
    }
}

impl App {
    /// Says that it is time to end; the first reason stays.
    pub(crate) fn end(&self, why: End) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(why);
            first
        });
    }

    /// Runs work of the engine to its end, even if the connection that asked for it is gone.
    async fn run<R, F>(&self, work: impl FnOnce(Engine) -> F) -> Result<R, Failure>
    where
        R: Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        let counted = self.work.count();
        let work = work(self.engine.clone());
        let task = tokio::spawn(async move {
            let done = work.await;
            drop(counted);
            done
        });
        task.await.map_err(|error| {
            tracing::error!(%error, "a request broke something inside");
            Failure::internal()
        })
    }
}
