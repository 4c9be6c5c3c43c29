//! `pettycash demo`: the main job in one command, with nothing pretended.
//!
//! In a throw-away directory the real program serves, the real program operates, and a client
//! drives the real MCP server. Every answer is compared with what it should be.

use std::{
    env, fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, anyhow, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    runtime,
    time::{sleep, timeout},
};

use super::{output::Output, owner, proof, session::Session};
use crate::{
    home::{HOME_VARIABLE, Home},
    telemetry,
};

/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How long the server may take to listen, and to end.
const SERVE_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at whether it listens.
const PAUSE: Duration = Duration::from_millis(10);

/// What `pettycash demo` is told: nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash demo
  pettycash demo --json")]
pub(super) struct Args {}

/// Plays the story and prints it; fails at the first answer that is not as it should be.
pub(super) fn run(_: Args, output: Output) -> anyhow::Result<ExitCode> {
    telemetry::to_stderr("warn");
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start the runtime")?.block_on(async {
        let place = ThrowAway::new()?;
        let mut stage = Stage::set(&place, output).await?;
        let played = tokio::select! {
            played = timeout(WITHIN, stage.play()) => played.context("play within a minute"),
            _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
        };
        stage.clear().await;
        let ledger = played??;
        if output.json {
            let told = json!({"steps": stage.steps, "ledger": ledger, "verified": true});
            output.print(&told, String::new)?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// A directory of our own that is gone when we are done.
struct ThrowAway(PathBuf);

impl ThrowAway {
    fn new() -> anyhow::Result<Self> {
        let name = format!("pettycash-demo-{:016x}", getrandom::u64()?);
        let dir = env::temp_dir().join(name);
        let made = fs::DirBuilder::new().mode(0o700).create(&dir);
        made.with_context(|| format!("make `{}`", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for ThrowAway {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, dir = %self.0.display(), "the directory could not be removed");
        }
    }
}

/// The server, and what has happened so far.
struct Stage {
    program: PathBuf,
    dir: PathBuf,
    serve: Child,
    output: Output,
    steps: Vec<Value>,
}

impl Stage {
    /// Starts the server in the directory and waits until it listens.
    async fn set(place: &ThrowAway, output: Output) -> anyhow::Result<Self> {
        let (program, dir) = (env::current_exe().context("find this program")?, place.0.clone());
        let mut command = furnished(&program, &dir);
        let log = fs::File::create(dir.join("serve.log"))?;
        let serve = command.arg("serve").stdout(Stdio::null()).stderr(log).spawn();
        let serve = serve.context("start `pettycash serve`")?;
        let mut stage = Self { program, dir, serve, output, steps: Vec::new() };
        let home = Home::at(&stage.dir.join("home"))?;
        let listening = async {
            while owner::find(&home).await.is_none() {
                let ended = stage.serve.try_wait()?;
                ensure!(ended.is_none(), "`pettycash serve` ended: {}", stage.log());
                sleep(PAUSE).await;
            }
            Ok(())
        };
        timeout(SERVE_WITHIN, listening).await.context("`pettycash serve` does not listen")??;
        Ok(stage)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("serve.log")).unwrap_or_default()
    }

    /// Plays the whole story, and gives the ledger at its end.
    async fn play(&mut self) -> anyhow::Result<Value> {
        self.output.words("An agent with petty cash, in a throw-away directory.\n")?;
        self.output.words("The operator writes a catalogue and gives an agent 30 cents.")?;
        self.operate(&["service", "add", "search", "--payee", "Acme Search", "--price", "0.02"])
            .await?;
        self.operate(&["service", "add", "report", "--payee", "Acme Reports", "--no-price"])
            .await?;
        self.operate(&["service", "add", "translate", "--payee", "Babel", "--price", "0.10"])
            .await?;
        self.operate(&["agent", "create", "scout", "--cap", "5.00/day", "--per-call", "0.25"])
            .await?;
        self.operate(&["top-up", "scout", "0.30"]).await?;

        let mut command = furnished(&self.program, &self.dir);
        let session = Session::open(command.args(["mcp", "--agent", "scout"])).await;
        let mut session = session.context("open an MCP session")?;
        let played = self.play_agent(&mut session).await;
        let closed = session.close().await;
        played?;
        closed.context("close the MCP session")?;
        self.output.words("\nThe ledger, as the operator reads it:")?;
        let ledger = self.operate(&["ledger", "scout"]).await?;
        self.output.words(
            "\nThe whole record, checked link by link and sum by sum: silent when all is well.",
        )?;
        self.operate(&["verify"]).await?;
        Ok(ledger)
    }

    async fn play_agent(&mut self, session: &mut Session) -> anyhow::Result<()> {
        self.output.words("\nThe agent looks at what it may pay.")?;
        self.call(session, "list_services", json!({}), "").await?;
        self.output.words("\nIt pays for a search.")?;
        let search = json!({"service_id": "search"});
        self.pay(session, search.clone(), "paid").await?;

        self.output.words("\nIt asks for too much, and is told what it can have instead.")?;
        let dear = json!({"service_id": "report", "amount_usd": "0.40"});
        let refused = self.pay(session, dear, "denied per_call_limit_exceeded shrink").await?;

        self.output.words("\nIt takes the advice.")?;
        let most = refused.get("max_affordable_usd").cloned().unwrap_or_default();
        let less = json!({"service_id": "report", "amount_usd": most});
        self.pay(session, less, "paid").await?;

        self.output
            .words("\nIts money is nearly gone, and nothing that it can do changes that.")?;
        let translate = json!({"service_id": "translate"});
        let broke = "denied insufficient_balance ask_operator";
        self.pay(session, translate.clone(), broke).await?;

        self.output.words("\nThe operator can, from another terminal, and the agent goes on.")?;
        self.operate(&["top-up", "scout", "1.00", "--note", "for the translation"]).await?;
        self.pay(session, translate, "paid").await?;

        self.output.words(
            "\nThe operator ends it. The agent is still connected, and pays nothing more.",
        )?;
        self.operate(&["agent", "revoke", "scout", "--reason", "compromised"]).await?;
        self.pay(session, search, "denied agent_revoked stop").await?;
        Ok(())
    }

    /// Does as an operator would, with the program itself.
    async fn operate(&mut self, words: &[&str]) -> anyhow::Result<Value> {
        let mut command = furnished(&self.program, &self.dir);
        command.args(words).args(self.output.json.then_some("--json"));
        let done = command.output().await.context("start `pettycash`")?;
        let line = format!("pettycash {}", shell(words));
        let (said, errors) = (text(&done.stdout), text(&done.stderr));
        ensure!(done.status.success(), "`{line}` ended with {}: {errors}", done.status);
        self.output.words(&format!("  $ {line}"))?;
        for line in said.lines() {
            self.output.words(&format!("    {line}"))?;
        }
        let printed: Value = serde_json::from_str(&said).unwrap_or_default();
        self.steps.push(json!({"by": "operator", "command": line, "printed": printed}));
        Ok(printed)
    }

    async fn pay(
        &mut self,
        session: &mut Session,
        arguments: Value,
        due: &str,
    ) -> anyhow::Result<Value> {
        self.call(session, "pay_for_api_call", arguments, due).await
    }

    /// Calls a tool as a model would, and shows what a model would see.
    async fn call(
        &mut self,
        session: &mut Session,
        tool: &'static str,
        arguments: Value,
        due: &str,
    ) -> anyhow::Result<Value> {
        let text = session.call(tool, &arguments).await;
        let text = text.with_context(|| format!("call {tool}"))?;
        self.output.words(&format!("  {tool} {arguments}\n    {text}"))?;
        let answer: Value = serde_json::from_str(&text).context("read the answer")?;
        let words = ["outcome", "code", "advice"].map(|word| answer.get(word)?.as_str());
        let words = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
        ensure!(words == due, "{tool} should have answered `{due}`, not {text}");
        self.steps.push(json!({
            "by": "agent", "tool": tool, "arguments": arguments, "answer": answer,
        }));
        Ok(answer)
    }

    /// Ends the server, in order if it lets us.
    async fn clear(&mut self) {
        let pid = self.serve.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if asked && timeout(SERVE_WITHIN, self.serve.wait()).await.is_ok() {
            return;
        }
        if let Err(error) = self.serve.kill().await {
            tracing::warn!(%error, "the server could not be ended");
        }
    }
}

/// The program, at home in the throw-away directory and nowhere else.
fn furnished(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.env(HOME_VARIABLE, dir.join("home")).env("XDG_STATE_HOME", dir.join("state"));
    command.env_remove("PETTYCASH_AGENT").stdin(Stdio::null()).kill_on_drop(true);
    // Whoever watches it may be an agent: the money is none.
    for mark in proof::marks(std::env::vars_os()) {
        command.env_remove(mark);
    }
    command
}

/// The words as a shell takes them.
fn shell(words: &[&str]) -> String {
    let quoted = |word: &&str| {
        if word.contains(' ') { format!("\"{word}\"") } else { (*word).to_owned() }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
