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
    Applied as it is, it changes nothing. Balances, tokens and freezes are in no policy.")]
pub(super) struct Args {}

pub(super) fn run(_: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        let present = operator.policy().await?;
        output.print(&present, || toml(&present))?;
        Ok(ExitCode::SUCCESS)
    })
}
