//! `pettycash policy`: what a policy did, and what another would have done.

use std::process::ExitCode;

use super::{explain, shadow, trial};
use crate::{cli::output::Output, home::Home};

/// `pettycash policy …`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Say which rule decided on a payment or refusal, with the numbers of that moment
    Explain(explain::Args),
    /// Say what a file would have denied, and paid, of what happened
    Test(trial::Args),
    /// Say what shadow caps would have denied of what was paid
    Shadow(shadow::Args),
}

pub(in crate::cli) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Explain(args) => explain::run(&args, home, output),
        Verb::Test(args) => trial::run(&args, home, output),
        Verb::Shadow(args) => shadow::run(&args, home, output),
    }
}
