//! Where a secret comes from.
//!
//! A file and the environment are read anew for every call, which costs next to nothing, so a
//! secret that is replaced counts from the next call on. A command may take seconds or ask a
//! human, so what it said is kept for a minute, and [`Secrets::forget`] drops it as soon as an
//! upstream does not take it any more.

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
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::command::{room, run};

/// Shorter ones would be found in texts that have nothing to do with them.
const MIN_SECRET: usize = 8;
/// Longer ones fit no header.
pub(super) const MAX_SECRET: usize = 4096;
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what a command said is kept.
const KEEP: Duration = Duration::from_secs(60);
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
    /// In the keyring of the desktop, by this name.
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
    /// It did not end in time.
    #[error("took too long: it has to print the secret within 5 s, without asking")]
    TooSlow,
    /// No keyring in this build.
    #[error("is not read: this build reads no keyring; name a file, a variable or a command")]
    NoKeyring,
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

/// What a command said, and since when. Whoever asks meanwhile waits for the same.
type Kept = Arc<tokio::sync::Mutex<Option<(Instant, Arc<Secret>)>>>;

/// Reads secrets.
pub struct Secrets {
    patience: Duration,
    keep: Duration,
    kept: Mutex<BTreeMap<Vec<String>, Kept>>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self::patient(PATIENCE, KEEP)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Reads secrets: waits so long for a command, and keeps what it said so long.
    pub fn patient(patience: Duration, keep: Duration) -> Self {
        Self { patience, keep, kept: Mutex::default() }
    }

    /// Reads a secret.
    pub async fn read(&self, source: &Source) -> Result<Arc<Secret>, SecretError> {
        let read = match source {
            Source::Env(name) => environment(name).map(Arc::new),
            Source::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || file(&path)).await;
                read.unwrap_or(Err(Wrong::Unreadable)).map(Arc::new)
            }
            Source::Command(words) => self.command(words).await,
            Source::Keyring(_) => Err(Wrong::NoKeyring),
        };
        read.map_err(|wrong| source.fails(wrong))
    }

    /// Drops what is kept of a source: the next call reads it anew.
    pub fn forget(&self, source: &Source) {
        if let Source::Command(words) = source {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(words);
        }
    }

    async fn command(&self, words: &[String]) -> Result<Arc<Secret>, Wrong> {
        let place = self.place(words);
        let mut kept = place.lock().await;
        if let Some((_, secret)) = kept.as_ref().filter(|(since, _)| since.elapsed() < self.keep) {
            return Ok(Arc::clone(secret));
        }
        *kept = None;
        let secret = Arc::new(run(words, self.patience).await?);
        *kept = Some((Instant::now(), Arc::clone(&secret)));
        Ok(secret)
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
