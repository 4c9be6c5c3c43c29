//! The operators' plane: everything that grants, widens or ends a budget, and all that is known.

use axum::{
    Json, Router,
    extract::State,
    routing::{delete, get, post, put},
};
use serde::Deserialize;

use super::{
    App, End,
    problem::{Asked, Failure, Named, Sent, unknown_method, unknown_path},
    proof::Shown,
};
use crate::{
    engine::{Engine, EngineError},
    policy::{
        answer::{PayAnswer, ServiceView},
        names::{Handle, PaymentId, ServiceId, TokenId},
        terms::{
            Acted, ActedOnAll, AgentView, Agents, Books, Freezing, Health, LedgerPage,
            MandateChanged, MandatePatch, MandateView, NewAgent, NewPassphrase, NewService,
            NewToken, OperatorDoor, PaymentTerms, Refund, Refunded, Revocation, Rotation, Services,
            TokenGiven, TokenList, TokenView, TopUp, Unfreezing,
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
        .route("/v1/operator", get(door))
        .route("/v1/operator/passphrase", put(set_passphrase))
        .route("/v1/operator/tokens", get(operator_tokens).post(issue_operator_token))
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

async fn create_agent(
    State(app): State<App>,
    shown: Shown,
    Sent(new): Sent<NewAgent>,
) -> Answer<AgentView> {
    raised(&app, shown, async move |engine: Engine| engine.create_agent(new).await).await
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
    shown: Shown,
    Sent(unfreezing): Sent<Unfreezing>,
) -> Answer<Acted> {
    raised(&app, shown, async move |engine: Engine| engine.unfreeze(&agent, unfreezing).await).await
}

async fn freeze_all(State(app): State<App>, Sent(freezing): Sent<Freezing>) -> Answer<ActedOnAll> {
    asked(&app, async move |engine: Engine| engine.freeze_all(freezing).await).await
}

async fn unfreeze_all(
    State(app): State<App>,
    shown: Shown,
    Sent(unfreezing): Sent<Unfreezing>,
) -> Answer<ActedOnAll> {
    raised(&app, shown, async move |engine: Engine| engine.unfreeze_all(unfreezing).await).await
}

async fn top_up(
    State(app): State<App>,
    Named(agent): Named<Handle>,
    shown: Shown,
    Sent(top_up): Sent<TopUp>,
) -> Answer<AgentView> {
    raised(&app, shown, async move |engine: Engine| engine.top_up(&agent, top_up).await).await
}

async fn services(State(app): State<App>) -> Answer<Services> {
    asked(&app, async |engine: Engine| engine.services().await).await
}

async fn add_service(
    State(app): State<App>,
    shown: Shown,
    Sent(new): Sent<NewService>,
) -> Answer<ServiceView> {
    raised(&app, shown, async move |engine: Engine| engine.add_service(new).await).await
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
    Shown(proof): Shown,
    Sent(patch): Sent<MandatePatch>,
) -> Answer<MandateChanged> {
    asked(&app, async move |engine: Engine| engine.change_mandate(&agent, patch, proof).await).await
}

async fn pay(
    State(app): State<App>,
    Named(agent): Named<Handle>,
    shown: Shown,
    Sent(payment): Sent<PaymentTerms>,
) -> Answer<PayAnswer> {
    raised(&app, shown, async move |engine: Engine| engine.pay_as(&agent, payment).await).await
}

async fn tokens(State(app): State<App>, Named(agent): Named<Handle>) -> Answer<TokenList> {
    asked(&app, async move |engine: Engine| engine.tokens(&agent).await).await
}

async fn issue_token(
    State(app): State<App>,
    Named(agent): Named<Handle>,
    shown: Shown,
    Sent(new): Sent<NewToken>,
) -> Answer<TokenGiven> {
    raised(&app, shown, async move |engine: Engine| engine.issue_token(&agent, new).await).await
}

async fn rotate_token(
    State(app): State<App>,
    Named(token): Named<TokenId>,
    shown: Shown,
    Sent(rotation): Sent<Rotation>,
) -> Answer<TokenGiven> {
    raised(&app, shown, async move |engine: Engine| engine.rotate_token(&token, rotation).await)
        .await
}

async fn revoke_token(State(app): State<App>, Named(token): Named<TokenId>) -> Answer<TokenView> {
    asked(&app, async move |engine: Engine| engine.revoke_token(&token).await).await
}

async fn refund(
    State(app): State<App>,
    Named(payment): Named<PaymentId>,
    shown: Shown,
    Sent(asked_for): Sent<Refund>,
) -> Answer<Refunded> {
    raised(&app, shown, async move |engine: Engine| engine.refund(payment, asked_for).await).await
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

async fn door(State(app): State<App>) -> Json<OperatorDoor> {
    Json(app.engine.operator_door())
}

async fn set_passphrase(
    State(app): State<App>,
    shown: Shown,
    Sent(new): Sent<NewPassphrase>,
) -> Answer<OperatorDoor> {
    let NewPassphrase { passphrase } = new;
    raised(&app, shown, async move |engine: Engine| engine.set_passphrase(passphrase.0).await).await
}

async fn operator_tokens(State(app): State<App>) -> Answer<TokenList> {
    asked(&app, async |engine: Engine| engine.operator_tokens().await).await
}

async fn issue_operator_token(
    State(app): State<App>,
    shown: Shown,
    Sent(new): Sent<NewToken>,
) -> Answer<TokenGiven> {
    raised(&app, shown, async move |engine: Engine| engine.issue_operator_token(new).await).await
}

/// Asks the engine for what gives an agent more, which takes an operator's proof.
async fn raised<T, F>(
    app: &App,
    Shown(proof): Shown,
    ask: impl FnOnce(Engine) -> F + Send + 'static,
) -> Answer<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, EngineError>> + Send + 'static,
{
    let proven = async move |engine: Engine| {
        engine.prove(proof).await?;
        ask(engine).await
    };
    asked(app, proven).await
}

/// Asks the engine and tells its answer, or its error as a problem.
async fn asked<T, F>(app: &App, ask: impl FnOnce(Engine) -> F) -> Answer<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, EngineError>> + Send + 'static,
{
    Ok(Json(app.run(ask).await??))
}
