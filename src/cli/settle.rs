//! `pettycash settle`: what became of a payment that is in doubt.

use std::process::ExitCode;

use super::{
    output::{Output, wait},
    owner,
    proof::Proving,
};
use crate::{
    client::Operator,
    home::Home,
    policy::{
        money::Usd,
        names::PaymentId,
        terms::{Settled, Settlement},
    },
};

/// `pettycash settle PAYMENT [AMOUNT]`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash ledger --outcome in_doubt
  pettycash settle pay_00000000052b8c1f          # it was charged, all that is held
  pettycash settle pay_00000000052b8c1f 0.01     # so much of it was
  pettycash settle pay_00000000052b8c1f 0        # it was not

A call that broke off may have been charged or not, so its money stays held. Look at what the
payee's side says of it, and say it here: nothing is released by itself. What is metered may have
come to more than is held.")]
pub(super) struct Args {
    /// The payment: `pay_` and 16 hexadecimal digits, from the ledger
    payment: PaymentId,
    /// How much was charged, in dollars; 0 if nothing was, and without it all that is held
    #[arg(allow_negative_numbers = true)]
    amount: Option<Usd>,
    #[command(flatten)]
    proving: Proving,
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let Args { payment, amount, proving } = args;
    let operator = owner::operator(home);
    wait(async {
        let found = Settlement { charged_usd: amount };
        let much = match amount {
            None => "all that is held was charged".to_owned(),
            Some(Usd::ZERO) => "nothing was charged".to_owned(),
            Some(amount) => format!("{amount} was charged"),
        };
        let what = async || Ok(format!("This ends {payment}: {much}."));
        let act = async |operator: &Operator| operator.settle(payment, &found).await;
        let settled = proving.raise(&operator, what, act).await?;
        output.print(&settled, || words(&settled))?;
        Ok(ExitCode::SUCCESS)
    })
}

fn words(settled: &Settled) -> String {
    let Settled { service_id, charged_usd, released_usd, agent, .. } = settled;
    let (handle, service) = (agent.handle(), &service_id.0);
    let available = agent.balance.available_usd.unwrap_or_default();
    let took = match (charged_usd.is_zero(), released_usd.is_zero()) {
        (true, _) => format!("{service} took nothing of {handle}: {released_usd} is free again"),
        (false, true) => format!("{service} took {charged_usd} of {handle}"),
        (false, false) => {
            format!("{service} took {charged_usd} of {handle}: {released_usd} is free again")
        }
    };
    format!("{took}; it can spend {available} now.")
}
