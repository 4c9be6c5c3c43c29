//! `pettycash serve`: owns the data and answers everybody else.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context;
use jiff::SignedDuration;

use super::output::{Failure, Output};
use crate::{
    clock::Clock,
    home::{self, Home},
    policy::terms::StartedBy,
    serve::{self, Listen, Options, ProxyName},
    telemetry,
};

/// What `serve` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How long a serve that a client started stays when nobody uses it, such as 10m, 1h or 2s;
    /// one started by hand stays until it is ended
    #[arg(long, env = "PETTYCASH_IDLE_EXIT", value_name = "TIME", value_parser = idle_exit)]
    idle_exit: Option<Duration>,

    /// Also listen for HTTP: /mcp and /sse for agents' tokens, /v1 for operators'; without ADDR on
    /// 127.0.0.1:7402
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = LISTEN)]
    #[arg(value_parser = address)]
    listen: Option<SocketAddr>,

    /// Listen on an address that other machines can reach, behind a TLS proxy that is reached by
    /// this name, such as pay.example.com
    #[arg(long, value_name = "NAME", requires = "listen")]
    allow_remote: Option<ProxyName>,

    /// Started by a client: be quiet, log to serve.log, give way
    #[arg(long, hide = true, conflicts_with = "listen")]
    detached: bool,
}

const EXAMPLES: &str = "\
Examples:
  pettycash serve                            for this machine's clients, until it is ended
  pettycash serve --listen                   and for HTTP, on 127.0.0.1:7402
  pettycash serve --listen 10.0.0.5:7402 --allow-remote pay.example.com
                                             behind a TLS proxy that keeps the Host header

MCP clients connect to http://127.0.0.1:7402/mcp, older ones to /sse, with the header
`Authorization: Bearer` and a token of `pettycash agent token`.";

/// Where `--listen` listens if it is not told.
const LISTEN: &str = "127.0.0.1:7402";

/// Reads an address to listen on, such as `127.0.0.1:7402`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address = local.as_deref().unwrap_or(text).parse();
    address.map_err(|_| format!("an address is such as {LISTEN}, or [::1]:7402"))
}

/// Only this machine may reach us, unless somebody in front sees to TLS.
fn listen(args: &Args) -> anyhow::Result<Option<Listen>> {
    let Args { listen, allow_remote, .. } = args;
    let Some(address) = *listen else { return Ok(None) };
    if !address.ip().is_loopback() && allow_remote.is_none() {
        return Err(Failure::Usage {
            message: format!(
                "other machines can reach {address}, and tokens would travel in the clear"
            ),
            hint:
                "listen on 127.0.0.1, or put a TLS proxy in front and name it: --allow-remote NAME"
                    .to_owned(),
        }
        .into());
    }
    Ok(Some(Listen { address, proxy: allow_remote.clone() }))
}

/// Reads how long a `serve` may idle, such as `10m`, `1h` or `2s`.
pub fn idle_exit(text: &str) -> Result<Duration, String> {
    let time = text.parse::<SignedDuration>();
    let time = time.ok().and_then(|time| Duration::try_from(time).ok());
    time.filter(|time| !time.is_zero()).ok_or_else(|| "a time is such as 10m, 1h or 2s".to_owned())
}

/// Serves until there is a reason to end.
pub(super) fn run(args: &Args, home: Home, _: Output) -> anyhow::Result<ExitCode> {
    let listen = listen(args)?;
    let Args { idle_exit, detached, .. } = *args;
    let started_by = if detached { StartedBy::Client } else { StartedBy::Operator };
    if detached {
        telemetry::to_file(home.log());
        // Away from the terminal and the process group of whoever started us. It fails only for
        // one that leads a group already, which is one that a shell started in its own right.
        if let Err(error) = rustix::process::setsid() {
            tracing::debug!(%error, "still in the session of whoever started us");
        }
    } else {
        telemetry::to_stderr(telemetry::SERVING);
    }
    let idle_exit = idle_exit.unwrap_or(serve::IDLE_EXIT);
    let (clock, rails, anchors) = (Clock::System, serve::rails(), home::anchors());
    let options = Options { home, started_by, idle_exit, clock, rails, listen, anchors };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("could not start the runtime")?;
    let served = runtime.block_on(serve::run(options));
    // What has not ended by now was warned about, and is put right at the next start.
    runtime.shutdown_background();
    served?;
    Ok(ExitCode::SUCCESS)
}
