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
        moment::Moment,
        names::{Handle, RunId, ServiceId},
        task::TaskId,
        terms::{LedgerAsked, LedgerPage, OperatorLine},
    },
};

/// How many lines one request fetches.
const PAGE: u32 = 1_000;

/// `pettycash ledger [HANDLE]`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash ledger
  pettycash ledger scout --since 24h --outcome denied
  pettycash ledger scout --since 2026-11-01 --until 2026-12-01 --service search
  pettycash ledger scout --json --limit 1000000

--since and --until take a time (2026-11-21T18:00:00Z), a day of the agent's time zone (without an
agent, of UTC), or how long ago (30m, 24h, 7d); --until is the first moment that is left out.
`--outcome paid` finds what was captured too, `--outcome denied` what was only counted.")]
pub(super) struct Args {
    /// One agent; without it everybody's, and what the catalogue gained
    handle: Option<Handle>,
    /// How many lines at the most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only from here on
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    since: Option<Moment>,
    /// Only before this
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    until: Option<Moment>,
    /// Only of this service
    #[arg(long)]
    service: Option<ServiceId>,
    /// Only with this outcome, as the column WHAT has it
    #[arg(long)]
    outcome: Option<String>,
    /// Only of this run
    #[arg(long)]
    run: Option<RunId>,
    /// Only of this task
    #[arg(long)]
    task: Option<TaskId>,
}

/// Reads a moment that was, for clap.
fn moment(text: &str) -> Result<Moment, String> {
    match text.parse()? {
        Moment::Clock(_) => {
            Err("a time of day is of no day: say which, or how long ago".to_owned())
        }
        moment => Ok(moment),
    }
}

impl Args {
    fn asked(&self) -> LedgerAsked {
        LedgerAsked {
            agent: self.handle.clone(),
            since: self.since,
            until: self.until,
            service_id: self.service.clone(),
            outcome: self.outcome.clone(),
            run: self.run.clone(),
            task_id: self.task,
            ..LedgerAsked::default()
        }
    }
}

pub(super) fn run(args: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        let Lines { entries, more } = fetch(&operator, args.asked(), args.limit).await?;
        if output.json {
            let next_cursor = more;
            say(&serde_json::to_string(&LedgerPage { entries, next_cursor })?)?;
        } else if entries.is_empty() {
            let all = LedgerAsked { agent: args.handle.clone(), ..LedgerAsked::default() };
            let nothing =
                if args.asked() == all { "has happened yet" } else { "fits what is asked" };
            say(&format!("Nothing {nothing}."))?;
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
async fn fetch(operator: &Operator, mut asked: LedgerAsked, limit: u32) -> anyhow::Result<Lines> {
    let mut entries: Vec<OperatorLine> = Vec::new();
    let mut left = limit;
    loop {
        asked.limit = Some(left.min(PAGE));
        let page = operator.ledger(&asked).await?;
        left = left.saturating_sub(u32::try_from(page.entries.len()).unwrap_or(u32::MAX));
        entries.extend(page.entries);
        asked.cursor = page.next_cursor;
        if asked.cursor.is_none() || left == 0 {
            return Ok(Lines { entries, more: asked.cursor });
        }
    }
}

/// The entries with the repetitions of a denial in one line with it, where nothing came between.
fn folded(entries: &[OperatorLine]) -> Vec<OperatorLine> {
    let mut told: Vec<OperatorLine> = Vec::new();
    for entry in entries {
        let again = told.last_mut().filter(|newer| {
            let line = (&newer.line.payment_id, &newer.line.code, &newer.detail);
            newer.line.outcome == "denied_again"
                && ["denied", "denied_again"].contains(&&*entry.line.outcome)
                && line == (&entry.line.payment_id, &entry.line.code, &entry.detail)
        });
        match again {
            Some(newer) => {
                let times = newer.line.times.unwrap_or(1);
                let times = times.saturating_add(entry.line.times.unwrap_or(1));
                let at = newer.line.at;
                *newer = entry.clone();
                (newer.line.at, newer.line.times) = (at, Some(times));
            }
            None => told.push(entry.clone()),
        }
    }
    told
}

fn words(entries: &[OperatorLine]) -> String {
    let entries = folded(entries);
    let rows = entries.iter().map(|entry| {
        let line = &entry.line;
        let id = line.payment_id.map(|id| id.to_string());
        let times = line.times.map(|times| format!("×{times}"));
        let note = entry.note.as_ref().map(ToString::to_string);
        let (code, run, task) = (line.code.clone(), line.run.clone(), line.task_id.clone());
        let model = line.model.as_ref().map(ToString::to_string);
        let details = [model, code, times, run, task, entry.detail.clone(), note];
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
