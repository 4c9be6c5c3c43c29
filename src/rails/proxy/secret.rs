//! Where a secret comes from.
//!
//! A file is read anew for every call, which costs next to nothing, so a secret that is replaced
//! in it counts from the next call on. The environment is that with which `serve` was started: to
//! replace a variable takes another start. A command may take seconds or ask a human, so what it
//! said is kept for a minute, and [`Secrets::forget`] drops it as soon as an upstream does not
//! take it any more. That it failed is kept for seconds, so that many calls at once do not each
//! wait for it to fail again.
//!
//! Whoever asks waits no longer than the patience there is, for whoever runs the command and for
//! the command together: far less than the engine waits for a call, so that what has no secret is
//! never in doubt.

use std::{
    collections::BTreeMap,
    fmt,
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::{fs::OFlags, process::geteuid};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::command::{room, run};
#[cfg(feature = "keyring")]
use super::keyring::read as keyring;

/// Shorter ones would be found in texts that have nothing to do with them.
const MIN_SECRET: usize = 8;
/// Longer ones fit no header.
pub(super) const MAX_SECRET: usize = 4096;
/// How long a secret may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what a command said is kept.
const KEEP: Duration = Duration::from_secs(60);
/// How long it is kept that it failed.
const KEEP_FAILED: Duration = Duration::from_secs(5);
/// Of so many commands.
const MAX_KEPT: usize = 256;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a variable of the environment.
    Env(String),
    /// In a file that nobody else can read.
    File(PathBuf),
    /// What a program prints: its name and its arguments. No shell reads them.
    Command(Vec<String>),
    /// In the keyring of the account, by this name, in a build that reads one.
    Keyring(String),
}

/// A secret as it goes to an upstream: 8 to 4,096 printable ASCII characters.
pub struct Secret(SecretString);

/// Why there is no secret. It says which source, and never what was in it.
#[derive(Debug, thiserror::Error)]
#[error("{at} {wrong}")]
pub struct SecretError {
    at: String,
    wrong: Wrong,
}

/// What is wrong with a source or with what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// No such variable.
    #[error("is not set: set it where `serve` is started")]
    Unset,
    /// No such file, or it cannot be opened.
    #[error("cannot be read: name a file that is there")]
    Unreadable,
    /// A link, a directory, a pipe.
    #[error("is no plain file: name the file itself, not a link to it")]
    NotAFile,
    /// Of another user.
    #[error("belongs to somebody else: it has to be a file of the user who runs `serve`")]
    NotOurs,
    /// Others may read or write it.
    #[error("is open to others: run chmod 600 on it")]
    Open,
    /// The program could not be started.
    #[error("cannot be run: name a program by its full path, and each argument by itself")]
    NotRun,
    /// It ended with a failure.
    #[error("failed: run it by hand as the user who runs `serve`")]
    Failed,
    /// It did not come in time.
    #[error("took too long: it has to give the secret within 5 s, without asking")]
    TooSlow,
    /// No keyring in this build.
    #[error("is not read: this build reads no keyring; name a file, a variable or a command")]
    NoKeyring,
    /// No such entry.
    #[error("is not there: put it in as the user who runs `serve`, for the service `pettycash`")]
    NoEntry,
    /// The keyring is locked, or there is none.
    #[error("cannot be read: see whether the keyring of the user who runs `serve` is open")]
    KeyringShut,
    /// It could not be told from other text.
    #[error("is shorter than 8 characters, too short to be kept out of answers")]
    TooShort,
    /// More than a header takes.
    #[error("is longer than 4,096 characters: is it the secret alone?")]
    TooLong,
    /// A line break, a control character, a letter outside of ASCII, a space at an end.
    #[error("is not one line of printable ASCII: is it the secret alone, and not encrypted?")]
    NotPlain,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A secret out of what a source has. One line break at its end is left out.
    pub fn new(text: &[u8]) -> Result<Self, Wrong> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match text.len() {
            ..MIN_SECRET => return Err(Wrong::TooShort),
            MIN_SECRET..=MAX_SECRET => {}
            _ => return Err(Wrong::TooLong),
        }
        let plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        let trimmed = text.trim_ascii().len() == text.len();
        let text = str::from_utf8(text).ok().filter(|text| text.bytes().all(plain));
        match text {
            Some(text) if trimmed => Ok(Self(SecretString::from(text))),
            _ => Err(Wrong::NotPlain),
        }
    }

    /// The secret itself, for what sends it and what takes it out of answers.
    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Source {
    fn fails(&self, wrong: Wrong) -> SecretError {
        SecretError { at: self.to_string(), wrong }
    }
}

impl fmt::Display for Source {
    /// Arguments of a command are left out: one may be a secret of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the variable `{name}`"),
            Self::File(path) => write!(f, "the file `{}`", path.display()),
            Self::Command(words) => {
                write!(f, "the command `{}`", words.first().map_or("", String::as_str))
            }
            Self::Keyring(name) => write!(f, "the keyring's `{name}`"),
        }
    }
}

impl SecretError {
    /// What is wrong.
    pub fn wrong(&self) -> Wrong {
        self.wrong
    }
}

/// What a command said or how it failed, and since when. Whoever asks meanwhile waits for the same.
type Kept = Arc<tokio::sync::Mutex<Option<(Instant, Result<Arc<Secret>, Wrong>)>>>;

/// Reads secrets.
pub struct Secrets {
    patience: Duration,
    keep: Duration,
    keep_failed: Duration,
    kept: Mutex<BTreeMap<Vec<String>, Kept>>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self::patient(PATIENCE, KEEP, KEEP_FAILED)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Reads secrets: waits so long for one, and keeps so long what a command said, or that it
    /// failed.
    pub fn patient(patience: Duration, keep: Duration, keep_failed: Duration) -> Self {
        Self { patience, keep, keep_failed, kept: Mutex::default() }
    }

    /// Reads a secret.
    pub async fn read(&self, source: &Source) -> Result<Arc<Secret>, SecretError> {
        let read = match source {
            Source::Env(name) => environment(name).map(Arc::new),
            Source::File(path) => {
                let path = path.clone();
                self.blocking(move || file(&path)).await.map(Arc::new)
            }
            Source::Command(words) => self.command(words).await,
            Source::Keyring(name) => {
                let name = name.clone();
                self.blocking(move || keyring(&name)).await.map(Arc::new)
            }
        };
        read.map_err(|wrong| source.fails(wrong))
    }

    /// Drops what is kept of a source: the next call reads it anew.
    pub fn forget(&self, source: &Source) {
        if let Source::Command(words) = source {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(words);
        }
    }

    /// What is read on a thread of its own, which a disk may keep for ever.
    async fn blocking(
        &self,
        read: impl FnOnce() -> Result<Secret, Wrong> + Send + 'static,
    ) -> Result<Secret, Wrong> {
        let read = timeout(self.patience, tokio::task::spawn_blocking(read)).await;
        read.map_err(|_| Wrong::TooSlow)?.unwrap_or(Err(Wrong::Unreadable))
    }

    async fn command(&self, words: &[String]) -> Result<Arc<Secret>, Wrong> {
        let asked = Instant::now();
        let place = self.place(words);
        let turn = timeout(self.patience, place.lock()).await;
        let mut kept = turn.map_err(|_| Wrong::TooSlow)?;
        if let Some((since, told)) = kept.as_ref() {
            let keep = if told.is_ok() { self.keep } else { self.keep_failed };
            // What came of it while this one waited is as new as it could be.
            if *since >= asked || since.elapsed() < keep {
                return told.clone();
            }
        }
        *kept = None;
        let told = run(words, self.patience.saturating_sub(asked.elapsed())).await.map(Arc::new);
        *kept = Some((Instant::now(), told.clone()));
        told
    }

    fn place(&self, words: &[String]) -> Kept {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT && !kept.contains_key(words) {
            kept.clear();
        }
        Arc::clone(kept.entry(words.to_vec()).or_default())
    }
}

fn environment(name: &str) -> Result<Secret, Wrong> {
    let usable = !name.is_empty() && !name.contains(['=', '\0']);
    let value = usable.then(|| std::env::var_os(name)).flatten().ok_or(Wrong::Unset)?;
    Secret::new(Zeroizing::new(value.into_encoded_bytes()).as_slice())
}

#[cfg(not(feature = "keyring"))]
fn keyring(_: &str) -> Result<Secret, Wrong> {
    Err(Wrong::NoKeyring)
}

fn file(path: &Path) -> Result<Secret, Wrong> {
    let mut options = OpenOptions::new();
    // A pipe would be waited for otherwise.
    options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    let link = io::Error::from(rustix::io::Errno::LOOP).raw_os_error();
    let opened = options.open(path).map_err(|error| match error.raw_os_error() {
        number if number == link => Wrong::NotAFile,
        _ => Wrong::Unreadable,
    });
    let opened = opened?;
    let about = opened.metadata().map_err(|_| Wrong::Unreadable)?;
    match () {
        () if !about.is_file() => return Err(Wrong::NotAFile),
        () if about.uid() != geteuid().as_raw() => return Err(Wrong::NotOurs),
        () if about.mode() & 0o077 != 0 => return Err(Wrong::Open),
        () => {}
    }
    let (mut text, most) = room();
    opened.take(most).read_to_end(&mut text).map_err(|_| Wrong::Unreadable)?;
    Secret::new(&text)
}
