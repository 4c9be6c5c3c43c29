//! `pettycash verify`: whether the record is what was written, and adds up.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    output::{Failure, Output, say, wait},
    owner,
};
use crate::{
    client::{Cause, ClientError},
    engine::recover::Places,
    engine::verify::{Findings, Kept, VerifyError, verify_beside},
    home::{self, Home},
    serve::{is_owned, try_start_lock},
};

/// `pettycash verify`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash verify
  pettycash verify --archive /mnt/old/pettycash

Silent and 0 when all is well; 6 when the record does not verify; 1 when there is none.
Beside a running `serve` it checks up to what that has synced.")]
pub(super) struct Args {
    /// Say what was checked
    #[arg(long, short)]
    verbose: bool,
    /// Where segments of the journal were moved to; they are checked as if they were still there
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
}

/// How long a `serve` that is just starting or ending is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Checks beside the running `serve`, or what nobody has open.
async fn check(
    home: &Home,
    archive: Option<&Path>,
) -> anyhow::Result<Result<Findings, VerifyError>> {
    let places = Places {
        journal: home.journal(),
        archive: archive.map(Path::to_owned),
        desk: home.desk(),
        anchors: home::anchors(),
    };
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(sockets) = owner::find(home).await {
            if let Ok(books) = owner::operator_at(sockets).books().await {
                if books.ahead {
                    let note = "note: the record cannot be written, so the books of the running \
                                `serve` are not held against it; see `pettycash doctor`";
                    writeln!(io::stderr(), "{note}")?;
                }
                return Ok(verify_beside(&places, &books));
            }
        } else if let Some(nobody_starts) = try_start_lock(home)?
            && !is_owned(home)?
        {
            let looked = Kept::look(&places);
            drop(nobody_starts);
            match looked.and_then(Kept::verify) {
                // One that was started by hand has just taken it.
                Err(VerifyError::InUse) => {}
                found => return Ok(found),
            }
        }
        sleep(PAUSE).await;
    }
    Err(ClientError::Unreachable {
        may_have_been_done: false,
        cause: Cause("it is there, and says nothing of its books".to_owned()),
    }
    .into())
}

pub(super) fn run(args: &Args, home: &Home, output: Output) -> anyhow::Result<ExitCode> {
    let findings = match wait(check(home, args.archive.as_deref()))? {
        Err(VerifyError::Broken(error)) => {
            return Err(Failure::Unverified { problems: vec![error.to_string()] }.into());
        }
        found => found?,
    };
    let Findings { head, entries, agents, skipped, problems } = findings;
    if !problems.is_empty() {
        return Err(Failure::Unverified { problems }.into());
    }
    if output.json {
        let told = json!({
            "ok": true, "entries": entries, "agents": agents, "skipped": skipped, "head": head,
        });
        say(&told.to_string())?;
    } else if args.verbose {
        say(&format!("{entries} entries of {agents} agents verify, up to record {}.", head.seq))?;
    }
    if skipped > 0 && !output.json {
        let missing = "without them no sums were checked, which `--archive DIR` does";
        writeln!(io::stderr(), "note: {skipped} records were moved away; {missing}")?;
    }
    Ok(ExitCode::SUCCESS)
}
