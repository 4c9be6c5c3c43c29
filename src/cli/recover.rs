//! `pettycash recover`: going on from a record that is not as it was left.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::anyhow;
use clap::Subcommand;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    output::{Failure, Output, wait},
    owner,
};
use crate::{
    clock::Clock,
    engine::recover::{Accept, Acceptable, Accepted, Places, accept},
    home::{Home, anchors},
    policy::{
        entry::Incident,
        names::Note,
        terms::{Condition, RecordHealth},
    },
    serve::{is_owned, try_start_lock},
};

/// How long a `serve` may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(25);
const PAUSE: Duration = Duration::from_millis(50);

/// `pettycash recover …`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash recover accept-rollback --note \"restored from Sunday's backup\"
  pettycash recover cut --yes

Only for a record that `pettycash doctor` says is only read. Bring the newer data directory, or the
file that is damaged, back from a copy if you can. A running `serve` is ended first.")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Go on from an older copy of the record
    #[command(after_help = "Examples:
  pettycash recover accept-rollback
  pettycash recover accept-rollback --note \"restored from a copy\" --yes")]
    AcceptRollback(Sure),
    /// Go on without what is damaged, and without all that came after it
    #[command(after_help = "Examples:
  pettycash recover cut
  pettycash recover cut --note \"the disk failed\" --yes")]
    Cut(Sure),
}

#[derive(Debug, clap::Args)]
struct Sure {
    /// Why, in your own words
    #[arg(long)]
    note: Option<Note>,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(args: Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let (what, Sure { note, yes }) = match args.verb {
        Verb::AcceptRollback(sure) => (Acceptable::Rollback, sure),
        Verb::Cut(sure) => (Acceptable::Cut, sure),
    };
    wait(async {
        let found = look(home).await;
        // Ending a `serve` that is not sealed would undo what it has in force in memory only.
        if found.as_ref().is_some_and(|found| found.condition != Condition::Sealed) {
            return Err(anyhow!("the record is not sealed: there is nothing to accept"));
        }
        if !yes {
            agreed(what, found.and_then(|found| found.detail).as_deref())?;
        }
        let accepted = recover(home, Accept { what, note }).await?;
        let Accepted { incident, frozen, aside } = &accepted;
        let told = json!({"incident": incident, "frozen": frozen, "aside": aside});
        output.print(&told, || words(&accepted))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What the running `serve` says of the record, if one runs.
async fn look(home: &Home) -> Option<RecordHealth> {
    let sockets = owner::find(home).await?;
    owner::operator_at(sockets).health().await.ok()?.record
}

/// Says what it means, and asks at a terminal; without one it must have been said.
fn agreed(what: Acceptable, found: Option<&str>) -> anyhow::Result<()> {
    let means = match what {
        Acceptable::Rollback => {
            "Lost: whatever came after this copy was made: payments, top-ups, revocations.\n\
             Kept: the record as it is here; every active agent is frozen until you unfreeze it."
        }
        Acceptable::Cut => {
            "Lost: what is damaged and whatever came after it: payments, top-ups, revocations.\n\
             Kept: a copy of what is cut; every active agent is frozen until you unfreeze it."
        }
    };
    let found = found.map(|found| format!("{found}\n")).unwrap_or_default();
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let lines: Vec<&str> = found.lines().chain(means.lines()).collect();
        let message = lines.iter().map(|line| line.trim_end_matches('.')).collect::<Vec<_>>();
        let hint = "if you mean it, say `--yes`".to_owned();
        return Err(Failure::Usage { message: message.join(". "), hint }.into());
    }
    io::stderr().write_all(format!("{found}{means}\nGo on? [y/N] ").as_bytes())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(anyhow!("nothing was changed"))
}

/// Ends whoever serves, keeps others from starting, and has the record go on.
async fn recover(home: &Home, accepted: Accept) -> anyhow::Result<Accepted> {
    let until = Instant::now() + ENDS_WITHIN;
    let nobody_starts = loop {
        if let Some(sockets) = owner::find(home).await {
            // One that is just going need not answer.
            let _ = owner::operator_at(sockets).stop().await;
        }
        let starting = try_start_lock(home)?;
        if starting.is_some() && !is_owned(home)? {
            break starting;
        }
        drop(starting);
        if Instant::now() >= until {
            return Err(anyhow!("`pettycash serve` does not end: end it, then try again"));
        }
        sleep(PAUSE).await;
    };
    let places =
        Places { journal: home.journal(), archive: None, desk: home.desk(), anchors: anchors() };
    let done = accept(&places, accepted, Clock::System).await;
    drop(nobody_starts);
    Ok(done?)
}

fn words(Accepted { incident, frozen, aside }: &Accepted) -> String {
    let mut told = vec![match incident {
        Incident::RollbackAccepted { known, reached, .. } => {
            let lost = match known.saturating_sub(*reached) {
                1 => "the one that came after it is".to_owned(),
                more => format!("{more} that came after it are"),
            };
            format!("Went on from record {reached}: {lost} lost.")
        }
        Incident::DamageCut { file, offset, bytes, .. } => {
            format!("Cut {bytes} bytes from `{file}`, from offset {offset} on.")
        }
        Incident::TailCut { .. } | Incident::AnchorAdopted | Incident::ClockJumped { .. } => {
            "The record goes on.".to_owned()
        }
    }];
    if !aside.is_empty() {
        told.push(format!("What was cut is kept in {}.", aside.join(", ")));
    }
    told.push(match frozen {
        0 => "No agent was active.".to_owned(),
        1 => "1 agent is frozen (recovered): `pettycash agent list` shows it.".to_owned(),
        some => format!("{some} agents are frozen (recovered): `pettycash agent list` shows them."),
    });
    if *frozen > 0 {
        told.push(
            "Look at what each may spend, then: pettycash agent unfreeze HANDLE, or --all"
                .to_owned(),
        );
    }
    told.join("\n")
}
