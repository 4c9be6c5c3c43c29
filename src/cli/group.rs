//! `pettycash group`: caps that several agents share.

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    agent::cap_words,
    output::{Output, table, wait},
    owner,
};
use crate::{
    home::Home,
    policy::{names::GroupId, terms::GroupView},
};

/// `pettycash group …`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the groups, and what is left of their caps
    #[command(after_help = LIST_HELP)]
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

const LIST_HELP: &str = "\
Example:
  pettycash group list

Groups are made and changed by a policy's file:
  [groups.team]
  caps = [\"50.00/day\"]
  parent = \"org\"

  [agents.scout]
  group = \"team\"";

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
    let rows = groups.iter().map(|view| {
        let caps = view.caps.iter().filter_map(|cap| Some(cap.cap()?.in_words()));
        let caps: Vec<String> = caps.collect();
        let parent = view.parent.as_ref().map_or("-".to_owned(), ToString::to_string);
        vec![view.group.to_string(), parent, view.agents.len().to_string(), caps.join(", ")]
    });
    table(&["GROUP", "BELOW", "AGENTS", "CAPS"], rows)
}

fn show(view: &GroupView) -> String {
    let names = |names: Vec<String>| {
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let mut lines = vec![
        ("group", view.group.to_string()),
        ("below", view.parent.as_ref().map_or("none".to_owned(), ToString::to_string)),
    ];
    lines.extend(view.caps.iter().map(|cap| ("cap", cap_words(cap))));
    lines.push(("timezone", view.timezone.name().to_owned()));
    lines.push(("agents", names(view.agents.iter().map(ToString::to_string).collect())));
    lines.push(("groups", names(view.groups.iter().map(ToString::to_string).collect())));
    table(&[], lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}
