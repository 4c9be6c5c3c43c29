//! What holds whatever agents, operators and clocks do, asked of the engine from outside; what
//! holds of the books alone is in `properties.rs`. The numbers are those of the project's list of
//! invariants.

mod calls;
mod keys;
mod races;
mod reading;

use pettycash::{
    clock::Clock,
    engine::{Call, Engine},
    policy::{came::Came, state::State},
    rails::Rails,
    store::Store,
};
use proptest::test_runner::Config as ProptestConfig;
use serde_json::{Value, json};

use crate::support::{canary::Searched, house, private_dir};

/// An engine whose state can be looked at, with three agents, two of them in a group.
struct Watched {
    dir: Searched,
    clock: Clock,
    store: Store,
    engine: Engine,
}

impl Watched {
    async fn new() -> Self {
        let dir = private_dir();
        let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
        let watched = Self::open(dir, clock).await;
        let allowance = |group: Option<&str>| {
            json!({"funding": "allowance", "per_call": "0.60", "group": group,
                "caps": ["2.00/day", "1.00/hour", "9x/hour"], "tasks": "agent",
                "pinned": {"search": "Acme Search"}, "first_payee": "locked",
                "tiers": ["40x/7d:0.90"], "max_output_tokens": 4096,
                "downgrade_at": 80, "downgrade_to": "claude-haiku-4-5"})
        };
        let mut lone = allowance(None);
        lone.as_object_mut().unwrap().remove("group");
        let policy = json!({
            "schema": 1,
            "services": {"search": {"payee": "Acme Search", "price": "0.02"},
                         "report": {"payee": "Acme Reports"}},
            "groups": {"team": {"caps": ["1.50/day"]}},
            "agents": {"zoe": allowance(Some("team")), "ben": allowance(Some("team")), "cyd": lone},
        });
        let asked = serde_json::from_value(json!({"policy": policy})).unwrap();
        watched.engine.apply_policy(asked, None).await.unwrap();
        watched
    }

    /// Every agent has paid every service once, and has a task that an operator opened.
    async fn at_work(&self) -> [String; 3] {
        let mut tasks = Vec::new();
        for agent in ["zoe", "ben", "cyd"] {
            self.pay(agent, json!({"service_id": "search"})).await;
            self.pay(agent, json!({"service_id": "report", "amount_usd": "0.01"})).await;
            let new = json!({"task_type": "research", "cap_usd": "0.20"});
            let new = serde_json::from_value(new).unwrap();
            let opened = self.engine.open_task_of(&agent.parse().unwrap(), new).await.unwrap();
            let view = serde_json::to_value(opened).unwrap();
            tasks.push(view["task_id"].as_str().unwrap_or_else(|| panic!("{view}")).into());
        }
        tasks.try_into().unwrap()
    }

    async fn open(dir: Searched, clock: Clock) -> Self {
        let store = house::store(dir.path(), &clock);
        let engine = Engine::open(store.clone(), Rails::default(), clock.clone()).await.unwrap();
        Self { dir, clock, store, engine }
    }

    async fn reopened(self) -> Self {
        let Self { dir, clock, store, engine } = self;
        engine.close().await;
        drop((engine, store));
        Self::open(dir, clock).await
    }

    /// Everything there is, and how far the record goes.
    async fn state(&self) -> (State, Option<u64>) {
        self.store.read(|state, head| (state.clone(), head.position)).await.unwrap()
    }

    async fn call(&self, tool: &str, agent: &str, arguments: Value) -> Value {
        let call = Call {
            agent: agent.parse().unwrap(),
            run: None,
            call_id: None,
            arguments,
            came: Came::Local,
            via: None,
        };
        self.engine.call(tool, call).await.expect("a tool")
    }

    async fn pay(&self, agent: &str, arguments: Value) -> Value {
        self.call("pay_for_api_call", agent, arguments).await
    }
}

/// So many cases of a property.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Has a future run to its end, as each case of a property needs.
fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

/// The amount in a field, in nano-dollars.
fn nanos(value: &Value, field: &str) -> i64 {
    let amount = value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"));
    amount.parse::<pettycash::policy::money::Usd>().unwrap().nanos()
}

/// A cent, and more of them, as tools take them.
fn dollars(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
