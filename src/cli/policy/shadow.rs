//! `pettycash policy shadow`: what shadow caps would have denied.

use std::process::ExitCode;

use super::trial::{Since, since, words};
use crate::{
    cli::{
        output::{Output, wait},
        owner,
    },
    clock::Clock,
    home::Home,
    policy::terms::PolicyTrial,
};

/// `pettycash policy shadow`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash policy shadow
  pettycash policy shadow --since 7d

A policy's file has `shadow_caps` beside `caps`: they are counted in the same way, they deny
nothing, and the agent never hears of them. `pettycash ledger` and `policy explain` tell of each
payment that passed one; what agents without any paid is not added up. What would have been denied
was spent here, and counts for what follows: `policy test` is for what would have come of it.")]
pub(super) struct Args {
    /// From when on: 7d, 12h, 2026-11-01 (UTC) or 2026-11-01T00:00:00Z; without it, all of it
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
}

pub(super) fn run(args: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let since = args.since.map(|since| since.at(&Clock::System)).transpose()?;
    let operator = owner::operator(home);
    wait(async {
        let told = operator.shadows(since).await?;
        output.print(&told, || words_of(&told))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What came of it, where there is anything it could come of.
fn words_of(told: &PolicyTrial) -> String {
    match (told.with_shadow_caps, told.agents.is_empty()) {
        (Some(0), true) => {
            "No agent has shadow caps: there is nothing to add up. `shadow_caps` in a \
                            policy's file sets them."
                .to_owned()
        }
        _ => words(told),
    }
}
