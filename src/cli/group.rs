//! `pettycash group`: caps that several agents share.

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    agent::{Sums, cap_words, sums},
    output::{Output, table, wait},
    owner,
};
use crate::{
    home::Home,
    policy::{answer::CapView, names::GroupId, terms::GroupView},
};

/// `pettycash group …`
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the groups, and what is used, held and left of each of their caps
    #[command(after_help = HELP)]
    List,
    /// Show one group: its caps, what counts under them, and who is in it
    #[command(after_help = "Example:\n  pettycash group show team")]
    Show {
        /// The group
        group: GroupId,
    },
    /// Take away a group that nobody is in
    #[command(after_help = "Example:\n  pettycash group remove team\n\n\
        What was paid stays as it is. A group of that name that is made later begins at zero.")]
    Remove {
        /// The group
        group: GroupId,
    },
}

const HELP: &str = "\
Example:
  pettycash group list

Groups are made and changed by a policy's file:
  [groups.team]
  caps = [\"50.00/day\"]
  parent = \"org\"

  [agents.scout]
  group = \"team\"

An agent is put into a group, or taken out of it, by itself too:
  pettycash agent create scout --group team
  pettycash mandate set scout --group team      or --no-group";

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let operator = owner::operator(home);
    wait(async {
        match args.verb {
            Verb::List => {
                let groups = operator.groups().await?;
                output.print(&groups, || list(&groups.groups))?;
            }
            Verb::Show { group } => {
                let view = operator.group(&group).await?;
                output.print(&view, || show(&view))?;
            }
            Verb::Remove { group } => {
                let view = operator.remove_group(&group).await?;
                output.print(&view, || format!("Removed the group {group}."))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn list(groups: &[GroupView]) -> String {
    if groups.is_empty() {
        return "No groups yet. They are made by a policy: pettycash group list --help".to_owned();
    }
    table(
        &["GROUP", "PARENT", "AGENTS", "CAP", "USED", "HELD", "LEFT"],
        groups.iter().flat_map(rows),
    )
}

/// A row for each cap of a group, or one that says that it has none.
fn rows(view: &GroupView) -> Vec<Vec<String>> {
    let none = || "-".to_owned();
    let parent = view.parent.as_ref().map_or_else(none, ToString::to_string);
    let row = |cap: String, Sums { used, held, left }: Sums| {
        let (group, agents) = (view.group.to_string(), view.agents.len().to_string());
        vec![group, parent.clone(), agents, cap, used, held, left]
    };
    if view.caps.is_empty() {
        return vec![row("none".to_owned(), Sums { used: none(), held: none(), left: none() })];
    }
    let capped = |cap: &CapView| {
        let bound = cap.cap().map(|cap| cap.in_words()).unwrap_or_default();
        row(bound, sums(cap))
    };
    view.caps.iter().map(capped).collect()
}

fn show(view: &GroupView) -> String {
    let names = |names: Vec<String>| {
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let mut lines = vec![
        ("group", view.group.to_string()),
        ("parent", view.parent.as_ref().map_or("none".to_owned(), ToString::to_string)),
    ];
    lines.extend(view.caps.iter().map(|cap| ("cap", cap_words(cap))));
    lines.push(("timezone", view.timezone.name().to_owned()));
    lines.push(("agents", names(view.agents.iter().map(ToString::to_string).collect())));
    lines.push(("groups", names(view.groups.iter().map(ToString::to_string).collect())));
    table(&[], lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}
