//! Finds the process that owns the home, or starts it.
//!
//! Of all that come at once, one starts it: whoever holds `start.lock`. The others wait until it
//! listens. What is started inherits the home, a small environment and no open file.

use std::{
    env,
    error::Error,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use super::{program, proof::TOKEN_VARIABLE};
use crate::{
    client::{Cause, ClientError, Finder, Operator, Unstarted},
    engine::StoreError,
    home::{HOME_VARIABLE, Home, HomeError, Sockets},
    serve::{ServeError, serving, try_start_lock},
    telemetry,
};

/// How long a `serve` may take to listen.
const START_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// How many are started, one after the other, if each is ended before it listens.
const MAX_STARTS: u32 = 8;
/// How much of the log is read for the reason why one did not start.
const LOG_TAIL: u64 = 16 * 1024;
/// The first standard file descriptor that is not one of stdin, stdout and stderr.
const FIRST_OPEN_FILE: i32 = 3;
/// What of our environment a `serve` gets: it outlives us, and our secrets are not its business.
const ENVIRONMENT: [&str; 9] =
    ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "RUST_BACKTRACE", "TMPDIR", "TZ", "USER"];
/// The beginnings of more names that it gets.
const ENVIRONMENT_PREFIXES: [&str; 2] = ["PETTYCASH_", "XDG_"];

/// Where the `serve` of this home listens, if there is one.
pub async fn find(home: &Home) -> Option<Sockets> {
    serving(home).await
}

/// Where the `serve` of this home listens; if there is none, one is started.
///
/// # Errors
/// If none comes to listen within 5 s.
pub async fn find_or_start(home: &Home) -> Result<Sockets, Unstarted> {
    let until = Instant::now() + START_WITHIN;
    loop {
        if let Some(sockets) = serving(home).await {
            return Ok(sockets);
        }
        let starting = try_start_lock(home).map_err(|error| {
            let path = home.start_lock();
            unstarted(format!("could not lock `{}`", path.display()), Some(error.to_string()))
        })?;
        if let Some(_starting) = starting {
            // Somebody may have started one between our look and our lock.
            return match serving(home).await {
                Some(sockets) => Ok(sockets),
                None => start(home, until).await,
            };
        }
        if Instant::now() >= until {
            return Err(too_slow(home));
        }
        sleep(PAUSE).await;
    }
}

/// A finder for clients: it finds or starts the `serve` of whatever home is located when it is
/// needed.
pub fn finder(locate: impl Fn() -> Result<Home, HomeError> + Send + Sync + 'static) -> Finder {
    Arc::new(move || {
        let located = locate();
        async move { find_or_start(&located.map_err(|error| unusable(&error))?).await }.boxed()
    })
}

/// The operators' side of the `serve` of `home`, which is started when it is needed.
pub fn operator(home: &Home) -> Operator {
    let home = home.clone();
    Operator::new(finder(move || Ok(home.clone())))
}

/// The operators' side of the `serve` that listens there; none is started in its place.
pub fn operator_at(sockets: Sockets) -> Operator {
    Operator::new(Arc::new(move || std::future::ready(Ok(sockets.clone())).boxed()))
}

/// What to do about an error of the home, of the record, of `serve` or of the way to it, wherever
/// in its chain.
pub fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let home = cause.downcast_ref::<HomeError>().map(HomeError::hint);
        let serve = || cause.downcast_ref::<ServeError>().and_then(ServeError::hint);
        let client = || cause.downcast_ref::<ClientError>().and_then(ClientError::hint);
        let unstarted = || cause.downcast_ref::<Unstarted>().and_then(|e| e.hint.clone());
        let store = || cause.downcast_ref::<StoreError>().and_then(StoreError::remedy);
        let store = || store().map(str::to_owned);
        home.or_else(serve).or_else(client).or_else(unstarted).or_else(store)
    })
}

/// Starts a `serve` and waits until it listens; one that is ended before is started again.
async fn start(home: &Home, until: Instant) -> Result<Sockets, Unstarted> {
    for _ in 0..MAX_STARTS {
        let failed = |error: io::Error| {
            unstarted("could not start `pettycash serve`".to_owned(), Some(error.to_string()))
        };
        let (mut child, logged) = spawn(home).map_err(failed)?;
        loop {
            if let Some(sockets) = serving(home).await {
                return Ok(sockets);
            }
            if Instant::now() >= until {
                return Err(too_slow(home));
            }
            match child.try_wait().map_err(failed)? {
                // It is another's turn to serve, or a signal ended it.
                Some(status) if status.success() || status.code().is_none() => break,
                Some(_) => return Err(refused(home, logged)),
                None => sleep(PAUSE).await,
            }
        }
        sleep(PAUSE).await;
    }
    Err(too_slow(home))
}

/// Starts a `serve` of its own; the number is how long the log was before it.
fn spawn(home: &Home) -> io::Result<(Child, u64)> {
    // One that cannot start writes to it and does not keep it short, however often it is tried.
    let log = telemetry::open_log(&home.log())?;
    let logged = log.metadata()?.len();
    // Ours are closed on exec by themselves; those that our own parent left open are not.
    close_fds::set_fds_cloexec_threadsafe(FIRST_OPEN_FILE, &[]);
    let mut command = Command::new(program::this()?);
    command.args(["serve", "--detached"]).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.env_clear().envs(env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        let known = ENVIRONMENT.contains(&&*name);
        if name == TOKEN_VARIABLE {
            return false;
        }
        known || ENVIRONMENT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    }));
    command.env(HOME_VARIABLE, home.dir());
    Ok((command.spawn()?, logged))
}

fn unstarted(what: String, cause: Option<String>) -> Unstarted {
    Unstarted { what, cause: cause.map(Cause), hint: None }
}

fn unusable(error: &HomeError) -> Unstarted {
    let cause = error.source().map(ToString::to_string);
    Unstarted { hint: Some(error.hint()), ..unstarted(error.to_string(), cause) }
}

fn too_slow(home: &Home) -> Unstarted {
    let what = format!("`pettycash serve` did not come to listen within {START_WITHIN:?}");
    let hint = format!("see {}", home.log().display());
    Unstarted { hint: Some(hint), ..unstarted(what, None) }
}

/// What the log says of why a `serve` refused to start.
fn refused(home: &Home, logged: u64) -> Unstarted {
    let tail = tail(&home.log(), logged).unwrap_or_default();
    let last = |mark: &str| tail.lines().rev().find_map(|line| line.strip_prefix(mark));
    let causes: Vec<&str> = [last("error: "), last("cause: ")].into_iter().flatten().collect();
    let cause = if causes.is_empty() {
        tail.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
    } else {
        Some(causes.join(": "))
    };
    let hint = last("hint: ").map(str::to_owned);
    let hint = hint.or_else(|| Some(format!("see {}", home.log().display())));
    Unstarted { hint, ..unstarted("`pettycash serve` did not start".to_owned(), cause) }
}

/// What was written to the log since it was `from` long.
fn tail(log: &Path, from: u64) -> io::Result<String> {
    let mut log = File::open(log)?;
    let length = log.metadata()?.len();
    // A log that is shorter now was begun anew.
    let from = if from <= length { from } else { 0 };
    log.seek(SeekFrom::Start(from.max(length.saturating_sub(LOG_TAIL))))?;
    let mut tail = Vec::new();
    log.take(LOG_TAIL).read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}
