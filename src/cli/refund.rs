//! `pettycash refund`: money that comes back to an agent.

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
        names::{Note, PaymentId},
        terms::{Refund, Refunded},
    },
};

/// `pettycash refund PAYMENT [AMOUNT]`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash refund pay_00000000052b8c1f
  pettycash refund pay_00000000052b8c1f 0.10 --note \"half the pages were empty\"

It is an entry of its own in the ledger. The caps get room back only in windows that are still
open, and never more comes back than was taken.")]
pub(super) struct Args {
    /// The payment: `pay_` and 16 hexadecimal digits, from the ledger
    payment: PaymentId,
    /// How much comes back, in dollars; without it, all that still can
    #[arg(allow_negative_numbers = true)]
    amount: Option<Usd>,
    /// Why, in your own words
    #[arg(long)]
    note: Option<Note>,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let Args { payment, amount, note, proving } = args;
    if amount.is_some_and(Usd::is_zero) {
        return Err(above_zero().into());
    }
    let operator = owner::operator(home);
    wait(async {
        let refund = Refund { amount_usd: amount, note };
        let much = amount.map_or("all that is left".to_owned(), |amount| amount.to_string());
        let what = async || Ok(format!("This gives {much} of {payment} back to its agent."));
        let act = async |operator: &Operator| operator.refund(payment, &refund).await;
        let refunded = proving.raise(&operator, what, act).await?;
        output.print(&refunded, || words(&refunded))?;
        Ok(ExitCode::SUCCESS)
    })
}

fn words(refunded: &Refunded) -> String {
    let Refunded { service_id, refunded_usd, left_usd, agent, .. } = refunded;
    let (handle, service) = (agent.handle(), &service_id.0);
    let available = agent.balance.available_usd.unwrap_or_default();
    let balance = agent.balance.balance_usd.map(|balance| format!("the balance is {balance}"));
    let stands = balance.unwrap_or_else(|| format!("it can spend {available} now"));
    let left = if left_usd.is_zero() {
        String::new()
    } else {
        format!(" {left_usd} of this payment can still come back.")
    };
    format!("Gave {refunded_usd} for {service} back to {handle}: {stands}.{left}")
}
