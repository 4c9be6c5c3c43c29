//! `pettycash diff`: what a policy's file would change.

use std::{path::PathBuf, process::ExitCode};

use super::{
    output::{FAILED, Output, USAGE, exit_code, report, wait},
    owner,
    policy::Written,
};
use crate::{home::Home, policy::terms::PolicyAsked};

/// `pettycash diff …`
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The policy, in TOML; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const HELP: &str = "\
Examples:
  pettycash diff policy.toml
  pettycash diff policy.toml && echo \"all is so already\"

Exit codes: 0 nothing differs, 1 something does, 2 or more where it could not be told.
What a file may say: see `pettycash apply --help`.";

pub(super) fn run(args: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    match differs(args, home, output) {
        Ok(differs) => Ok(ExitCode::from(u8::from(differs))),
        // One that failed shall not pass for one that found a difference.
        Err(error) if exit_code(&error) == ExitCode::from(FAILED) => {
            report(&error, output);
            Ok(ExitCode::from(USAGE))
        }
        Err(error) => Err(error),
    }
}

fn differs(args: &Args, home: &Home, output: Output) -> anyhow::Result<bool> {
    let written = Written::load(&args.file)?;
    let operator = owner::operator(home);
    wait(async {
        let policy = written.terms.clone();
        let asked = PolicyAsked { policy, dry_run: true, ..PolicyAsked::default() };
        let plan = operator.apply_policy(&asked).await?;
        written.tell(&plan, output)?;
        written.print(&plan, output)?;
        Ok(!plan.is_nothing())
    })
}
