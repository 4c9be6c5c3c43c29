//! An engine on real files in a throw-away directory, with a hand-set clock.

use std::{path::Path, sync::Arc};

use jiff::SignedDuration;
use pettycash::{
    clock::Clock,
    engine::{Call, Engine},
    policy::{
        came::Came,
        terms::{LedgerAsked, LedgerPage, NewAgent, NewService, Revocation, TopUp},
    },
    rails::Rails,
    store::{Options, Store},
};
use serde_json::{Value, json};

use super::{canary::Searched, file_disk, private_dir};

/// A directory, a clock and the engine on them.
pub(crate) struct House {
    pub(crate) dir: Searched,
    pub(crate) clock: Clock,
    pub(crate) engine: Engine,
}

pub(crate) fn store(dir: &Path, clock: &Clock) -> Store {
    let journal = file_disk(&dir.join("journal"));
    let options = Options::new(clock.clone(), dir.join("desk"));
    Store::open(Arc::new(journal), options).expect("the store")
}

impl House {
    /// A house at noon of a Saturday, with `search` at $0.02 and `report` without a price.
    pub(crate) async fn new() -> Self {
        Self::with(Rails::default()).await
    }

    /// The same with these rails.
    pub(crate) async fn with(rails: Rails) -> Self {
        let dir = private_dir();
        let clock = Clock::fixed("2026-11-21T12:00:00Z".parse().unwrap());
        let engine = Engine::open(store(dir.path(), &clock), rails, clock.clone()).await.unwrap();
        let house = Self { dir, clock, engine };
        house.service(json!({"id": "search", "payee": "Acme Search", "price_usd": "0.02"})).await;
        house.service(json!({"id": "report", "payee": "Acme Reports"})).await;
        house
    }

    /// Closes the engine and opens another on the same files.
    pub(crate) async fn reopened(self) -> Self {
        self.reopened_with(Rails::default()).await
    }

    /// The same with these rails.
    pub(crate) async fn reopened_with(self, rails: Rails) -> Self {
        let Self { dir, clock, engine } = self;
        engine.close().await;
        drop(engine);
        let engine = Engine::open(store(dir.path(), &clock), rails, clock.clone()).await.unwrap();
        Self { dir, clock, engine }
    }

    pub(crate) fn pass(&self, by: SignedDuration) {
        self.clock.advance(by);
    }

    pub(crate) async fn agent(&self, new: Value) {
        let new: NewAgent = serde_json::from_value(new).unwrap();
        self.engine.create_agent(new).await.unwrap();
    }

    /// An agent with $5.00 a day and $0.25 a call, as in the README.
    pub(crate) async fn scout(&self) {
        self.agent(json!({"handle": "scout", "funding": "allowance", "per_call_limit_usd": "0.25",
            "caps": [{"period": "day", "cap_usd": "5.00"}]}))
            .await;
    }

    pub(crate) async fn service(&self, new: Value) {
        let new: NewService = serde_json::from_value(new).unwrap();
        self.engine.add_service(new).await.unwrap();
    }

    pub(crate) async fn top_up(&self, agent: &str, amount: &str) {
        let top_up = TopUp { amount_usd: amount.parse().unwrap(), note: None };
        self.engine.top_up(&agent.parse().unwrap(), top_up).await.unwrap();
    }

    pub(crate) async fn revoke(&self, agent: &str) {
        let revocation = Revocation { reason: "compromised".parse().unwrap(), note: None };
        self.engine.revoke(&agent.parse().unwrap(), revocation).await.unwrap();
    }

    pub(crate) async fn call(&self, tool: &str, agent: &str, arguments: Value) -> Value {
        self.call_as(tool, agent, None, arguments).await
    }

    pub(crate) async fn call_as(
        &self,
        tool: &str,
        agent: &str,
        call: Option<&str>,
        arguments: Value,
    ) -> Value {
        let call = Call {
            agent: agent.parse().unwrap(),
            run: None,
            call_id: call.map(|call| call.parse().unwrap()),
            arguments,
            came: Came::Local,
            via: None,
        };
        self.engine.call(tool, call).await.expect("a tool")
    }

    pub(crate) async fn pay(&self, agent: &str, arguments: Value) -> Value {
        self.call("pay_for_api_call", agent, arguments).await
    }

    pub(crate) async fn lines(&self, agent: &str) -> Vec<Value> {
        let page: LedgerPage = self
            .engine
            .ledger(LedgerAsked::page(Some(agent.parse().unwrap()), None, None))
            .await
            .unwrap();
        page.entries.iter().map(|entry| serde_json::to_value(entry).unwrap()).collect()
    }

    pub(crate) async fn outcomes(&self, agent: &str) -> Vec<String> {
        let lines = self.lines(agent).await;
        lines.iter().map(|line| line["outcome"].as_str().unwrap().to_owned()).collect()
    }
}
