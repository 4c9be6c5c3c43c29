//! The agents' plane: the tools. Nothing here can widen a budget.

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::PathRejection, rejection::QueryRejection},
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    App,
    problem::{Asked, Failure, Named, Sent, unknown_method, unknown_path},
};
use crate::{
    engine::Call,
    policy::{
        answer::{ApiBody, Waiting, WaitingBodies},
        came::Came,
        names::{Handle, PaymentId},
    },
};

/// The paths of `agent.sock`.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/tools", get(tools))
        .route("/v1/tools/{tool}", post(call))
        .route("/v1/responses", get(bodies))
        .route("/v1/responses/{payment_id}", get(body))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .with_state(app)
}

/// Who asks which tools there are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolsAsked {
    agent: Handle,
}

/// Which tools a local caller has in an agent's name, beside those that everybody has.
async fn tools(
    State(app): State<App>,
    asked: Result<Query<ToolsAsked>, QueryRejection>,
) -> Result<Json<Value>, Failure> {
    let Query(ToolsAsked { agent }) =
        asked.map_err(|rejection| Failure::invalid(rejection.body_text()))?;
    let opens = app.engine.may_open_tasks(&agent, Came::Local).await?;
    Ok(Json(json!({"open_tasks": opens})))
}

/// Whose bodies are asked for, and after which the page begins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BodiesAsked {
    agent: Handle,
    #[serde(default)]
    before: Option<PaymentId>,
}

/// The bodies that wait for an agent.
async fn bodies(
    State(app): State<App>,
    Asked(asked): Asked<BodiesAsked>,
) -> Json<Waiting<WaitingBodies>> {
    Json(app.engine.bodies(&asked.agent, Came::Local, asked.before).await)
}

/// One of them.
async fn body(
    State(app): State<App>,
    Named(payment): Named<PaymentId>,
    Asked(ToolsAsked { agent }): Asked<ToolsAsked>,
) -> Json<Waiting<ApiBody>> {
    Json(app.engine.body(&agent, Came::Local, payment).await)
}

async fn call(
    State(app): State<App>,
    tool: Result<Path<String>, PathRejection>,
    Sent(call): Sent<Call>,
) -> Result<Json<Value>, Failure> {
    let Path(tool) = tool.map_err(|rejection| Failure::invalid(rejection.body_text()))?;
    // On the connection's own task: the engine brings to its end what it has begun, and another
    // task would wake a second thread for nothing.
    let answer = app.engine.call(&tool, call).await;
    let unknown = || {
        let detail = format!("there is no tool `{tool}`");
        Failure::new(StatusCode::NOT_FOUND, "tool_unknown", detail)
    };
    answer.map(Json).ok_or_else(unknown)
}
