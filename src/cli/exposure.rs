//! `pettycash exposure`: the worst case if every cap is reached.

use std::process::ExitCode;

use super::{
    output::{Output, table, wait},
    owner,
};
use crate::{
    home::Home,
    policy::{
        money::Usd,
        names::Handle,
        terms::{AtMost, Exposure},
    },
};

/// `pettycash exposure [HANDLE]`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash exposure
  pettycash exposure scout --json

What can still be spent from now on until each agent's day, week, month and mandate ends, if it
reaches every cap: what is held included, what is spent already not. Nobody is thought to top up,
unfreeze or loosen anything meanwhile. Hours and days at which nothing may be paid are not taken
off. Caps per run and limits per payment bound nothing here, for
there can be any number of either.")]
pub(super) struct Args {
    /// One agent; without it all of them
    handle: Option<Handle>,
}

pub(super) fn run(args: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        let exposure = operator.exposure(args.handle.as_ref()).await?;
        output.print(&exposure, || words(&exposure))?;
        Ok(ExitCode::SUCCESS)
    })
}

fn words(exposure: &Exposure) -> String {
    if exposure.agents.is_empty() {
        return "No agents yet: nothing can be spent.".to_owned();
    }
    let heading = ["AGENT", "HELD", "TODAY", "THIS WEEK", "THIS MONTH", "UNTIL IT EXPIRES", ""];
    let mut rows: Vec<_> = exposure
        .agents
        .iter()
        .map(|agent| {
            let standing = match (agent.standing.as_str(), agent.expires_at) {
                ("active", Some(at)) => format!("expires {}", super::words::time(at)),
                ("active", None) => "never expires".to_owned(),
                (other, _) => other.to_owned(),
            };
            row(agent.handle.to_string(), agent.held_usd.to_string(), &agent.at_most, standing)
        })
        .collect();
    if exposure.agents.len() > 1 {
        rows.push(row("all".to_owned(), String::new(), &exposure.all, String::new()));
    }
    table(&heading, rows)
}

fn row(who: String, held: String, most: &AtMost, last: String) -> Vec<String> {
    let told =
        |most: Option<Usd>| most.map_or("not bounded".to_owned(), |amount| amount.to_string());
    let most = [most.today_usd, most.this_week_usd, most.this_month_usd, most.until_expiry_usd];
    [who, held].into_iter().chain(most.map(told)).chain([last]).collect()
}
