//! The agents' plane: the tools. Nothing here can widen a budget.

use axum::{
    Json, Router,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    routing::post,
};
use serde_json::Value;

use super::{
    App,
    problem::{Failure, Sent, unknown_method, unknown_path},
};
use crate::engine::Call;

/// The paths of `agent.sock`.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/tools/{tool}", post(call))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .with_state(app)
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
