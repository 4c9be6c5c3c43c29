//! A `pettycash serve` of our own, with its home and everything else of it in a throw-away place.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use futures_util::FutureExt;
use pettycash::{
    client::{Call, Called, Client, Finder, Operator},
    home::{Home, Serving},
    policy::terms::NewToken,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    house::{PRICE, SERVICE, handle, terms},
    place::{Place, program},
};

/// How often it is looked whether it listens, and how long in between.
const LOOKS: u32 = 2_000;
const PAUSE: Duration = Duration::from_millis(5);

/// A server beside it that says on its first line where it listens, until it is dropped.
pub(crate) struct Beside {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Beside {
    pub(crate) fn start(name: &str) -> Result<Self> {
        let mut command = Command::new(program(name)?);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Served {
    place: Place,
    home: PathBuf,
    child: Child,
    serving: Serving,
}

impl Served {
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// One that listens for HTTP too.
    pub(crate) fn listening() -> Result<Self> {
        Self::start_with(&["--listen", "127.0.0.1:0"])
    }

    fn start_with(arguments: &[&str]) -> Result<Self> {
        let place = Place::new()?;
        let home = place.inside("home")?;
        let mut command = Self::command(&place)?;
        let child = command.arg("serve").args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = child.stderr(Stdio::null()).spawn()?;
        for _ in 0..LOOKS {
            let serving = Home::at(&home)?.serving();
            if let Some(serving) = serving.filter(|serving| serving.pid == child.id()) {
                return Ok(Self { place, home, child, serving });
            }
            if let Some(status) = child.try_wait()? {
                bail!("serve ended: {status}");
            }
            thread::sleep(PAUSE);
        }
        let _ = child.kill();
        bail!("serve does not listen")
    }

    fn command(place: &Place) -> Result<Command> {
        let mut command = Command::new(program("pettycash")?);
        command.env("PETTYCASH_HOME", place.inside("home")?);
        command.env("XDG_STATE_HOME", place.inside("state")?);
        // Sockets go here where the home's own path is too long for them.
        command.env("XDG_RUNTIME_DIR", place.inside("run")?);
        command.env_remove("PETTYCASH_AGENT").env_remove("PETTYCASH_LOG");
        Ok(command)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens for HTTP.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        self.serving.listen.context("it does not listen for HTTP")
    }

    /// A token of an agent, as the header that carries it.
    pub(crate) async fn bearer(&self, agent: usize) -> Result<String> {
        let operator = Operator::new(self.finder());
        let given = operator.issue_token(&handle(agent)?, &NewToken::default()).await?;
        let token = serde_json::to_value(given)?["token"].clone();
        Ok(format!("authorization: Bearer {}\r\n", token.as_str().context("no token")?))
    }

    /// The MCP server of an agent, as a client starts it.
    pub(crate) fn mcp(&self, agent: usize) -> Result<Command> {
        let mut command = Self::command(&self.place)?;
        command.args(["mcp", "--agent", handle(agent)?.as_str()]);
        Ok(command)
    }

    fn finder(&self) -> Finder {
        let sockets = self.serving.sockets.clone();
        Arc::new(move || std::future::ready(Ok(sockets.clone())).boxed())
    }

    /// The service, and agents that may pay for it.
    pub(crate) async fn furnish(&self, agents: usize) -> Result<()> {
        let operator = Operator::new(self.finder());
        self.sell(json!({"id": SERVICE, "payee": "Acme Search", "price_usd": PRICE})).await?;
        for agent in 0..agents {
            operator.create_agent(&serde_json::from_value(terms(&handle(agent)?))?).await?;
        }
        Ok(())
    }

    /// A service.
    pub(crate) async fn sell(&self, service: Value) -> Result<()> {
        let operator = Operator::new(self.finder());
        operator.add_service(&serde_json::from_value(service)?).await?;
        Ok(())
    }

    /// Has each of the agents pay that many times.
    pub(crate) async fn pay(&self, agents: usize, times: usize) -> Result<()> {
        let client = Client::new(self.finder());
        for number in 0..agents * times {
            let agent = handle(number % agents)?;
            let (agent, call_id) = (agent.as_str(), &*format!("call_{number:032x}"));
            let arguments = json!({"service_id": SERVICE});
            let call =
                Call { tool: "pay_for_api_call", agent, run: None, call_id, arguments, via: None };
            let called = client.call(call).await;
            let Called::Answered(answer) = called else { bail!("no answer: {called:?}") };
            ensure!(answer["outcome"] == "paid", "not paid: {answer}");
        }
        Ok(())
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid())?).context("no process")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "serve in {} ended: {status}", self.home.display());
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
