//! The one process that owns a home: it opens the record and the engine, and puts the sockets on.
//!
//! A lock elects it. One that a client started gives way to one started by hand and ends itself
//! when nobody needs it; one started by hand stays. However it ends, what it was asked it finishes
//! first, as far as that takes no longer than people wait for a process to end.

mod ending;
mod lock;

use std::{
    fs::{self, Metadata},
    io,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::UnixListener,
    sync::watch,
    time::{Instant, sleep, timeout},
};

pub use crate::http::ProxyName;
use crate::{
    clock::Clock,
    engine::{Engine, EngineError},
    home::{Home, HomeError, Serving, Sockets},
    http::{App, Listener, Ours, Servers, Tally, agent_router, operator_router, serve_socket},
    policy::terms::StartedBy,
    rails::{Rails, proxy::Proxy},
    store::{Disk, FileDisk, Options as StoreOptions, Recording, Store, StoreError},
};
use ending::Signals;
pub(crate) use ending::outlive_limits;
use lock::{Election, ServeLock};
pub(crate) use lock::{is_owned, serving, try_start_lock};

/// How long a `serve` that a client started stays when nobody uses it.
pub const IDLE_EXIT: Duration = Duration::from_secs(10 * 60);
/// How long requests that are under way may take to end when `serve` does.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// How long the record may take to be put away.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// How long the record may stay in use after the lock on the home was let go of.
const LET_GO_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries to open it.
const PAUSE: Duration = Duration::from_millis(20);
/// How many files and connections may be open, where the system allows it.
const OPEN_FILES: u64 = 8_192;

/// How a `serve` runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it serves.
    pub home: Home,
    /// Who started it.
    pub started_by: StartedBy,
    /// How long it stays when nobody uses it, if a client started it.
    pub idle_exit: Duration,
    /// Where the time comes from.
    pub clock: Clock,
    /// How money reaches payees.
    pub rails: Rails,
    /// Where it listens for HTTP, if it does.
    pub listen: Option<Listen>,
    /// The directory of the head anchors; without one an older copy may go unnoticed.
    pub anchors: Option<PathBuf>,
}

/// Where a `serve` listens for HTTP.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// The name of the TLS proxy in front of it, without which only this machine may reach it.
    pub proxy: Option<ProxyName>,
}

/// The rails that every `serve` has.
pub fn rails() -> Rails {
    let rails = Rails::default();
    let proxy = Proxy::default().metering_by(rails.prices().clone());
    rails.with(Arc::new(proxy))
}

/// Why there is no serving a home.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Somebody at a terminal or a service manager serves it.
    #[error("the data directory `{}` is already served by pid {pid}", .home.display())]
    AlreadyServed {
        /// Which home.
        home: PathBuf,
        /// The process.
        pid: u32,
    },
    /// The process that owns the home neither serves nor ends.
    #[error("the data directory `{}` is locked by {holder}, which stays", .home.display())]
    Stuck {
        /// Which home.
        home: PathBuf,
        /// The process, as far as it is known.
        holder: String,
    },
    /// The address for HTTP cannot be had.
    #[error("could not listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system answered.
        source: io::Error,
    },
    /// The record cannot be opened.
    #[error("could not open the record")]
    Store(#[from] StoreError),
    /// The record could not be written any more: what was revoked since is not in it.
    #[error("the record could not be written any more: {cause}")]
    Unwritable {
        /// What failed first.
        cause: String,
    },
    /// The engine cannot take the record over.
    #[error("could not take over the record")]
    Engine(#[from] EngineError),
    /// The system refused.
    #[error("could not {doing}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the system answered.
        source: io::Error,
    },
}

impl ServeError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Home(error) => Some(error.hint()),
            Self::AlreadyServed { pid, .. } => {
                Some(format!("use it as it is, or end it with `kill {pid}` first"))
            }
            Self::Stuck { .. } => Some("end that process, then try again".to_owned()),
            Self::Store(StoreError::Unsafe { fix, .. }) => Some(fix.clone()),
            Self::Store(error) => error.remedy().map(str::to_owned),
            Self::Unwritable { .. } => {
                Some("see to the disk, start `serve` again, and look who is revoked".to_owned())
            }
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another program listens there: name another port with --listen".to_owned())
            }
            Self::Listen { .. } => {
                Some("name an address of this machine with --listen, or only 127.0.0.1".to_owned())
            }
            Self::Engine(_) | Self::Io { .. } => None,
        }
    }

    fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// Serves a home until there is a reason to end, and ends in order.
///
/// # Errors
/// If the home cannot be served. That a client's `serve` finds another one in its place is none.
pub async fn run(options: Options) -> Result<(), ServeError> {
    run_with(options, Ours).await
}

/// The same, with these MCP servers in place of ours for the agents that come over TCP.
///
/// # Errors
/// As `run`.
pub async fn run_with(options: Options, servers: impl Servers) -> Result<(), ServeError> {
    let home = &options.home;
    let _ = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let files = limit();
    let mut signals = Signals::listen().map_err(ServeError::io("listen to signals"))?;
    let elected = tokio::select! {
        elected = lock::elect(home, options.started_by) => elected?,
        signal = signals.next() => {
            tracing::info!(signal, "ending before it began");
            return Ok(());
        }
    };
    let Election::Elected { lock, starting } = elected else {
        tracing::debug!(home = %home.dir().display(), "another process serves already");
        return Ok(());
    };
    let engine = tokio::select! {
        engine = open_engine(&options) => engine?,
        signal = signals.next() => {
            // Whatever opening is at, a power cut could come there as well.
            tracing::info!(signal, "ending while the record opens");
            return Ok(());
        }
    };
    let record = engine.clone();
    let opened = || drop(starting);
    let served = own(&options, servers, &lock, engine, files, &mut signals, opened).await;
    lock.release();
    match record.condition().recording {
        Recording::Poisoned { cause } => served.and(Err(ServeError::Unwritable { cause })),
        _ => served,
    }
}

/// Serves and ends. The record is let go of when this returns, which is before the lock is.
async fn own(
    options: &Options,
    servers: impl Servers,
    lock: &ServeLock,
    engine: Engine,
    files: Option<u64>,
    signals: &mut Signals,
    listening: impl FnOnce(),
) -> Result<(), ServeError> {
    let app = App {
        engine,
        started_by: options.started_by,
        connections: Tally::new(),
        work: Tally::new(),
        end: watch::Sender::new(None),
    };
    let served = serve(options, servers, lock, &app, files, signals, listening).await;
    // From here on whoever wants the home waits for the lock instead of being sent away.
    lock.say_ending();
    finish(&app, signals).await;
    if timeout(CLOSE_WITHIN, app.engine.close()).await.is_err() {
        tracing::error!("the record was not put away in time; the next start replays it");
    }
    served
}

/// Opens the sockets and serves on them until there is a reason to end.
async fn serve(
    options: &Options,
    servers: impl Servers,
    lock: &ServeLock,
    app: &App,
    files: Option<u64>,
    signals: &mut Signals,
    listening: impl FnOnce(),
) -> Result<(), ServeError> {
    let home = &options.home;
    let web = match &options.listen {
        Some(listen) => Some(bind(listen)?),
        None => None,
    };
    let sockets = home.sockets()?;
    let operator = Socket::bind(&sockets.operator)?;
    let agent = Socket::bind(&sockets.agent)?;
    let pid = std::process::id();
    let listen = web.as_ref().map(Listener::address);
    if let Err(error) = say_serving(home, pid, app.started_by, &sockets, listen) {
        // Clients look in the expected places too, so a full disk keeps nobody from revoking.
        tracing::warn!(error = &error as &dyn std::error::Error, "serve.json was not written");
    }
    listening();
    tracing::info!(home = %home.dir().display(), pid, started_by = ?app.started_by, "serving");
    let web = async {
        if let Some(web) = web {
            tracing::info!(address = %web.address(), "listening for HTTP");
            web.serve(app, servers, files).await;
        }
    };
    let agents = agent.serve(agent_router(app.clone()), app);
    let operators = operator.serve(operator_router(app.clone()), app);
    let ending = async {
        let why = ending::wait(options, lock, app, signals).await;
        app.end(why);
        tracing::info!(?why, "ending");
    };
    tokio::join!(agents, operators, web, ending);
    if let Err(error) = home.unsay_serving(pid) {
        tracing::debug!(%error, "serve.json was not taken away");
    }
    Ok(())
}

fn say_serving(
    home: &Home,
    pid: u32,
    started_by: StartedBy,
    sockets: &Sockets,
    listen: Option<SocketAddr>,
) -> Result<(), HomeError> {
    let (version, sockets) = (env!("CARGO_PKG_VERSION").to_owned(), sockets.clone());
    home.say_serving(&Serving { pid, version, started_by, sockets, listen })
}

fn bind(listen: &Listen) -> Result<Listener, ServeError> {
    let Listen { address, proxy } = listen;
    let bound = Listener::bind(*address, proxy.as_ref());
    bound.map_err(|source| ServeError::Listen { address: *address, source })
}

/// Waits for what is under way, but not for ever, and not against a second signal.
async fn finish(app: &App, signals: &mut Signals) {
    let done = async {
        // Without connections nothing new is asked; what was asked may outlive its connection.
        app.connections.none().await;
        app.work.none().await;
        app.engine.all_ended().await;
    };
    tokio::select! {
        done = timeout(FINISH_WITHIN, done) => if done.is_err() {
            let (work, connections) = (app.work.now(), app.connections.now());
            tracing::error!(work, connections, "ending before everything was answered");
        },
        signal = signals.next() => tracing::warn!(signal, "ending at once"),
    }
}

/// Opens the record, which whoever had the home before may hold a moment longer than the lock.
async fn open_engine(options: &Options) -> Result<Engine, ServeError> {
    let Options { home, clock, rails, anchors, .. } = options;
    let until = Instant::now() + LET_GO_WITHIN;
    let store = loop {
        let (journal, mut options) =
            (home.journal(), StoreOptions::new(clock.clone(), home.desk()));
        options.anchor = anchor(anchors.as_deref());
        // Opening reads the whole journal at worst, so it runs where it may take its time.
        let open = move || Store::open(Arc::new(FileDisk::open(&journal)?), options);
        let opened = tokio::task::spawn_blocking(open).await;
        match opened.map_err(|error| ServeError::io("open the record")(error.into()))? {
            Err(StoreError::InUse { .. }) if Instant::now() < until => sleep(PAUSE).await,
            opened => break opened?,
        }
    };
    Ok(Engine::open(store, rails.clone(), clock.clone()).await?)
}

/// Where the head anchor is kept; serving goes on without one.
fn anchor(dir: Option<&Path>) -> Option<Arc<dyn Disk>> {
    let Some(dir) = dir else {
        tracing::warn!("there is no place for a head anchor: an older copy may go unnoticed");
        return None;
    };
    match FileDisk::shared(dir) {
        Ok(disk) => Some(Arc::new(disk)),
        Err(error) => {
            tracing::warn!(%error, "there is no head anchor: an older copy may go unnoticed");
            None
        }
    }
}

/// Room for connections, and none for a core file: it would hold what the record keeps private.
/// Says how many files may be open; nothing where any number may.
fn limit() -> Option<u64> {
    let core = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let files = getrlimit(Resource::Nofile);
    let most = files.maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    let enough = files.current.is_none_or(|current| current >= most);
    let raised = if enough {
        Ok(())
    } else {
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..files })
    };
    if let Err(error) = core.and(raised) {
        tracing::debug!(%error, "a limit stays as it was");
    }
    // Nor may another process of the same user look into this one's memory.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::debug!(%error, "the process stays dumpable");
        }
    }
    getrlimit(Resource::Nofile).current
}

/// A socket that is ours to remove, as long as it is still the one that we made.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
    made: Metadata,
}

impl Socket {
    /// Binds the path, in place of whatever a `serve` that is gone has left there.
    fn bind(path: &Path) -> Result<Self, ServeError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ServeError::io("remove an old socket")(error));
            }
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(ServeError::io("bind a socket"))?;
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(path, private).map_err(ServeError::io("protect a socket"))?;
        let made = fs::symlink_metadata(path).map_err(ServeError::io("look at a socket"))?;
        Ok(Self { listener, path: path.to_owned(), made })
    }

    async fn serve(self, router: axum::Router, app: &App) {
        let Self { listener, path, made } = self;
        let unlink = || {
            let ours = fs::symlink_metadata(&path).is_ok_and(|found| same_file(&found, &made));
            if ours && let Err(error) = fs::remove_file(&path) {
                tracing::debug!(%error, "a socket was not removed");
            }
        };
        let connections = app.connections.clone();
        serve_socket(listener, router, connections, app.end.subscribe(), unlink).await;
    }
}

/// Whether two looks were at the same file.
fn same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
