//! The operators' plane: everything that grants, widens or ends a budget, and all that is known.

use axum::{
    Json, Router,
    extract::State,
    routing::{delete, get, post},
};
use serde::Deserialize;

use super::{
    App, End,
    problem::{Asked, Failure, Named, Sent, unknown_method, unknown_path},
};
use crate::{
    engine::{Engine, EngineError},
    policy::{
        answer::{PayAnswer, ServiceView},
        names::{Handle, PaymentId, ServiceId, TokenId},
        terms::{
            Acted, ActedOnAll, AgentView, Agents, Books, Freezing, Health, LedgerPage,
            MandateChanged, MandatePatch, MandateView, NewAgent, NewService, NewToken,
            PaymentTerms, Refund, Refunded, Revocation, Rotation, Services, TokenGiven, TokenList,
            TokenView, TopUp, Unfreezing,
        },
    },
};

type Answer<T> = Result<Json<T>, Failure>;

/// The paths of `operator.sock`.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/health", get(health))
        .route("/v1/stop", post(stop))
        .route("/v1/agents", get(agents).post(create_agent))
        .route("/v1/agents/{handle}", get(agent))
        .route("/v1/agents/{handle}/revoke", post(revoke))
        .route("/v1/agents/{handle}/freeze", post(freeze))
        .route("/v1/agents/{handle}/unfreeze", post(unfreeze))
        .route("/v1/freeze", post(freeze_all))
        .route("/v1/unfreeze", post(unfreeze_all))
        .route("/v1/agents/{handle}/top-ups", post(top_up))
        .route("/v1/agents/{handle}/mandate", get(mandate).patch(change_mandate))
        .route("/v1/agents/{handle}/payments", post(pay))
        .route("/v1/agents/{handle}/tokens", get(tokens).post(issue_token))
        .route("/v1/tokens/{token}", delete(revoke_token))
        .route("/v1/tokens/{token}/rotations", post(rotate_token))
        .route("/v1/payments/{payment}/refunds", post(refund))
        .route("/v1/services", get(services).post(add_service))
        .route("/v1/services/{service}", delete(remove_service))
        .route("/v1/ledger", get(ledger))
        .route("/v1/books", get(books))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .with_state(app)
}

async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_by: app.started_by,
        connections: app.connections.now(),
        record: Some(app.engine.record_health()),
    })
}

async fn stop(State(app): State<App>) -> Json<Health> {
    app.end(End::Asked);
    health(State(app)).await
}

async fn agents(State(app): State<App>) -> Answer<Agents> {
    asked(&app, async |engine: Engine| engine.agents().await).await
}

async fn create_agent(State(app): State<App>, Sent(new): Sent<NewAgent>) -> Answer<AgentView> {
    asked(&app, async move |engine: Engine| engine.create_agent(new).await).await
}

async fn agent(State(app): State<App>, Named(agent): Named<Handle>) -> Answer<AgentView> {
    asked(&app, async move |engine: Engine| engine.agent(&agent).await).await
}

async fn revoke(
    State(app): State<App>,
    Named(agent): Named<Handle>,
    Sent(revocation): Sent<Revocation>,
) -> Answer<AgentView> {
    asked(&app, async move |engine: Engine| engine.revoke(&agent, revocation).await).await
}

async fn freeze(
    State(app): State<App>,
    Named(agent): Named<Handle>,
    Sent(freezing): Sent<Freezing>,
) -> Answer<Acted> {
    asked(&app, async move |engine: Engine| engine.freeze(&agent, freezing).await).await
}

async fn unfreeze(
    State(app): State<App>,
    Named(agent): Named<Handle>,
    Sent(unfreezing): Sent<Unfreezing>,
) -> Answer<Acted> {
    asked(&app, async move |engine: Engine| engine.unfreeze(&agent, unfreezing).await).await
}

async fn freeze_all(State(app): State<App>, Sent(freezing): Sent<Freezing>) -> Answer<ActedOnAll> {
    asked(&app, async move |engine: Engine| engine.freeze_all(freezing).await).await
}

async fn unfreeze_all(
    State(app): State<App>,
    Sent(unfreezing): Sent<Unfreezing>,
) -> Answer<ActedOnAll> {
    asked(&app, async move |engine: Engine| engine.unfreeze_all(unfreezing).await).await
}

async fn top_up(
    State(app): State<App>,
    Named(agent): Named<Handle>,
    Sent(top_up): Sent<TopUp>,
) -> Answer<AgentView> {
    asked(&app, async move |engine: Engine| engine.top_up(&agent, top_up).await).await
}

async fn services(State(app): State<App>) -> Answer<Services> {
    asked(&app, async |engine: Engine| engine.services().await).await
}

async fn add_service(State(app): State<App>, Sent(new): Sent<NewService>) -> Answer<ServiceView> {
    asked(&app, async move |engine: Engine| engine.add_service(new).await).await
}

async fn remove_service(
    State(app): State<App>,
    Named(service): Named<ServiceId>,
) -> Answer<ServiceView> {
    asked(&app, async move |engine: Engine| engine.remove_service(&service).await).await
}

async fn mandate(State(app): State<App>, Named(agent): Named<Handle>) -> Answer<MandateView> {
    asked(&app, async move |engine: Engine| engine.mandate(&agent).await).await
}

async fn change_mandate(
    State(app): State<App>,
    Named(agent): Named<Handle>,
    Sent(patch): Sent<MandatePatch>,
) -> Answer<MandateChanged> {
    asked(&app, async move |engine: Engine| engine.change_mandate(&agent, patch).await).await
}

async fn pay(
    State(app): State<App>,
    Named(agent): Named<Handle>,
    Sent(payment): Sent<PaymentTerms>,
) -> Answer<PayAnswer> {
    asked(&app, async move |engine: Engine| engine.pay_as(&agent, payment).await).await
}

async fn tokens(State(app): State<App>, Named(agent): Named<Handle>) -> Answer<TokenList> {
    asked(&app, async move |engine: Engine| engine.tokens(&agent).await).await
}

async fn issue_token(
    State(app): State<App>,
    Named(agent): Named<Handle>,
    Sent(new): Sent<NewToken>,
) -> Answer<TokenGiven> {
    asked(&app, async move |engine: Engine| engine.issue_token(&agent, new).await).await
}

async fn rotate_token(
    State(app): State<App>,
    Named(token): Named<TokenId>,
    Sent(rotation): Sent<Rotation>,
) -> Answer<TokenGiven> {
    asked(&app, async move |engine: Engine| engine.rotate_token(&token, rotation).await).await
}

async fn revoke_token(State(app): State<App>, Named(token): Named<TokenId>) -> Answer<TokenView> {
    asked(&app, async move |engine: Engine| engine.revoke_token(&token).await).await
}

async fn refund(
    State(app): State<App>,
    Named(payment): Named<PaymentId>,
    Sent(asked_for): Sent<Refund>,
) -> Answer<Refunded> {
    asked(&app, async move |engine: Engine| engine.refund(payment, asked_for).await).await
}

/// Which page of which ledger.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageAsked {
    agent: Option<Handle>,
    cursor: Option<String>,
    limit: Option<u32>,
}

async fn ledger(State(app): State<App>, Asked(page): Asked<PageAsked>) -> Answer<LedgerPage> {
    let PageAsked { agent, cursor, limit } = page;
    asked(&app, async move |engine: Engine| engine.ledger(agent, cursor, limit).await).await
}

async fn books(State(app): State<App>) -> Answer<Books> {
    asked(&app, async |engine: Engine| engine.books().await).await
}

/// Asks the engine and tells its answer, or its error as a problem.
async fn asked<T, F>(app: &App, ask: impl FnOnce(Engine) -> F) -> Answer<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, EngineError>> + Send + 'static,
{
    Ok(Json(app.run(ask).await??))
}
