//! `pettycash completions`: what a shell needs to complete our words.

use std::process::ExitCode;

use clap_complete::Shell;

use super::output::print_all;

/// `pettycash completions SHELL`
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash completions bash > ~/.local/share/bash-completion/completions/pettycash
  pettycash completions zsh > ~/.zfunc/_pettycash        with ~/.zfunc in fpath
  pettycash completions fish > ~/.config/fish/completions/pettycash.fish")]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: Args, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "pettycash", &mut script);
    print_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
