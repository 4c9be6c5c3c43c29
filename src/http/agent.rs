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
    problem::{Failure, Sent, unknown_method, unknown_path},
};
use crate::{
    engine::Call,
    policy::{came::Came, names::Handle},
};

/// The paths of `agent.sock`.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/tools", get(tools))
        .route("/v1/tools/{tool}", post(call))
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
