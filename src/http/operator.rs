//! The operators' plane: everything that grants, widens or ends a budget, and all that is known.

mod tasks;

use axum::{Json, Router};
use serde_json::{Map, Value};

use super::{
    App, End,
    openapi::document,
    problem::{Asked, Failure, MAX_POLICY, Named, Sent, unknown_method, unknown_path},
    proof::Shown,
    route::{Route, delete, get, patch, post, put},
};
use crate::{
    engine::{Engine, EngineError},
    policy::{
        answer::{ApiBody, PayAnswer},
        moment::Moment,
        names::{GroupId, Handle, PaymentId, ServiceId, TokenId},
        terms::{
            Acted, ActedOnAll, AgentView, Agents, Books, Explained, Exposure, Freezing, GroupView,
            Groups, Health, LedgerAsked, LedgerPage, MandateChanged, MandatePatch, MandateView,
            NewAgent, NewPassphrase, NewService, NewToken, OperatorDoor, PassphraseGiven,
            PaymentTerms, PolicyAsked, PolicyPlan, PolicyTrial, PresentPolicy, PriceTable,
            PricesAsked, PricesPlan, PricesWanted, Refund, Refunded, Repin, Revocation, Rotation,
            ServiceEntry, ServiceTest, Services, Settled, Settlement, TestAsked, TokenGiven,
            TokenList, TokenView, TopUp, TrialAsked, Unfreezing,
        },
    },
};

type Answer<T> = Result<Json<T>, Failure>;

/// The paths of `operator.sock`.
pub(crate) fn router(app: App) -> Router {
    let paths = all_routes().into_iter().fold(Router::new(), |paths, route| route.add_to(paths));
    paths.fallback(unknown_path).method_not_allowed_fallback(unknown_method).with_state(app)
}

/// The document that tells all of them, in `OpenAPI`'s words.
pub fn openapi() -> Map<String, Value> {
    document(&all_routes())
}

/// Those of every file.
fn all_routes() -> Vec<Route> {
    routes().into_iter().chain(tasks::routes()).collect()
}

/// Every path, once: what answers there, and what it is called and said to do.
// A table, not prose: each row on as few lines as it takes.
#[rustfmt::skip]
fn routes() -> Vec<Route> {
    vec![
        get("/v1/health", health, "health", "How the running `serve` and its record are"),
        post("/v1/stop", stop, "stop", "Has `serve` end once what it does is done"),
        get("/v1/openapi.json", described, "openapi", "This document"),
        get("/v1/agents", agents, "list_agents", "Every agent"),
        post("/v1/agents", create_agent, "create_agent", "Creates an agent with a mandate"),
        get("/v1/agents/{handle}", agent, "show_agent", "One agent"),
        post("/v1/agents/{handle}/revoke", revoke, "revoke_agent", "Ends an agent for good"),
        post("/v1/agents/{handle}/freeze", freeze, "freeze_agent", "Stops an agent for now"),
        post("/v1/agents/{handle}/unfreeze", unfreeze, "unfreeze_agent", "Lets an agent go on"),
        post("/v1/freeze", freeze_all, "freeze_all", "Stops every active agent for now"),
        post("/v1/unfreeze", unfreeze_all, "unfreeze_all", "Lets every frozen agent go on"),
        post("/v1/agents/{handle}/top-ups", top_up, "top_up", "Adds to an agent's balance"),
        post("/v1/agents/{handle}/payees", repin, "repin",
            "Has a service of an agent, whose first payees stay, pay another"),
        get("/v1/agents/{handle}/mandate", mandate, "show_mandate", "An agent's mandate"),
        patch("/v1/agents/{handle}/mandate", change_mandate, "change_mandate",
            "Changes what it names in a mandate, or says what would change"),
        post("/v1/agents/{handle}/payments", pay, "pay", "Pays as the agent would"),
        get("/v1/agents/{handle}/tokens", tokens, "list_tokens", "An agent's tokens"),
        post("/v1/agents/{handle}/tokens", issue_token, "issue_token", "Gives an agent a token"),
        post("/v1/tokens/{token_id}/rotations", rotate_token, "rotate_token",
            "Gives out a token in place of another"),
        delete("/v1/tokens/{token_id}", revoke_token, "revoke_token",
            "Has a token let nobody in any more"),
        get("/v1/operator", door, "operator_door", "Whether there is a passphrase"),
        post("/v1/operator/proof", prove, "prove",
            "Sees whether what is shown proves an operator, for what is done elsewhere"),
        put("/v1/operator/passphrase", set_passphrase, "set_passphrase",
            "Gives the operators a passphrase, or another one"),
        get("/v1/operator/tokens", operator_tokens, "list_operator_tokens",
            "The operators' tokens"),
        post("/v1/operator/tokens", issue_operator_token, "issue_operator_token",
            "Gives an operator a token"),
        post("/v1/payments/{payment_id}/refunds", refund, "refund",
            "Gives back what a payment took, or a part of it"),
        post("/v1/payments/{payment_id}/settlement", settle, "settle",
            "Ends a payment that is in doubt, as it really ended"),
        get("/v1/groups", groups, "list_groups", "Every group of agents"),
        get("/v1/groups/{group}", group, "show_group", "One group"),
        delete("/v1/groups/{group}", remove_group, "remove_group", "Takes away a group"),
        get("/v1/payments/{payment_id}/explanation", explain, "explain_payment",
            "Which rule decided on a payment, with the numbers of that moment"),
        get("/v1/payments/{payment_id}/response", response, "show_response",
            "What an API answered to a payment, byte for byte, as long as it is kept"),
        get("/v1/services", services, "list_services", "The catalogue"),
        post("/v1/services", add_service, "add_service", "Adds a service to the catalogue"),
        get("/v1/services/{service_id}", service, "show_service", "One service of the catalogue"),
        delete("/v1/services/{service_id}", remove_service, "remove_service",
            "Takes a service out of the catalogue"),
        post("/v1/services/{service_id}/test", test_service, "test_service",
            "Calls a service as the operator, and says what an agent would have been charged"),
        get("/v1/policy", policy, "export_policy", "The present state as a policy"),
        post("/v1/policy", apply_policy, "apply_policy",
            "Applies a policy in one step, or says what would change"),
        post("/v1/policy/tests", try_policy, "test_policy",
            "What a policy would have said to what happened; nothing is changed"),
        get("/v1/policy/shadow", shadows, "shadow_caps",
            "What shadow caps would have denied of what was paid"),
        get("/v1/prices", prices, "show_prices",
            "What metered calls of language models cost, of all models or of one"),
        post("/v1/prices", set_prices, "set_prices",
            "Sets the prices that a table has, or says what would change"),
        get("/v1/exposure", exposure, "exposure",
            "What one agent or all of them can still spend if every cap is reached"),
        get("/v1/ledger", ledger, "ledger",
            "A page of one agent's ledger, or of everybody's, newest first"),
        get("/v1/books", books, "books", "Every book at one head of the record, for `verify`"),
    ]
}

async fn described(_: App) -> Json<Map<String, Value>> {
    Json(openapi())
}

async fn health(app: App) -> Json<Health> {
    Json(Health {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_by: app.started_by,
        connections: app.connections.now(),
        record: Some(app.engine.record_health()),
    })
}

async fn stop(app: App) -> Json<Health> {
    app.end(End::Asked);
    health(app).await
}

async fn agents(app: App) -> Answer<Agents> {
    asked(&app, async |engine: Engine| engine.agents().await).await
}

async fn create_agent(app: App, shown: Shown, Sent(new): Sent<NewAgent>) -> Answer<AgentView> {
    raised(&app, shown, async move |engine: Engine| engine.create_agent(new).await).await
}

async fn agent(app: App, Named(agent): Named<Handle>) -> Answer<AgentView> {
    asked(&app, async move |engine: Engine| engine.agent(&agent).await).await
}

async fn revoke(
    app: App,
    Named(agent): Named<Handle>,
    Sent(revocation): Sent<Revocation>,
) -> Answer<AgentView> {
    asked(&app, async move |engine: Engine| engine.revoke(&agent, revocation).await).await
}

async fn freeze(
    app: App,
    Named(agent): Named<Handle>,
    Sent(freezing): Sent<Freezing>,
) -> Answer<Acted> {
    asked(&app, async move |engine: Engine| engine.freeze(&agent, freezing).await).await
}

async fn unfreeze(
    app: App,
    Named(agent): Named<Handle>,
    shown: Shown,
    Sent(unfreezing): Sent<Unfreezing>,
) -> Answer<Acted> {
    raised(&app, shown, async move |engine: Engine| engine.unfreeze(&agent, unfreezing).await).await
}

async fn freeze_all(app: App, Sent(freezing): Sent<Freezing>) -> Answer<ActedOnAll> {
    asked(&app, async move |engine: Engine| engine.freeze_all(freezing).await).await
}

async fn unfreeze_all(
    app: App,
    shown: Shown,
    Sent(unfreezing): Sent<Unfreezing>,
) -> Answer<ActedOnAll> {
    raised(&app, shown, async move |engine: Engine| engine.unfreeze_all(unfreezing).await).await
}

async fn top_up(
    app: App,
    Named(agent): Named<Handle>,
    shown: Shown,
    Sent(top_up): Sent<TopUp>,
) -> Answer<AgentView> {
    raised(&app, shown, async move |engine: Engine| engine.top_up(&agent, top_up).await).await
}

async fn repin(
    app: App,
    Named(agent): Named<Handle>,
    shown: Shown,
    Sent(repin): Sent<Repin>,
) -> Answer<Acted> {
    raised(&app, shown, async move |engine: Engine| engine.repin(&agent, repin).await).await
}

async fn groups(app: App) -> Answer<Groups> {
    asked(&app, async |engine: Engine| engine.groups().await).await
}

async fn group(app: App, Named(group): Named<GroupId>) -> Answer<GroupView> {
    asked(&app, async move |engine: Engine| engine.group(&group).await).await
}

async fn remove_group(app: App, Named(group): Named<GroupId>) -> Answer<GroupView> {
    asked(&app, async move |engine: Engine| engine.remove_group(&group).await).await
}

async fn services(app: App) -> Answer<Services> {
    asked(&app, async |engine: Engine| engine.services().await).await
}

async fn service(app: App, Named(service): Named<ServiceId>) -> Answer<ServiceEntry> {
    asked(&app, async move |engine: Engine| engine.service(&service).await).await
}

async fn add_service(app: App, shown: Shown, Sent(new): Sent<NewService>) -> Answer<ServiceEntry> {
    raised(&app, shown, async move |engine: Engine| engine.add_service(new).await).await
}

async fn remove_service(app: App, Named(service): Named<ServiceId>) -> Answer<ServiceEntry> {
    asked(&app, async move |engine: Engine| engine.remove_service(&service).await).await
}

async fn test_service(
    app: App,
    Named(service): Named<ServiceId>,
    shown: Shown,
    Sent(asked_for): Sent<TestAsked>,
) -> Answer<ServiceTest> {
    let test = async move |engine: Engine| engine.test_service(&service, asked_for).await;
    raised(&app, shown, test).await
}

async fn mandate(app: App, Named(agent): Named<Handle>) -> Answer<MandateView> {
    asked(&app, async move |engine: Engine| engine.mandate(&agent).await).await
}

async fn change_mandate(
    app: App,
    Named(agent): Named<Handle>,
    Shown(proof): Shown,
    Sent(patch): Sent<MandatePatch>,
) -> Answer<MandateChanged> {
    asked(&app, async move |engine: Engine| engine.change_mandate(&agent, patch, proof).await).await
}

async fn policy(app: App) -> Answer<PresentPolicy> {
    asked(&app, async |engine: Engine| engine.policy().await).await
}

async fn apply_policy(
    app: App,
    Shown(proof): Shown,
    Sent(policy): Sent<PolicyAsked, MAX_POLICY>,
) -> Answer<PolicyPlan> {
    asked(&app, async move |engine: Engine| engine.apply_policy(policy, proof).await).await
}

/// Whose.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Whose {
    /// One agent; left out, all of them.
    agent: Option<Handle>,
}

async fn exposure(app: App, Asked(whose): Asked<Whose>) -> Answer<Exposure> {
    asked(&app, async move |engine: Engine| engine.exposure(whose.agent).await).await
}

/// From when on.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct SinceWhen {
    /// A moment that has been: a time, a day of UTC, or a span such as `7d`; left out, from the
    /// beginning.
    since: Option<Moment>,
}

async fn shadows(app: App, Asked(when): Asked<SinceWhen>) -> Answer<PolicyTrial> {
    asked(&app, async move |engine: Engine| engine.shadows(when.since).await).await
}

async fn try_policy(
    app: App,
    Sent(asked_for): Sent<TrialAsked, MAX_POLICY>,
) -> Answer<PolicyTrial> {
    asked(&app, async move |engine: Engine| engine.try_policy(asked_for).await).await
}

async fn prices(app: App, Asked(wanted): Asked<PricesWanted>) -> Answer<PriceTable> {
    asked(&app, async move |engine: Engine| engine.prices(wanted).await).await
}

async fn set_prices(
    app: App,
    Shown(proof): Shown,
    Sent(table): Sent<PricesAsked, MAX_POLICY>,
) -> Answer<PricesPlan> {
    asked(&app, async move |engine: Engine| engine.set_prices(table, proof).await).await
}

async fn pay(
    app: App,
    Named(agent): Named<Handle>,
    shown: Shown,
    Sent(payment): Sent<PaymentTerms>,
) -> Answer<PayAnswer> {
    // What is only said gives nobody anything.
    if payment.dry_run {
        return asked(&app, async move |engine: Engine| engine.pay_as(&agent, payment).await).await;
    }
    raised(&app, shown, async move |engine: Engine| engine.pay_as(&agent, payment).await).await
}

async fn tokens(app: App, Named(agent): Named<Handle>) -> Answer<TokenList> {
    asked(&app, async move |engine: Engine| engine.tokens(&agent).await).await
}

async fn issue_token(
    app: App,
    Named(agent): Named<Handle>,
    shown: Shown,
    Sent(new): Sent<NewToken>,
) -> Answer<TokenGiven> {
    raised(&app, shown, async move |engine: Engine| engine.issue_token(&agent, new).await).await
}

async fn rotate_token(
    app: App,
    Named(token): Named<TokenId>,
    shown: Shown,
    Sent(rotation): Sent<Rotation>,
) -> Answer<TokenGiven> {
    raised(&app, shown, async move |engine: Engine| engine.rotate_token(&token, rotation).await)
        .await
}

async fn revoke_token(app: App, Named(token): Named<TokenId>) -> Answer<TokenView> {
    asked(&app, async move |engine: Engine| engine.revoke_token(&token).await).await
}

async fn refund(
    app: App,
    Named(payment): Named<PaymentId>,
    shown: Shown,
    Sent(asked_for): Sent<Refund>,
) -> Answer<Refunded> {
    raised(&app, shown, async move |engine: Engine| engine.refund(payment, asked_for).await).await
}

async fn settle(
    app: App,
    Named(payment): Named<PaymentId>,
    shown: Shown,
    Sent(found): Sent<Settlement>,
) -> Answer<Settled> {
    raised(&app, shown, async move |engine: Engine| engine.settle(payment, found).await).await
}

async fn response(app: App, Named(payment): Named<PaymentId>) -> Answer<ApiBody> {
    asked(&app, async move |engine: Engine| engine.response(payment)).await
}

async fn explain(app: App, Named(payment): Named<PaymentId>) -> Answer<Explained> {
    asked(&app, async move |engine: Engine| engine.explain(payment).await).await
}

async fn ledger(app: App, Asked(page): Asked<LedgerAsked>) -> Answer<LedgerPage> {
    asked(&app, async move |engine: Engine| engine.ledger(page).await).await
}

async fn books(app: App) -> Answer<Books> {
    asked(&app, async |engine: Engine| engine.books().await).await
}

async fn door(app: App) -> Json<OperatorDoor> {
    Json(app.engine.operator_door())
}

async fn prove(app: App, shown: Shown) -> Answer<OperatorDoor> {
    raised(&app, shown, async |engine: Engine| Ok(engine.operator_door())).await
}

async fn set_passphrase(
    app: App,
    Shown(proof): Shown,
    Sent(new): Sent<NewPassphrase>,
) -> Answer<PassphraseGiven> {
    let NewPassphrase { passphrase } = new;
    asked(&app, async move |engine: Engine| engine.set_passphrase(passphrase.0, proof).await).await
}

async fn operator_tokens(app: App) -> Answer<TokenList> {
    asked(&app, async |engine: Engine| engine.operator_tokens().await).await
}

async fn issue_operator_token(
    app: App,
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
    let proven = async move |engine: Engine| ask(engine.prove(proof).await?).await;
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
