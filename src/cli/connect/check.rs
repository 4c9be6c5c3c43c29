//! Whether what a client is told to start answers.

use std::{env, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use tokio::{process::Command, time::timeout};

use super::entry::Started;
use crate::cli::session::Session;

/// How long it may take to answer.
const WITHIN: Duration = Duration::from_secs(10);
/// What a client with windows hands on of its environment, and not much more.
const ENVIRONMENT: [&str; 7] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER"];

/// Starts it once as a client does, and gives how many tools it has.
pub(super) async fn answers(started: &Started) -> anyhow::Result<usize> {
    let Some(program) = &started.command else { bail!("it names no command") };
    let mut command = Command::new(program);
    command.args(&started.args).env_clear();
    command.envs(env::vars_os().filter(|(name, _)| ENVIRONMENT.iter().any(|known| name == known)));
    command.envs(started.env.iter().map(|(name, value)| (name, value)));
    command.stderr(Stdio::null()).kill_on_drop(true);
    let asked = async {
        let mut session = Session::open(&mut command).await?;
        let tools = session.tools().await?;
        session.close().await?;
        Ok::<_, anyhow::Error>(tools)
    };
    let asked = timeout(WITHIN, asked).await;
    asked
        .with_context(|| format!("no answer within {WITHIN:?}"))?
        .with_context(|| format!("start `{program}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Started, answers};

    async fn of(script: &str) -> Result<usize, String> {
        let entry = json!({"command": "/bin/sh", "args": ["-c", script], "env": {"N": "1"}});
        answers(&Started::of(&entry)).await.map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn a_server_that_answers_is_told_from_one_that_does_not() {
        let greets = r#"read a; echo '{"id":1,"result":{}}'; read b; read c"#;
        let lists = r#"echo "{\"id\":2,\"result\":{\"tools\":[$N]}}""#;
        assert_eq!(of(&format!("{greets}; {lists}")).await, Ok(1));
        assert!(of("exit 3").await.is_err());
        assert!(of(greets).await.unwrap_err().contains("has ended"));
        assert!(of("read a; echo no").await.unwrap_err().contains("read the answer"));
        let gone = Started::of(&json!({"command": "/nowhere/pettycash"}));
        let told = format!("{:#}", answers(&gone).await.unwrap_err());
        assert!(told.contains("/nowhere/pettycash"), "{told}");
        assert!(answers(&Started::default()).await.is_err());
    }
}
