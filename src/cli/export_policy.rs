//! `pettycash export-policy`: the present state as a policy's file.

use std::process::ExitCode;

use super::{
    output::{Output, wait},
    owner,
    policy::toml,
};
use crate::home::Home;

/// `pettycash export-policy …`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pettycash export-policy > policy.toml\n\n\
    Applied as it is, it changes nothing. Balances, tokens and freezes are in no policy.\n\
    Nothing is left out of it: one that is more than `apply` takes (4 MiB, 10,000 agents or\n\
    services) is to be cut between two agents, into files that each begin with `schema = 1`.")]
pub(super) struct Args {}

pub(super) fn run(_: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        let present = operator.policy().await?;
        output.print(&present, || toml(&present))?;
        Ok(ExitCode::SUCCESS)
    })
}
