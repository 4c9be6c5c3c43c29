//! Which clients are here, and which of them are connected: to whom, and whether that works.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Entry, barred, broken, choose, clients::Client, entry::Started, file::ConfigFile, text,
};
use crate::{
    cli::{
        output::{Failure, Output, plain, table},
        program,
    },
    client::Operator,
    home::Home,
    policy::{names::Handle, terms::AgentView},
};

/// How a client stands to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum State {
    /// It starts `pettycash mcp`.
    Connected,
    /// It has no entry of ours.
    NotConnected,
    /// An entry `pettycash` starts something else.
    Other,
    /// Its configuration cannot be read.
    Unreadable,
}

/// What `connect` would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Would {
    Add,
    Change,
    Nothing,
}

/// A client and what its configuration says of us.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct Link {
    client: Client,
    /// Whether there is a trace of it on this machine.
    pub(in crate::cli) found: bool,
    config: Option<PathBuf>,
    pub(in crate::cli) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) agent: Option<Handle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// What is wrong with it.
    pub(in crate::cli) problems: Vec<String>,
    /// What mends it, where `connect` does not.
    #[serde(skip)]
    pub(in crate::cli) fix: Option<String>,
    /// What `connect` would do; nothing where it cannot tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    would: Option<Would>,
}

impl Link {
    /// The client's name on the command line.
    pub(in crate::cli) fn word(&self) -> &'static str {
        self.client.word()
    }
}

pub(super) async fn run(
    one: Option<Client>,
    agent: Option<&Handle>,
    home: &Home,
    operator: &Operator,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let agents = operator.agents().await?.agents;
    if let Some(named) = agent {
        operator.agent(named).await?;
    }
    let mut links = links(home, &agents, agent);
    links.retain(|link| one.is_none_or(|one| link.client == one));
    output.print(&json!({"clients": links}), || words(&links))?;
    Ok(ExitCode::SUCCESS)
}

/// Every client that can be connected, as it stands.
pub(in crate::cli) fn links(
    home: &Home,
    agents: &[AgentView],
    agent: Option<&Handle>,
) -> Vec<Link> {
    Client::value_variants().iter().map(|client| link(*client, home, agents, agent)).collect()
}

fn link(client: Client, home: &Home, agents: &[AgentView], agent: Option<&Handle>) -> Link {
    let mut link = Link {
        client,
        found: client.is_found(),
        config: client.config().ok(),
        state: State::NotConnected,
        agent: None,
        command: None,
        problems: Vec::new(),
        fix: None,
        would: None,
    };
    let present = match read(client) {
        Ok(present) => present,
        Err(failure) => {
            link.state = State::Unreadable;
            link.problems.push(failure.to_string());
            return link;
        }
    };
    let meant = choose(agent, present.as_ref(), agents);
    let wanted = meant.ok().and_then(|meant| Entry::new(home, &meant).ok());
    link.would = wanted.map(|wanted| match &present {
        None => Would::Add,
        Some(present) if present.as_object() == Some(&wanted.over(Some(present), client)) => {
            Would::Nothing
        }
        Some(_) => Would::Change,
    });
    if let Some(present) = present {
        let started = Started::of(&present);
        link.problems = problems(&started, home);
        let here = started.home().as_deref() == Some(home.dir()) && started.command.is_some();
        if let (true, Some(agent)) = (here, &started.agent) {
            let (more, fix) = of_the_agent(agent, agents);
            link.fix = fix.filter(|_| link.problems.is_empty());
            link.problems.extend(more);
        }
        link.state = if started.agent.is_some() { State::Connected } else { State::Other };
        (link.agent, link.command) = (started.agent, started.command);
    }
    link
}

/// Our entry in a client's configuration, if there is one.
fn read(client: Client) -> Result<Option<Value>, Failure> {
    let file = ConfigFile::read(client.config()?)?;
    let entry = text::entry(client, file.text().unwrap_or_default());
    entry.map_err(|error| broken(&file.path, &error))
}

/// Why what is started would not work, whoever pays.
fn problems(started: &Started, home: &Home) -> Vec<String> {
    let Started { command: Some(command), agent: Some(_), .. } = started else {
        return vec!["its entry `pettycash` is not one of ours".to_owned()];
    };
    let mut problems = Vec::new();
    if !Path::new(command).is_absolute() {
        problems.push(format!("`{command}` is no absolute path: programs with windows miss it"));
    } else if !program::runs(Path::new(command)) {
        problems.push(format!("`{command}` is not there, or cannot be run"));
    }
    let there = started.home();
    if there.as_deref() != Some(home.dir()) {
        let there = there.map(|dir| dir.display().to_string());
        let there = there.unwrap_or_else(|| "the platform's data directory".to_owned());
        problems.push(format!("its data is in {there}, not in {}", home.dir().display()));
    }
    problems
}

/// Why the agent could not pay through it, and what mends that where another entry does not.
fn of_the_agent(agent: &Handle, agents: &[AgentView]) -> (Vec<String>, Option<String>) {
    let Some(view) = agents.iter().find(|view| view.handle() == agent.as_str()) else {
        return (vec![format!("there is no agent `{agent}`")], None);
    };
    let (mut problems, mut fix) = (Vec::new(), None);
    let standing = view.balance.standing.as_deref().unwrap_or_default();
    if standing != "active" {
        problems.push(format!("the agent `{agent}` is {standing}"));
    }
    if standing == "frozen" {
        fix = Some(format!("pettycash agent unfreeze {agent}"));
    }
    if standing != "revoked" && !view.local.is_allowed() {
        problems.push(barred(agent));
        // One line at a time: once that is done, the next look tells of this.
        fix = fix.or_else(|| Some(format!("pettycash mandate set {agent} --local")));
    }
    (problems, fix)
}

fn words(links: &[Link]) -> String {
    let rows = links.iter().map(|link| {
        let config = link.config.as_ref().map(|path| path.display().to_string());
        vec![link.word().to_owned(), state(link), config.unwrap_or_default()]
    });
    let mut told = vec![table(&["CLIENT", "STATE", "CONFIGURATION"], rows)];
    for link in links {
        let word = link.word();
        told.extend(link.problems.iter().map(|problem| format!("{word}: {}", plain(problem))));
    }
    let due = |link: &&Link| link.found && matches!(link.would, Some(Would::Add | Would::Change));
    match links.iter().find(due) {
        Some(link) => told.push(format!("\nNext    pettycash connect {}", link.word())),
        None if links.iter().all(|link| !link.found) => {
            told.push("\nNone was found; pettycash connect CLIENT writes its file anyway.".into());
        }
        None => {}
    }
    told.join("\n")
}

fn state(link: &Link) -> String {
    let state = match (&link.agent, link.state) {
        (Some(agent), _) if link.problems.is_empty() => format!("connected as `{agent}`"),
        (Some(agent), _) => format!("`{agent}`, but does not work"),
        (None, State::Connected | State::NotConnected) if link.found => "not connected".to_owned(),
        (None, State::Connected | State::NotConnected) => "not found".to_owned(),
        (None, State::Other) => "another `pettycash`".to_owned(),
        (None, State::Unreadable) => "not readable".to_owned(),
    };
    match link.would {
        Some(Would::Add) if link.found => format!("{state}, would be added"),
        Some(Would::Change) => format!("{state}, would be changed"),
        Some(Would::Add | Would::Nothing) | None => state,
    }
}
