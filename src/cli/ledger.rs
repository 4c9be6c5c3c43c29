//! `pettycash ledger`: what happened, newest first.

use std::process::ExitCode;

use super::{
    output::{Output, say, table, wait},
    owner,
    words::time,
};
use crate::{
    client::Operator,
    home::Home,
    policy::{
        names::Handle,
        terms::{LedgerPage, OperatorLine},
    },
};

/// How many lines one request fetches.
const PAGE: u32 = 1_000;

/// `pettycash ledger [HANDLE]`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pettycash ledger\n  pettycash ledger scout --json --limit 1000000"
)]
pub(super) struct Args {
    /// One agent; without it everybody's, and what the catalogue gained
    handle: Option<Handle>,
    /// How many lines at the most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(super) fn run(args: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        let Lines { entries, more } = fetch(&operator, args.handle.as_ref(), args.limit).await?;
        if output.json {
            let next_cursor = more;
            say(&serde_json::to_string(&LedgerPage { entries, next_cursor })?)?;
        } else if entries.is_empty() {
            say("Nothing has happened yet.")?;
        } else {
            say(&words(&entries))?;
            if more.is_some() {
                let limit = args.limit;
                say(&format!("… there is more; these are the newest {limit} (see --limit)."))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

struct Lines {
    entries: Vec<OperatorLine>,
    more: Option<String>,
}

/// Pages until there is enough or no more.
async fn fetch(operator: &Operator, agent: Option<&Handle>, limit: u32) -> anyhow::Result<Lines> {
    let mut entries: Vec<OperatorLine> = Vec::new();
    let mut cursor: Option<String> = None;
    let mut left = limit;
    loop {
        let page = operator.ledger(agent, cursor.as_deref(), Some(left.min(PAGE))).await?;
        left = left.saturating_sub(u32::try_from(page.entries.len()).unwrap_or(u32::MAX));
        entries.extend(page.entries);
        cursor = page.next_cursor;
        if cursor.is_none() || left == 0 {
            return Ok(Lines { entries, more: cursor });
        }
    }
}

fn words(entries: &[OperatorLine]) -> String {
    let rows = entries.iter().map(|entry| {
        let line = &entry.line;
        let id = line.payment_id.map(|id| id.to_string());
        let times = line.times.map(|times| format!("×{times}"));
        let note = entry.note.as_ref().map(ToString::to_string);
        let details = [line.code.clone(), times, line.run.clone(), entry.detail.clone(), note];
        vec![
            time(line.at),
            entry.agent.as_ref().map(ToString::to_string).unwrap_or_default(),
            line.outcome.clone(),
            line.service_id.as_ref().map(|id| id.0.to_string()).unwrap_or_default(),
            line.amount_usd.map(|amount| amount.to_string()).unwrap_or_default(),
            id.unwrap_or_default(),
            details.into_iter().flatten().collect::<Vec<_>>().join(" "),
        ]
    });
    table(&["AT", "AGENT", "WHAT", "SERVICE", "AMOUNT", "PAYMENT", ""], rows)
}
