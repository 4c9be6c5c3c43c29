//! An engine of our own, in this process, as `serve` opens it.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use pettycash::{
    clock::Clock,
    engine::{Call, Engine},
    policy::{
        came::Came,
        names::{Handle, IdempotencyKey},
    },
    rails::Rails,
    store::{FileDisk, Opened, Options, Store},
};
use serde_json::{Value, json};

/// The service that every payment is for.
pub(crate) const SERVICE: &str = "search";
/// What it costs.
pub(crate) const PRICE: &str = "0.000001";

/// An open engine, and the record under it.
pub(crate) struct House {
    pub(crate) engine: Engine,
    store: Store,
}

impl House {
    /// Opens what is in `dir`, or begins it: the one place that knows how.
    pub(crate) async fn open(dir: &Path) -> Result<Self> {
        let clock = Clock::System;
        let disk = Arc::new(FileDisk::open(&dir.join("journal"))?);
        let anchor = Arc::new(FileDisk::shared(&dir.join("anchors"))?);
        let options = Options::new(clock.clone(), dir.join("desk"));
        let options = Options { anchor: Some(anchor), ..options };
        let store = Store::open(disk, options)?;
        let engine = Engine::open(store.clone(), Rails::default(), clock).await?;
        Ok(Self { engine, store })
    }

    /// What opening found.
    pub(crate) fn opened(&self) -> &Opened {
        self.store.opened()
    }

    /// The service, and agents that may pay for it, each with six things to check: the limit and
    /// five caps.
    pub(crate) async fn furnish(&self, agents: usize) -> Result<()> {
        let service = json!({"id": SERVICE, "payee": "Acme Search", "price_usd": PRICE});
        self.engine.add_service(serde_json::from_value(service)?).await?;
        for agent in 0..agents {
            self.engine.create_agent(serde_json::from_value(terms(&handle(agent)?))?).await?;
        }
        Ok(())
    }

    /// Where the record ends: what it grew by is what was written.
    pub(crate) async fn end(&self) -> Result<u64> {
        let head = self.store.read(|_, head| head).await?;
        head.position.context("an empty record")
    }

    /// One call, as it comes from `mcp`: with the id of the call, which is looked up as a key.
    pub(crate) async fn call(
        &self,
        tool: &str,
        agent: &Handle,
        call_id: Option<IdempotencyKey>,
        arguments: Value,
    ) -> Result<Value> {
        let (agent, came) = (agent.clone(), Came::Local);
        let call = Call { agent, run: None, call_id, arguments, came, via: None };
        self.engine.call(tool, call).await.context("no such tool")
    }

    /// One payment, which must be made.
    pub(crate) async fn pay(&self, agent: &Handle, call_id: Option<IdempotencyKey>) -> Result<()> {
        let arguments = json!({"service_id": SERVICE});
        let answer = self.call("pay_for_api_call", agent, call_id, arguments).await?;
        ensure!(answer["outcome"] == "paid", "not paid: {answer}");
        Ok(())
    }
}

/// An agent's name.
pub(crate) fn handle(number: usize) -> Result<Handle> {
    Ok(format!("agent-{number}").parse()?)
}

/// What an agent may do: far more than any run asks for.
pub(crate) fn terms(agent: &Handle) -> Value {
    let caps = ["hour", "day", "week", "month", "lifetime"];
    let caps = caps.map(|period| json!({"period": period, "cap_usd": "1000000.00"}));
    json!({"handle": agent.as_str(), "funding": "allowance", "per_call_limit_usd": "1.00",
        "caps": caps})
}

/// The id of a call, as `mcp` mints it.
pub(crate) fn call_id(caller: usize, number: u64) -> Result<IdempotencyKey> {
    Ok(format!("call_{caller:016x}{number:016x}").parse()?)
}
