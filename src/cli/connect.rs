//! `pettycash connect`: has an MCP client start `pettycash mcp`, by its own configuration.
//!
//! Nothing is written that was not shown, nor where it was not agreed to. What others wrote stays
//! as it is, what was there before is kept, and `disconnect` undoes it.

mod check;
mod clients;
mod diff;
pub(super) mod disconnect;
mod entry;
mod file;
mod json;
mod receipt;
mod secrets;
mod status;
mod text;
mod toml;

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::{
    output::{FAILED, Failure, Output, plain, print_all, wait},
    owner,
    proof::Proving,
};
use crate::{
    client::Operator,
    home::Home,
    policy::{names::Handle, terms::AgentView},
};
use clients::Client;
use entry::{Entry, NAME, Started};

use file::ConfigFile;
use receipt::Receipts;
pub(super) use status::{Link, State, links};
use text::Broken;

const HELP: &str = "\
Examples:
  pettycash connect                             which clients are here, and what would be done
  pettycash connect claude-code
  pettycash connect cursor --agent scout --yes
  pettycash connect codex --print               only what one would paste
  pettycash connect --status                    who is connected, as which agent

Clients: claude-code, claude-desktop, cursor, vscode, codex. An entry `pettycash` is written, which
starts this program by its absolute path; it holds no secret. Undo it with `pettycash disconnect`.
Where there is an entry that pays as somebody else, changing it takes an operator's proof.";

/// `pettycash connect`
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The client; without it they are listed
    #[arg(value_name = "CLIENT", hide_possible_values = true)]
    client: Option<Client>,
    /// The agent that pays; without it the one that is named already, the only one, or `claude`
    #[arg(long, value_name = "HANDLE")]
    agent: Option<Handle>,
    /// Only print what belongs into the client's configuration
    #[arg(long, requires = "client", conflicts_with = "status")]
    print: bool,
    /// Only say what is connected
    #[arg(long)]
    status: bool,
    /// Write it without asking
    #[arg(long, short, conflicts_with = "status")]
    yes: bool,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        match args.client {
            Some(client) if !args.status => connect(args, client, home, &operator, output).await,
            one => status::run(one, args.agent.as_ref(), home, &operator, output).await,
        }
    })
}

async fn connect(
    args: &Args,
    client: Client,
    home: &Home,
    operator: &Operator,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let agents = match &args.agent {
        Some(named) => vec![operator.agent(named).await?],
        None => operator.agents().await?.agents,
    };
    if args.print {
        let agent = choose(args.agent.as_ref(), None, &agents)?;
        let fields = Entry::new(home, &agent)?.fields(client.names_the_kind());
        return print(client, &fields, output);
    }
    let file = ConfigFile::read(client.config()?)?;
    let present = text::entry(client, file.text().unwrap_or_default());
    let present = present.map_err(|error| broken(&file.path, &error))?;
    let agent = choose(args.agent.as_ref(), present.as_ref(), &agents)?;
    let entry = Entry::new(home, &agent)?;
    let fields = entry.over(present.as_ref(), client);
    let mut told = Map::new();
    told.extend(described(client, &file.path, &entry));
    if present.as_ref().and_then(Value::as_object) == Some(&fields) {
        told.insert("changed".to_owned(), json!(false));
        let said = format!("{} is connected as `{agent}` already.", client.name());
        output.words(&said)?;
    } else {
        let before = present.as_ref().filter(|present| !entry.pays_as(present));
        if let Some(before) = before {
            let what = async || Ok(other_payer(client, before, &agent));
            args.proving.raise(operator, what, async |operator| operator.prove().await).await?;
        }
        let Some((diff, backup)) = write(args.yes, client, &file, &entry, present, output)? else {
            return Ok(ExitCode::from(FAILED));
        };
        told.insert("changed".to_owned(), json!(true));
        told.insert("diff".to_owned(), json!(diff));
        told.extend(backup.map(|backup| ("backup".to_owned(), json!(backup))));
        output.words(&format!("{} is connected as `{agent}`.", client.name()))?;
    }
    let answered = check::answers(&Started::of(&Value::Object(fields))).await;
    let notes = notes(client, &file, &entry, &agents, told["changed"] == json!(true));
    report(client, told, answered, &notes, output)
}

/// What changes where a client is to pay as somebody else.
///
/// That takes an operator, as whatever gives an agent more does: a model that sits in that client
/// would have another's budget from then on. It is a guard rail, not a wall: what runs under the
/// operator's account can write that file itself, or start `pettycash mcp --agent` for any agent
/// that local clients may use. For that same reason nobody is asked where a client has no entry
/// yet: an entry gives it nothing that it could not have, and somebody who sets up his clients is
/// not asked for each. An agent that is to be out of reach is one with `--no-local`.
fn other_payer(client: Client, before: &Value, agent: &Handle) -> String {
    let was = Started::of(before).agent;
    let was = was.map_or("what its entry starts now".to_owned(), |was| format!("`{was}`"));
    format!("This has {} pay as `{agent}`, in the place of {was}.", client.name())
}

/// Writes the entry once it is agreed to. Gives what changed and where the former text is kept.
fn write(
    yes: bool,
    client: Client,
    file: &ConfigFile,
    entry: &Entry,
    present: Option<Value>,
    output: Output,
) -> anyhow::Result<Option<(String, Option<std::path::PathBuf>)>> {
    file.writable()?;
    let old = file.text().unwrap_or_default();
    let fields = entry.over(present.as_ref(), client);
    let edited = text::with(client, old, &fields).map_err(|error| broken(&file.path, &error))?;
    let reads = text::entry(client, &edited).ok().flatten();
    if reads.as_ref().and_then(Value::as_object) != Some(&fields) {
        let strange = Broken("our entry has no place in it".to_owned());
        return Err(broken(&file.path, &strange).into());
    }
    // What others set in our entry may be a secret; what we write is none.
    let public = Value::Object(entry.fields(true)).to_string();
    let diff = diff::diff(client, old, &edited, &public);
    let diff = diff.map_err(|error| broken(&file.path, &error))?;
    if !agreed(yes, &file.path, &diff, "Write this?", output)? {
        return Ok(None);
    }
    let receipts = Receipts::of(client, &file.path)?;
    // One that we wrote before, and nobody touched since, leads back to what was before that.
    let wrote = present.filter(|present| receipts.wrote(present));
    let before = receipts.before();
    let leads = |wrote: &Value| leads_to(client, before.as_deref(), wrote, old);
    if !wrote.as_ref().is_some_and(leads) {
        receipts.keep(file.text())?;
    }
    receipts.note(&file.path, Value::Object(fields), wrote)?;
    file.replace(Some(&edited))?;
    let backup = receipts.backup();
    Ok(Some((diff, backup.exists().then_some(backup))))
}

/// Whether `entry` written into `before` gives `text`, and `before` had none.
fn leads_to(client: Client, before: Option<&str>, entry: &Value, text: &str) -> bool {
    let old = before.unwrap_or_default();
    let free = text::entry(client, old).is_ok_and(|entry| entry.is_none());
    let fields = entry.as_object().cloned().unwrap_or_default();
    free && text::with(client, old, &fields).is_ok_and(|written| written == text)
}

/// Shows what would change, and asks.
fn agreed(
    yes: bool,
    path: &Path,
    diff: &str,
    question: &str,
    output: Output,
) -> anyhow::Result<bool> {
    let shown: Vec<String> = diff.lines().map(plain).collect();
    output.words(&format!("{}, {}", path.display(), shown.join("\n")))?;
    if yes {
        return Ok(true);
    }
    if output.json || !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let refused = Failure::Usage {
            message: "nothing was changed: there is nobody to ask".to_owned(),
            hint: "add --yes to have it done".to_owned(),
        };
        return Err(refused.into());
    }
    io::stderr().write_all(format!("{question} [y/N] ").as_bytes())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let yes = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if !yes {
        output.words("Nothing was changed.")?;
    }
    Ok(yes)
}

fn broken(path: &Path, error: &Broken) -> Failure {
    Failure::Config {
        message: format!("`{}` is broken, and is left as it is: {error}", path.display()),
        hint: "mend it there, or print what to put into it by hand with --print".to_owned(),
    }
}

/// The agent that is meant: the one that is named, that the entry has, the only one, or `claude`.
fn choose(
    named: Option<&Handle>,
    present: Option<&Value>,
    agents: &[AgentView],
) -> Result<Handle, Failure> {
    let stands = |view: &AgentView| view.balance.standing.as_deref() != Some("revoked");
    let may: Vec<&str> = agents.iter().filter(|view| stands(view)).map(AgentView::handle).collect();
    let had = present.and_then(|entry| Started::of(entry).agent);
    let had = had.filter(|had| may.contains(&had.as_str()));
    let only = match &*may {
        [only] => Some(*only),
        _ => may.iter().copied().find(|handle| *handle == "claude"),
    };
    let usage = |message: String, hint: String| Failure::Usage { message, hint };
    let reach = |agent: Handle| {
        if agents.iter().any(|view| view.handle() == agent.as_str() && !view.local.is_allowed()) {
            let hint = format!(
                "`pettycash mandate set {agent} --local` lets them; or reach it over HTTP with a \
                 token: `pettycash agent token {agent}`"
            );
            return Err(usage(barred(&agent), hint));
        }
        Ok(agent)
    };
    match (named, had, only) {
        (Some(named), ..) if may.contains(&named.as_str()) => reach(named.clone()),
        (Some(named), ..) => Err(usage(
            format!("the agent `{named}` is revoked: it can never pay"),
            "name another with --agent; `pettycash agent list` shows them".to_owned(),
        )),
        (None, Some(had), _) => reach(had),
        (None, None, Some(only)) => reach(only.parse().map_err(|_| {
            usage("the agent has no usable name".to_owned(), "name one with --agent".to_owned())
        })?),
        (None, None, None) if may.is_empty() => Err(usage(
            "there is no agent yet that could pay".to_owned(),
            "create one: pettycash init".to_owned(),
        )),
        (None, None, None) => Err(usage(
            format!("which agent is meant? There are {}", may.join(", ")),
            format!("name it: --agent {}", may.first().unwrap_or(&"HANDLE")),
        )),
    }
}

/// Why an agent with `--no-local` cannot be connected: `mcp --agent` answers as if it were none.
fn barred(agent: &Handle) -> String {
    format!("local clients may not use the agent `{agent}`")
}

fn print(client: Client, fields: &Map<String, Value>, output: Output) -> anyhow::Result<ExitCode> {
    let snippet = text::snippet(client, fields);
    if !output.json {
        print_all(snippet.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let told = json!({
        "client": client, "config": client.config()?, "entry": fields, "snippet": snippet,
    });
    output.print(&told, String::new)?;
    Ok(ExitCode::SUCCESS)
}

fn described(client: Client, config: &Path, entry: &Entry) -> Map<String, Value> {
    let told = json!({
        "client": client, "config": config, "agent": entry.agent, "command": entry.command,
    });
    told.as_object().cloned().unwrap_or_default()
}

/// What somebody should know besides.
fn notes(
    client: Client,
    file: &ConfigFile,
    entry: &Entry,
    agents: &[AgentView],
    changed: bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    if changed {
        notes.push(client.restart().to_owned());
    }
    if !client.is_found() {
        notes.push(format!("no {} was found on this machine", client.name()));
    }
    let frozen = |view: &&AgentView| view.balance.standing.as_deref() == Some("frozen");
    let meant = |view: &&AgentView| view.handle() == entry.agent.as_str();
    if agents.iter().filter(meant).any(|view| frozen(&view)) {
        notes.push(format!("`{}` is frozen: it pays nothing for now", entry.agent));
    }
    notes.extend(entry.passing());
    for project in text::hidden_in(client, file.text().unwrap_or_default()) {
        notes.push(format!("`{project}` has a `{NAME}` of its own, which wins there"));
    }
    notes
}

fn report(
    client: Client,
    mut told: Map<String, Value>,
    answered: anyhow::Result<usize>,
    notes: &[String],
    output: Output,
) -> anyhow::Result<ExitCode> {
    let ok = answered.is_ok();
    let (said, answers) = match answered {
        Ok(tools) => (format!("It answers with {tools} tools."), json!({"tools": tools})),
        Err(error) => {
            let why = format!("{error:#}");
            (format!("It does not answer: {}", plain(&why)), json!({"problem": why}))
        }
    };
    told.insert("answers".to_owned(), answers);
    told.insert("notes".to_owned(), json!(notes));
    let backup = told.get("backup").and_then(Value::as_str).map(str::to_owned);
    output.print(&told, || {
        let mut lines = vec![said];
        lines.extend(notes.iter().map(|note| format!("note: {}", plain(note))));
        lines.extend(backup.map(|backup| format!("Before  {backup}")));
        lines.push(format!("Undo    pettycash disconnect {}", client.word()));
        lines.join("\n")
    })?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// The snippet of any client with `mcpServers`, for `init`.
pub(super) fn common_snippet(home: &Home, agent: &Handle) -> anyhow::Result<Value> {
    let entry = Entry::new(home, agent).context("find this program")?;
    Ok(json!({"mcpServers": {NAME: entry.fields(false)}}))
}
