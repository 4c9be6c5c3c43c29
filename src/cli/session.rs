//! An MCP session as its client sees it, in the few messages that `demo` and `connect` need.
//!
//! The library's client knows the whole protocol, and would lie in every process of ours: in
//! `mcp`, of which each session has one, to be used by nobody.

use std::process::Stdio;

use anyhow::{Context, anyhow, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// The newest version of the protocol that begins with `initialize`.
const VERSION: &str = "2025-11-25";

/// A server of our own, and the lines to and from it.
pub(super) struct Session {
    server: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    asked: u64,
}

impl Session {
    /// Starts the server and shakes hands.
    pub(super) async fn open(command: &mut Command) -> anyhow::Result<Self> {
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let to = server.stdin.take().context("it has no input")?;
        let from = BufReader::new(server.stdout.take().context("it has no output")?).lines();
        let mut session = Self { server, to, from, asked: 0 };
        let program = json!({"name": "pettycash", "version": env!("CARGO_PKG_VERSION")});
        let params = json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": program});
        session.ask("initialize", &params).await?;
        session.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(session)
    }

    /// How many tools there are.
    pub(super) async fn tools(&mut self) -> anyhow::Result<usize> {
        let result = self.ask("tools/list", &json!({})).await?;
        Ok(result["tools"].as_array().context("the answer has no tools")?.len())
    }

    /// Calls a tool, and gives the text that a model would see.
    pub(super) async fn call(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<String> {
        let result = self.ask("tools/call", &json!({"name": tool, "arguments": arguments})).await?;
        let text = result.pointer("/content/0/text").and_then(Value::as_str);
        Ok(text.context("the answer has no text")?.to_owned())
    }

    /// Ends it as clients do, and waits until the server has ended.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let Self { mut server, to, .. } = self;
        drop(to);
        let status = server.wait().await?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    async fn ask(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        self.asked += 1;
        let id = self.asked;
        let asked = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.say(&asked).await?;
        loop {
            let line = self.from.next_line().await?.context("the server has ended")?;
            let mut answer: Value = serde_json::from_str(&line).context("read the answer")?;
            // It may tell of other things in between.
            if answer["id"] == id {
                let result = answer.get_mut("result").map(Value::take);
                return result.ok_or_else(|| anyhow!("{method} was answered {line}"));
            }
        }
    }

    async fn say(&mut self, message: &Value) -> anyhow::Result<()> {
        Ok(self.to.write_all(format!("{message}\n").as_bytes()).await?)
    }
}
