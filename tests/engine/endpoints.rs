//! Services that call an API: how they come into the catalogue, and who is told what of them.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use pettycash::{
    clock::Clock,
    engine::{Engine, EngineError},
    policy::{
        entry::{By, Draft, Fact},
        mandate::Service,
        names::RailName,
        state::State,
        terms::{PolicyAsked, PolicyPlan},
    },
    rails::{Dispatch, Order, Rail, Rails, Reply, Verdict, proxy},
    store::{Decision, Purpose},
};
use serde_json::{Value, json};

use crate::support::{
    house::{House, store},
    private_dir,
    scripted::{Act, Scripted},
};

/// What is done to what is written.
type Spoil = fn(&mut Value);

/// A rail of the name that APIs are called by, which calls none.
pub(super) struct Proxy(pub(super) Scripted);

impl Rail for Proxy {
    fn name(&self) -> RailName {
        RailName::proxy()
    }

    fn dispatch(&self, service: &Service) -> Dispatch {
        self.0.dispatch(service)
    }

    fn pay<'a>(&'a self, order: &'a Order, reply: Reply) -> BoxFuture<'a, Verdict> {
        self.0.pay(order, reply)
    }
}

fn rails() -> Rails {
    Rails::default().with(Arc::new(Proxy(Scripted::new([Act::Take]))))
}

fn weather() -> Value {
    json!({
        "payee": "Acme Weather",
        "price": "0.02",
        "rail": "proxy",
        "base_url": "https://api.acme.example/v2",
        "secret": {"env": "ACME_KEY"},
        "headers": {"authorization": "Bearer {secret}"},
        "operations": [
            {"name": "now", "method": "GET", "path": "/now/{place}"},
            {"name": "far", "method": "POST", "path": "/far",
             "price_from": {"json": "/cost", "at_most": "0.10"}},
            {"name": "ask", "method": "POST", "path": "/chat", "metered": "openai_chat"}
        ]
    })
}

fn asked(service: &Value, dry_run: bool) -> PolicyAsked {
    let policy = json!({"schema": 1, "services": {"weather": service}});
    serde_json::from_value(json!({"policy": policy, "dry_run": dry_run})).unwrap()
}

async fn plan(house: &House, service: &Value) -> PolicyPlan {
    house.engine.apply_policy(asked(service, true), None).await.unwrap()
}

async fn apply(house: &House, service: &Value) -> Result<PolicyPlan, EngineError> {
    house.engine.apply_policy(asked(service, false), None).await
}

#[tokio::test]
async fn an_api_is_in_the_catalogue_after_a_policy_a_request_and_a_restart() {
    let house = House::with(rails()).await;
    assert!(apply(&house, &weather()).await.unwrap().applied);
    let mut new = weather();
    new["id"] = json!("weather-2");
    new["price_usd"] = new.as_object_mut().unwrap().remove("price").unwrap();
    house.service(new).await;
    let before = house.engine.policy().await.unwrap();
    let house = house.reopened_with(rails()).await;
    let after = house.engine.policy().await.unwrap();
    assert_eq!(before, after);
    let services = serde_json::to_value(&after.policy.services).unwrap();
    assert_eq!(services["weather"], weather());
    assert_eq!(services["weather-2"], weather());
    assert!(plan(&house, &weather()).await.is_nothing());
    let told = serde_json::to_value(house.engine.services().await.unwrap()).unwrap();
    let entry = told["services"].as_array().unwrap().last().unwrap();
    assert_eq!(entry["base_url"], "https://api.acme.example/v2");
    assert_eq!(entry["rail"], "proxy");
}

#[tokio::test]
async fn the_model_is_told_what_can_be_called_and_nothing_of_where_or_with_what_key() {
    let house = House::with(rails()).await;
    house.scout().await;
    apply(&house, &weather()).await.unwrap();
    let told = house.call("list_services", "scout", json!({})).await;
    let service = told["services"].as_array().unwrap().last().unwrap();
    let operations = json!([
        {"name": "now", "method": "GET", "path": "/now/{place}", "params": ["place"],
         "price_usd": "0.02"},
        {"name": "far", "method": "POST", "path": "/far", "at_most_usd": "0.10"},
        {"name": "ask", "method": "POST", "path": "/chat", "metered": "openai_chat"}
    ]);
    let whole = json!({"service_id": "weather", "payee": "Acme Weather", "price_usd": "0.02",
        "operations": operations});
    assert_eq!(*service, whole);
    for word in ["acme.example", "ACME_KEY", "authorization", "secret", "/v2"] {
        assert!(!told.to_string().contains(word), "{word}");
    }
}

#[tokio::test]
async fn a_page_of_the_catalogue_ends_before_it_is_too_long_for_a_model() {
    let house = House::with(rails()).await;
    house.scout().await;
    let operation =
        |n: usize| json!({"name": format!("o{n}"), "method": "GET", "path": format!("/o{n}")});
    let operations: Vec<Value> = (0..64).map(operation).collect();
    for n in 0..5 {
        house
            .service(json!({"id": format!("api{n}"), "payee": "Acme", "rail": "proxy",
                "price_usd": "0.02", "base_url": "https://api.acme.example",
                "operations": operations}))
            .await;
    }
    let (mut pages, mut cursor, mut named) = (Vec::new(), None, Vec::new());
    while pages.len() < 8 {
        let asked = cursor.take().map_or(json!({}), |cursor: Value| json!({"cursor": cursor}));
        let told = house.call("list_services", "scout", asked).await;
        let services = told["services"].as_array().unwrap();
        pages.push(services.len());
        named.extend(services.iter().map(|one| one["service_id"].as_str().unwrap().to_owned()));
        match told.get("next_cursor") {
            Some(next) => cursor = Some(next.clone()),
            None => break,
        }
    }
    assert_eq!(pages, [3, 4]);
    assert_eq!(named, ["api0", "api1", "api2", "api3", "api4", "report", "search"]);
}

#[tokio::test]
async fn every_change_of_an_api_takes_a_proof_and_only_prices_are_told_as_such() {
    let house = House::with(rails()).await;
    apply(&house, &weather()).await.unwrap();
    let changes: [(Spoil, bool); 7] = [
        (|it| it["price"] = json!("0.03"), true),
        (|it| it["base_url"] = json!("https://api.evil.example/v2"), false),
        (|it| it["secret"] = json!({"env": "OTHER_KEY"}), false),
        (|it| it["headers"]["x-a"] = json!("b"), false),
        (|it| it["operations"][0]["path"] = json!("/other/{place}"), false),
        (|it| it["operations"][1]["price_from"]["at_most"] = json!("0.20"), false),
        (|it| it["on_unknown"] = json!("capture"), false),
    ];
    for (change, of_price) in changes {
        let mut spoilt = weather();
        change(&mut spoilt);
        let plan = plan(&house, &spoilt).await;
        assert!(plan.gives_more && !plan.is_nothing(), "{spoilt}");
        assert_eq!(plan.services[0].is_of_price(), of_price, "{spoilt}");
    }
    let mut fixed = weather();
    fixed["operations"][0]["price"] = json!("0.01");
    apply(&house, &fixed).await.unwrap();
    fixed["operations"][0]["price"] = json!("0.04");
    assert!(plan(&house, &fixed).await.services[0].is_of_price());
}

#[tokio::test]
async fn nobody_names_the_price_of_what_the_operators_key_is_billed_for() {
    let (dir, clock) = (private_dir(), Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap()));
    // As a record has it that was written when this was let be.
    let service = json!({"service_set": {"id": "weather", "payee": "Acme", "rail": "proxy",
        "endpoint": {"base_url": "https://api.acme.example",
            "operations": [{"name": "now", "method": "GET", "path": "/now"}],
            "charge_on": ["2xx"], "free_on": ["4xx"], "on_unknown": "hold", "timeout_s": 2,
            "max_response_bytes": 65_536}}});
    let fact: Fact = serde_json::from_value(service).unwrap();
    let older = store(dir.path(), &clock);
    let draft = Draft { agent: None, by: By::Operator, fact };
    let write = move |_: &State, _, _| {
        let (drafts, answer) = (vec![draft], Box::new(|_: &State| ()));
        Decision::Commit { drafts, durable: true, answer }
    };
    older.commit(Purpose::Record, write).await.unwrap();
    let rails = Rails::default().with(Arc::new(proxy::Proxy::default()));
    let engine = Engine::open(older, rails, clock.clone()).await.unwrap();
    let house = House { dir, clock, engine };
    house.scout().await;
    let request = json!({"operation": "now"});
    for dry_run in [true, false] {
        let call = json!({"service_id": "weather", "amount_usd": "0.000000001",
            "dry_run": dry_run, "request": request});
        let told = house.pay("scout", call).await;
        let message = told["message"].as_str().unwrap();
        assert!(message.contains("an operation that the operator gave a price"), "{told}");
        assert_eq!(told["code"], "invalid_request");
    }
    let open = house.call("get_balance", "scout", json!({})).await;
    assert_eq!(open["available_usd"], "5.00");
}

#[tokio::test]
async fn an_api_without_its_rail_and_the_rail_without_an_api_are_refused() {
    let house = House::with(rails()).await;
    let cases: [(Spoil, &str, &str, &str); 6] = [
        (
            |it| drop(it.as_object_mut().unwrap().remove("price")),
            "endpoint_invalid",
            "/services/weather/operations",
            "the operation `now` has no price: write `price`, `metered` or `price_from` there, or \
             `price` of the service",
        ),
        (
            |it| drop(it.as_object_mut().unwrap().remove("base_url")),
            "endpoint_missing",
            "/services/weather/rail",
            "`rail = \"proxy\"` calls an API: say in `base_url` where it is",
        ),
        (
            |it| drop(it.as_object_mut().unwrap().remove("operations")),
            "endpoint_invalid",
            "/services/weather/operations",
            "an endpoint has 1 to 64 operations",
        ),
        (
            |it| it["rail"] = json!("iou"),
            "endpoint_unused",
            "/services/weather/base_url",
            "an API is called by `rail = \"proxy\"` alone: this service has another rail",
        ),
        (
            |it| *it = json!({"payee": "Acme", "timeout": 30}),
            "endpoint_unused",
            "/services/weather/",
            "an API is called by `rail = \"proxy\"` alone: this service has another rail",
        ),
        (
            |it| drop(it.as_object_mut().unwrap().remove("headers")),
            "endpoint_invalid",
            "/services/weather/secret",
            "`secret` is put nowhere: write {secret} into `headers`, such as x-api-key",
        ),
    ];
    for (spoil, code, pointer, message) in cases {
        let mut spoilt = weather();
        spoil(&mut spoilt);
        let told = serde_json::to_value(plan(&house, &spoilt).await).unwrap();
        let fault = &told["faults"][0];
        assert_eq!(
            (&fault["code"], &fault["at"][0]["pointer"], &fault["message"]),
            (&json!(code), &json!(pointer), &json!(format!("`weather`: {message}")))
        );
        assert!(apply(&house, &spoilt).await.is_err());
        let mut new = spoilt.clone();
        let fields = new.as_object_mut().unwrap();
        fields.insert("id".to_owned(), json!("weather"));
        fields.remove("price");
        let refused = house.engine.add_service(serde_json::from_value(new).unwrap()).await;
        assert_eq!(refused.unwrap_err().to_string(), message);
    }
    assert_eq!(house.engine.services().await.unwrap().services.len(), 2);
}
