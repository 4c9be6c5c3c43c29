//! `pettycash disconnect`: takes out of a client's configuration what `connect` wrote.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{
    NAME, agreed, broken,
    clients::Client,
    diff::diff,
    file::ConfigFile,
    leads_to,
    receipt::Receipts,
    text::{self, Broken},
};
use crate::cli::output::{FAILED, Failure, Output};

/// `pettycash disconnect CLIENT`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pettycash disconnect claude-code
  pettycash disconnect cursor --print           only what would change
  pettycash disconnect codex --yes

If nobody changed the file since `connect`, it is again as it was, to the byte. An entry `pettycash`
that `connect` did not write, or that was changed since, goes only with --yes.")]
pub(in crate::cli) struct Args {
    /// The client: claude-code, claude-desktop, cursor, vscode or codex
    #[arg(value_name = "CLIENT", hide_possible_values = true)]
    client: Client,
    /// Only show what would change
    #[arg(long, conflicts_with = "yes")]
    print: bool,
    /// Do it without asking, whoever wrote the entry
    #[arg(long, short)]
    yes: bool,
}

/// What is to become of the file.
struct Plan {
    /// Its text; nothing where there was no file before.
    text: Option<String>,
    /// Whether that is what was there before, to the byte.
    restored: bool,
    /// Whether the entry is the one that we wrote.
    ours: bool,
    /// Whether what was kept is of no more use.
    spent: bool,
}

pub(in crate::cli) fn run(args: &Args, output: Output) -> anyhow::Result<ExitCode> {
    let client = args.client;
    let file = ConfigFile::read(client.config()?)?;
    let old = file.text().unwrap_or_default();
    let entry = text::entry(client, old).map_err(|error| broken(&file.path, &error))?;
    let receipts = Receipts::of(client, &file.path)?;
    let told = json!({"client": client, "config": file.path, "changed": false});
    let Some(entry) = entry else {
        if !args.print {
            receipts.forget()?;
        }
        let said = || format!("{} is not connected: there is nothing to undo.", client.name());
        output.print(&told, said)?;
        return Ok(ExitCode::SUCCESS);
    };
    let plan = plan(client, old, &entry, &receipts);
    let plan = plan.map_err(|error| broken(&file.path, &error))?;
    let change = diff(client, old, plan.text.as_deref().unwrap_or_default(), "");
    let change = change.map_err(|error| broken(&file.path, &error))?;
    let mut told = told;
    told["diff"] = json!(change);
    told["ours"] = json!(plan.ours);
    if args.print {
        output.print(&told, || format!("{}, {change}", file.path.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    file.writable()?;
    if !plan.ours && !args.yes {
        output.words(&format!("{}, {change}", file.path.display()))?;
        return Err(foreign(client).into());
    }
    if !agreed(args.yes, &file.path, &change, "Do this?", output)? {
        return Ok(ExitCode::from(FAILED));
    }
    file.replace(plan.text.as_deref())?;
    if plan.spent {
        receipts.forget()?;
    }
    told["changed"] = json!(true);
    told["restored"] = json!(plan.restored);
    output.print(&told, || done(client, &plan, &receipts))?;
    Ok(ExitCode::SUCCESS)
}

fn plan(client: Client, old: &str, entry: &Value, receipts: &Receipts) -> Result<Plan, Broken> {
    let ours = receipts.wrote(entry);
    let before = receipts.before();
    if ours && leads_to(client, before.as_deref(), entry, old) {
        return Ok(Plan { text: before, restored: true, ours, spent: true });
    }
    let had_servers = before.as_ref().is_some_and(|before| text::has_servers(client, before));
    let left = text::without(client, old, ours && !had_servers)?;
    if text::entry(client, &left)?.is_some() {
        return Err(Broken(format!("`{NAME}` cannot be taken out of it")));
    }
    // An entry that we wrote over is nowhere else.
    let written_over = before
        .is_some_and(|before| text::entry(client, &before).is_ok_and(|entry| entry.is_some()));
    Ok(Plan { text: Some(left), restored: false, ours, spent: !written_over })
}

fn foreign(client: Client) -> Failure {
    let word = client.word();
    Failure::Config {
        message: format!("the entry `{NAME}` is not as `pettycash connect` wrote it, and is left"),
        hint: format!("take it out all the same: pettycash disconnect {word} --yes"),
    }
}

fn done(client: Client, plan: &Plan, receipts: &Receipts) -> String {
    let mut lines = vec![format!("{} is disconnected.", client.name())];
    if plan.restored {
        lines.push(match plan.text {
            Some(_) => "The file is as it was before, to the byte.".to_owned(),
            None => "The file is gone, as it was before.".to_owned(),
        });
    }
    if !plan.spent {
        let backup = receipts.backup();
        lines.push(format!("What `connect` wrote over is kept in {}", backup.display()));
    }
    lines.push(format!("note: {}", client.restart()));
    lines.join("\n")
}
