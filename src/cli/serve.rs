//! `pettycash serve`: owns the data and answers everybody else.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use jiff::SignedDuration;

use super::output::Output;
use crate::{
    clock::Clock,
    home::{self, Home},
    policy::terms::StartedBy,
    serve::{self, Options},
    telemetry,
};

/// What `serve` is told.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Args {
    /// How long a serve that a client started stays when nobody uses it, such as 10m, 1h or 2s;
    /// one started by hand stays until it is ended
    #[arg(long, env = "PETTYCASH_IDLE_EXIT", value_name = "TIME", value_parser = idle_exit)]
    idle_exit: Option<Duration>,

    /// Started by a client: be quiet, log to serve.log, give way
    #[arg(long, hide = true)]
    detached: bool,
}

/// Reads how long a `serve` may idle, such as `10m`, `1h` or `2s`.
pub fn idle_exit(text: &str) -> Result<Duration, String> {
    let time = text.parse::<SignedDuration>();
    let time = time.ok().and_then(|time| Duration::try_from(time).ok());
    time.filter(|time| !time.is_zero()).ok_or_else(|| "a time is such as 10m, 1h or 2s".to_owned())
}

/// Serves until there is a reason to end.
pub(super) fn run(args: Args, home: Home, _: Output) -> anyhow::Result<ExitCode> {
    let Args { idle_exit, detached } = args;
    let started_by = if detached { StartedBy::Client } else { StartedBy::Operator };
    if detached {
        telemetry::to_file(home.log());
        // Away from the terminal and the process group of whoever started us. It fails only for
        // one that leads a group already, which is one that a shell started in its own right.
        if let Err(error) = rustix::process::setsid() {
            tracing::debug!(%error, "still in the session of whoever started us");
        }
    } else {
        telemetry::to_stderr("info");
    }
    let idle_exit = idle_exit.unwrap_or(serve::IDLE_EXIT);
    let (clock, rails, anchors) = (Clock::System, serve::rails(), home::anchors());
    let options = Options { home, started_by, idle_exit, clock, rails, anchors };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("could not start the runtime")?;
    let served = runtime.block_on(serve::run(options));
    // What has not ended by now was warned about, and is put right at the next start.
    runtime.shutdown_background();
    served?;
    Ok(ExitCode::SUCCESS)
}
