//! `pettycash top-up`: money for a prepaid agent.

use std::process::ExitCode;

use super::{
    output::{Output, above_zero, wait},
    owner,
    proof::Proving,
};
use crate::{
    client::Operator,
    home::Home,
    policy::{
        money::Usd,
        names::{Handle, Note},
        terms::TopUp,
    },
};

/// `pettycash top-up HANDLE AMOUNT`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pettycash top-up intern 2.00 --note \"first week\"")]
pub(super) struct Args {
    /// The agent
    handle: Handle,
    /// How much to add, in dollars
    #[arg(allow_negative_numbers = true)]
    amount: Usd,
    /// Why, in your own words
    #[arg(long)]
    note: Option<Note>,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let Args { handle, amount, note, proving } = args;
    if amount.is_zero() {
        return Err(above_zero().into());
    }
    let operator = owner::operator(home);
    wait(async {
        let top_up = TopUp { amount_usd: amount, note };
        let what = async || Ok(format!("This adds {amount} to the balance of {handle}."));
        let act = async |operator: &Operator| operator.top_up(&handle, &top_up).await;
        let view = proving.raise(&operator, what, act).await?;
        let balance = view.balance.balance_usd.unwrap_or(Usd::ZERO);
        output.print(&view, || format!("Added {amount} to {handle}: the balance is {balance}."))?;
        Ok(ExitCode::SUCCESS)
    })
}
