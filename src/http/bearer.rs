//! Who shows a token, for as long as it stands.

use std::{fmt, sync::Arc};

use hyper::{HeaderMap, header};
use rmcp::ServerHandler;

use crate::{
    engine::{Engine, Principal},
    mcp::{self, Call, Called, Reach, Server},
    policy::{
        answer::{ApiBody, Waiting, WaitingBodies},
        came::Came,
        names::{Handle, PaymentId, RunId, TokenId},
        token::Power,
    },
};

/// Which MCP server answers the agents that come over TCP.
pub trait Servers: Send + Sync + 'static {
    /// The server.
    type Server: ServerHandler + Clone;

    /// The one that answers this bearer.
    fn of(&self, bearer: &Bearer) -> Self::Server;
}

/// The server of this house: its tools, and each call its bearer's.
#[derive(Clone, Copy, Debug)]
pub struct Ours;

impl Servers for Ours {
    type Server = Server<Bearer>;

    fn of(&self, bearer: &Bearer) -> Server<Bearer> {
        let Principal { agent, run, .. } = &*bearer.principal;
        Server::new(bearer.clone(), agent.clone(), run.clone())
    }
}

/// Whom an agent's token stands for. It is looked up again whenever that counts.
#[derive(Clone)]
pub struct Bearer {
    engine: Engine,
    principal: Arc<Principal>,
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bearer").field(&self.principal).finish()
    }
}

impl Bearer {
    /// Whoever shows this token, if it stands for anybody.
    pub(super) fn of(engine: &Engine, token: &str) -> Option<Self> {
        let principal = Arc::new(engine.principal(token)?);
        Some(Self { engine: engine.clone(), principal })
    }

    pub(super) fn agent(&self) -> &Handle {
        &self.principal.agent
    }

    pub(super) fn run(&self) -> Option<&RunId> {
        self.principal.run.as_ref()
    }

    pub(super) fn token(&self) -> &TokenId {
        &self.principal.token
    }

    fn came(&self) -> Came {
        Came::By(self.token().clone())
    }

    /// Whether the token still lets its agent in.
    pub(super) fn stands(&self) -> bool {
        self.engine.stands(&self.principal)
    }
}

impl Reach for Bearer {
    async fn opens_tasks(&self, agent: &str) -> Option<bool> {
        let may = self.principal.may.contains(&Power::OpenTasks);
        if may { Some(true) } else { mcp::opens_tasks(&self.engine, agent, self.came()).await }
    }

    async fn bodies(&self, _: &str, before: Option<PaymentId>) -> Option<Waiting<WaitingBodies>> {
        Some(self.engine.bodies(self.agent(), self.came(), before).await)
    }

    async fn body(&self, _: &str, payment: PaymentId) -> Option<Waiting<ApiBody>> {
        Some(self.engine.body(self.agent(), self.came(), payment).await)
    }

    /// The engine looks whether the token still stands when it comes to decide.
    async fn call(&self, call: Call<'_>) -> Called {
        mcp::ask(&self.engine, call, self.came()).await
    }
}

/// The token in the one `Authorization` header that there may be.
pub(super) fn shown_in(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
