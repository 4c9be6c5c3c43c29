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

/// The tool that moves money, and so runs to its end even if its caller is gone.
const PAYMENT: &str = "pay_for_api_call";

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
    let answer = if tool == PAYMENT {
        let named = tool.clone();
        app.run(async move |engine| engine.call(&named, call).await).await?
    } else {
        // Nobody minds if a reading ends with its connection, and a task of its own would wake a
        // second thread for nothing.
        app.engine.call(&tool, call).await
    };
    let unknown = || {
        let detail = format!("there is no tool `{tool}`");
        Failure::new(StatusCode::NOT_FOUND, "tool_unknown", detail)
    };
    answer.map(Json).ok_or_else(unknown)
}
