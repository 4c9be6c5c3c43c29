//! `pettycash agent freeze` and `unfreeze`: the off switch that can be switched on again.

use clap::ArgGroup;

use crate::{
    cli::{
        output::Output,
        proof::Proving,
        words::{names, time},
    },
    client::Operator,
    policy::{
        names::{Handle, Note, Reason},
        terms::{Acted, ActedOnAll, Freezing, Unfreezing},
    },
};

pub(super) const FREEZE_HELP: &str = "\
Examples:
  pettycash agent freeze scout
  pettycash agent freeze scout --reason looping --note \"looks at it tomorrow: Kim\"
  pettycash agent freeze --all          every active agent, at once

What is held stays held, and what was sent ends as it ends. `agent revoke` is for good.";

pub(super) const UNFREEZE_HELP: &str = "\
Examples:
  pettycash agent unfreeze scout
  pettycash agent unfreeze --all --note \"the bill was explained\"

Its mandate is as it was: see `pettycash mandate show`.";

/// Whom, and why.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("whom").required(true).args(["handle", "all"])))]
pub(super) struct Freeze {
    /// The agent
    handle: Option<Handle>,
    /// Every active agent
    #[arg(long)]
    all: bool,
    /// Why, for programs: a-z, 0-9, `-` and `_`, such as `looping`
    #[arg(long, default_value = "operator")]
    reason: Reason,
    /// Why, in your own words
    #[arg(long)]
    note: Option<Note>,
}

/// Whom, and why.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("whom").required(true).args(["handle", "all"])))]
pub(super) struct Unfreeze {
    /// The agent
    handle: Option<Handle>,
    /// Every frozen agent
    #[arg(long)]
    all: bool,
    /// Why, in your own words
    #[arg(long)]
    note: Option<Note>,
    #[command(flatten)]
    proving: Proving,
}

pub(super) async fn freeze(
    Freeze { handle, reason, note, .. }: Freeze,
    operator: &Operator,
    output: Output,
) -> anyhow::Result<()> {
    let freezing = Freezing { reason, note };
    if let Some(handle) = handle {
        let acted = operator.freeze(&handle, &freezing).await?;
        output.print(&acted, || frozen(&acted))
    } else {
        let acted = operator.freeze_all(&freezing).await?;
        output.print(&acted, || frozen_all(&acted))
    }
}

pub(super) async fn unfreeze(
    Unfreeze { handle, note, proving, .. }: Unfreeze,
    operator: &Operator,
    output: Output,
) -> anyhow::Result<()> {
    let unfreezing = Unfreezing { note };
    if let Some(handle) = handle {
        let what = async || Ok(format!("This lets {handle} pay again."));
        let act = async |operator: &Operator| operator.unfreeze(&handle, &unfreezing).await;
        let acted = proving.raise(operator, what, act).await?;
        output.print(&acted, || unfrozen(&acted))
    } else {
        let what = async || Ok("This lets every frozen agent pay again.".to_owned());
        let act = async |operator: &Operator| operator.unfreeze_all(&unfreezing).await;
        let acted = proving.raise(operator, what, act).await?;
        output.print(&acted, || unfrozen_all(&acted))
    }
}

fn frozen(Acted { changed, agent }: &Acted) -> String {
    let handle = agent.handle();
    let reason = agent.balance.reason.as_deref().unwrap_or_default();
    if *changed {
        return format!(
            "Froze {handle} ({reason}): it pays nothing until `pettycash agent unfreeze {handle}`."
        );
    }
    let since = agent.stopped_at.map(|at| format!(" since {}", time(at))).unwrap_or_default();
    format!("{handle} is frozen{since} ({reason}): nothing to do.")
}

fn frozen_all(ActedOnAll { changed }: &ActedOnAll) -> String {
    if changed.is_empty() {
        return "No agent is active: nothing to do.".to_owned();
    }
    let (whom, they) = (names(changed), if changed.len() == 1 { "It pays" } else { "They pay" });
    format!("Froze {whom}. {they} nothing until `pettycash agent unfreeze`.")
}

fn unfrozen(Acted { changed, agent }: &Acted) -> String {
    let handle = agent.handle();
    if *changed {
        let available = agent.balance.available_usd.unwrap_or_default();
        return format!("Unfroze {handle}: it can spend {available} now.");
    }
    format!("{handle} is active: nothing to do.")
}

fn unfrozen_all(ActedOnAll { changed }: &ActedOnAll) -> String {
    if changed.is_empty() {
        return "No agent is frozen: nothing to do.".to_owned();
    }
    format!("Unfroze {}.", names(changed))
}
