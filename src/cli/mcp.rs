//! `pettycash mcp`: the MCP server of one agent, on standard input and output.
//!
//! It serves at once and looks for the engine when the tools are asked for, of which some agents
//! have more than others, or when the first call comes. A client whose engine is gone still lists
//! those that everybody has.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use tokio::runtime;

use super::owner;
use crate::{
    client::Client,
    home::Home,
    mcp::{Server, serve_stdio},
    policy::names::{Handle, RunId},
    telemetry,
};

/// What `pettycash mcp` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pettycash mcp --agent scout
  pettycash mcp --agent scout --run nightly-7

MCP clients start it: `pettycash connect` has them do so.")]
pub(super) struct Args {
    /// The agent that pays
    #[arg(long, env = "PETTYCASH_AGENT", value_name = "HANDLE")]
    agent: Handle,

    /// The run that its payments belong to: for the ledger, and for a cap per run; without one the
    /// run is the day
    #[arg(long, value_name = "ID")]
    run: Option<RunId>,
}

/// Serves until the client closes its end. `home` is where the operator says the data is; it is
/// looked at when it is needed, so that one that cannot be used now may be mended meanwhile.
pub(super) fn run(args: Args, home: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let Args { agent, run } = args;
    telemetry::to_stderr("warn");
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    let finder = owner::finder(move || Home::locate(home.clone()));
    let server = Server::new(Client::new(finder), agent, run);
    let ended = runtime.block_on(serve_stdio(server));
    // A read of standard input that never ends must not keep the process.
    runtime.shutdown_background();
    ended?;
    Ok(ExitCode::SUCCESS)
}
