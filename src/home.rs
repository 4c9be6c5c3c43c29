//! The home: the directory that holds the record, and the names of everything in it.
//!
//! It is ours alone (0700) or it is refused, with the command that mends it. Sockets have short
//! paths by law of the kernel, so those of a home with a long path are kept elsewhere; `serve.json`
//! in the home says where.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    net::SocketAddr,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    policy::terms::StartedBy,
    store::{StoreError, private},
};

/// The environment's name for the home.
pub const HOME_VARIABLE: &str = "PETTYCASH_HOME";
/// The longest path that every kernel we run on takes for a socket, with room to spare.
const MAX_SOCKET_PATH: usize = 100;
/// More than `serve.json` and `serve.lock` ever hold.
const MAX_NOTE_FILE: u64 = 16 * 1024;

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither the environment nor the platform says where.
    #[error("there is no place for the data")]
    Nowhere,
    /// There is none, and nothing to begin one for.
    #[error("there is no data directory `{}`", .0.display())]
    Missing(PathBuf),
    /// It is not ours alone, or not what it should be.
    #[error("the data directory `{}` {problem}", .path.display())]
    Unsafe {
        /// Which directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The command that mends it.
        fix: String,
    },
    /// No short enough place for the sockets was found.
    #[error("the path `{}` is too long for a socket", .0.display())]
    TooLong(PathBuf),
    /// The system refused.
    #[error("could not {doing} `{}`", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

impl HomeError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Nowhere => format!("set {HOME_VARIABLE} to a directory of your own"),
            Self::Unsafe { fix, .. } => fix.clone(),
            Self::TooLong(_) => {
                format!("set {HOME_VARIABLE} or XDG_RUNTIME_DIR to a directory with a short path")
            }
            Self::Missing(_) => {
                "name the one you mean with `--home`, or begin with `pettycash init`".to_owned()
            }
            Self::Io { .. } => format!("see whether {HOME_VARIABLE} names the directory you mean"),
        }
    }

    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// Where a `serve` listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// For agents: the tools.
    #[serde(rename = "agent_socket")]
    pub agent: PathBuf,
    /// For operators: everything that widens or ends a budget.
    #[serde(rename = "operator_socket")]
    pub operator: PathBuf,
}

impl Sockets {
    /// Whether both are still in the directory.
    pub(crate) fn are_there(&self) -> bool {
        self.agent.exists() && self.operator.exists()
    }
}

/// What `serve.json` says of the `serve` that wrote it; the one that is gone may have left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Who started it.
    pub started_by: StartedBy,
    /// Where it listens.
    #[serde(flatten)]
    pub sockets: Sockets,
    /// Where it listens for HTTP, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// Where the head anchors of all homes are kept: apart from the data, so that an older copy of a
/// home does not bring its own anchor with it.
///
/// Nothing where neither the environment nor the platform says where.
pub fn anchors() -> Option<PathBuf> {
    let named = env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = named.filter(|dir| dir.is_absolute()).or_else(|| {
        let strategy = etcetera::base_strategy::choose_native_strategy().ok()?;
        strategy.state_dir()
    });
    if let Some(dir) = state {
        return Some(dir.join("pettycash"));
    }
    // A platform without a place for state, as macOS. Beside the home, not in it.
    let strategy = etcetera::base_strategy::choose_native_strategy().ok()?;
    Some(strategy.data_dir().join("pettycash-state"))
}

/// Where it is kept what was written into the configurations of MCP clients: beside the anchors,
/// for it belongs to the user and not to one home.
///
/// Nothing where neither the environment nor the platform says where.
pub fn client_receipts() -> Option<PathBuf> {
    anchors().map(|anchors| anchors.with_file_name("pettycash-clients"))
}

/// The directory that holds the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// The home that was named, by the caller or the environment, or else the platform's place.
    ///
    /// It is made if it is not there.
    pub fn locate(named: Option<PathBuf>) -> Result<Self, HomeError> {
        Self::at(&place(named)?)
    }

    /// The same home, for whoever needs what is in it: it is not made.
    pub fn existing(named: Option<PathBuf>) -> Result<Self, HomeError> {
        let dir = place(named)?;
        let found = dir.try_exists().map_err(HomeError::io("find the data directory", &dir))?;
        if found { Self::at(&dir) } else { Err(HomeError::Missing(dir)) }
    }

    /// The home at `dir`, made if it is not there, and refused unless it is ours alone.
    pub fn at(dir: &Path) -> Result<Self, HomeError> {
        make(dir).map_err(HomeError::io("make the data directory", dir))?;
        // One home has one path, however it was reached: locks and sockets are found by it.
        let dir = fs::canonicalize(dir).map_err(HomeError::io("find the data directory", dir))?;
        ours_alone(&dir)?;
        Ok(Self { dir })
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the journal is.
    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// Where the desk is.
    pub fn desk(&self) -> PathBuf {
        self.dir.join("desk")
    }

    /// Where a `serve` that a client started writes its log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("serve.log")
    }

    /// What the owner of the home holds locked for as long as it lives.
    pub(crate) fn serve_lock(&self) -> PathBuf {
        self.dir.join("serve.lock")
    }

    /// What whoever is starting a `serve` holds locked until it listens.
    pub(crate) fn start_lock(&self) -> PathBuf {
        self.dir.join("start.lock")
    }

    /// Where a `serve` of this home listens, in a directory that is there and ours alone.
    pub(crate) fn sockets(&self) -> Result<Sockets, HomeError> {
        let sockets = self.expected_sockets()?;
        if let Some(dir) = sockets.agent.parent().filter(|dir| *dir != self.dir) {
            make(dir).map_err(HomeError::io("make the socket directory", dir))?;
            ours_alone(dir)?;
        }
        Ok(sockets)
    }

    /// Where a `serve` with our environment would listen.
    pub(crate) fn expected_sockets(&self) -> Result<Sockets, HomeError> {
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime = runtime.filter(|dir| dir.is_absolute() && dir.is_dir());
        let name = format!("pettycash-{}", self.hash());
        let elsewhere = runtime.map_or_else(|| env::temp_dir().join(&name), |dir| dir.join(&name));
        let fits = |dir: &&PathBuf| {
            dir.join("operator.sock").as_os_str().as_bytes().len() <= MAX_SOCKET_PATH
        };
        let dir = [&self.dir, &elsewhere].into_iter().find(fits);
        let dir = dir.ok_or_else(|| HomeError::TooLong(elsewhere.clone()))?;
        Ok(Sockets { agent: dir.join("agent.sock"), operator: dir.join("operator.sock") })
    }

    /// What `serve.json` says, if there is one that can be read.
    pub fn serving(&self) -> Option<Serving> {
        read_note(&self.dir.join("serve.json"))
    }

    /// Says in `serve.json` who serves; a reader sees the old text or the new, never half.
    pub(crate) fn say_serving(&self, serving: &Serving) -> Result<(), HomeError> {
        let (new, path) = (self.dir.join("serve.json.new"), self.dir.join("serve.json"));
        let mut text = serde_json::to_vec(serving).map_err(io::Error::from);
        let written = text.as_mut().map_err(|error| io::Error::other(error.to_string()));
        let written = written.and_then(|text| {
            text.push(b'\n');
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
            options.open(&new)?.write_all(text)?;
            fs::rename(&new, &path)
        });
        written.map_err(HomeError::io("write", &path))
    }

    /// Takes our own `serve.json` away.
    pub(crate) fn unsay_serving(&self, pid: u32) -> io::Result<()> {
        match self.serving() {
            Some(serving) if serving.pid == pid => fs::remove_file(self.dir.join("serve.json")),
            Some(_) | None => Ok(()),
        }
    }

    /// Tells homes apart in a directory that they share.
    fn hash(&self) -> String {
        let hash = Sha256::digest(self.dir.as_os_str().as_bytes());
        hash.iter().take(8).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    }
}

/// Where the home is that the caller, the environment or else the platform names.
fn place(named: Option<PathBuf>) -> Result<PathBuf, HomeError> {
    let named = named.or_else(|| env::var_os(HOME_VARIABLE).map(PathBuf::from));
    if let Some(dir) = named.filter(|dir| !dir.as_os_str().is_empty()) {
        return Ok(dir);
    }
    let strategy = etcetera::base_strategy::choose_native_strategy();
    Ok(strategy.map_err(|_| HomeError::Nowhere)?.data_dir().join("pettycash"))
}

/// Makes a directory, and those above it, unless it is there.
fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Opens a file to be locked, which need not be there yet.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path)
}

/// Reads a small JSON file that may be missing, half written or somebody's joke.
pub(crate) fn read_note<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    let mut text = Vec::new();
    // Whatever else stands in its place might never end, or never begin.
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    File::open(path).ok()?.take(MAX_NOTE_FILE).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn ours_alone(dir: &Path) -> Result<(), HomeError> {
    private::directory(dir).map_err(|error| match error {
        StoreError::Unsafe { path, problem, fix } => HomeError::Unsafe { path, problem, fix },
        other => HomeError::Io {
            doing: "look at",
            path: dir.to_owned(),
            source: io::Error::other(other.to_string()),
        },
    })
}
