//! `pettycash man`: the help as manual pages.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap_mangen::Man;
use serde_json::json;

use super::output::{Output, print_all, wait};

/// `pettycash man [DIR]`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash man | man -l -
  pettycash man ~/.local/share/man/man1        then `man pettycash-agent-create` works")]
pub(super) struct Args {
    /// Where to write a page for every verb; without it the first page is printed
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(
    args: Args,
    mut command: clap::Command,
    output: Output,
) -> anyhow::Result<ExitCode> {
    command.build();
    let Some(dir) = args.dir else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        print_all(&page)?;
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(&dir).with_context(|| format!("could not make `{}`", dir.display()))?;
    let mut pages = Vec::new();
    collect(&command, &mut pages);
    // Nothing is waited for, but a limit on the size of files is outlived there.
    wait(async {
        pages.iter().try_for_each(|(name, page)| {
            let path = dir.join(format!("{name}.1"));
            fs::write(&path, page).with_context(|| format!("could not write `{}`", path.display()))
        })
    })?;
    let told = json!({"dir": dir, "pages": pages.len()});
    output.print(&told, || format!("Wrote {} pages to {}.", pages.len(), dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The page of a command and of every one below it that is shown.
fn collect(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut page = Vec::new();
    if Man::new(command.clone()).render(&mut page).is_ok() {
        pages.push((name, page));
    }
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        if below.get_name() != "help" {
            collect(below, pages);
        }
    }
}
