//! The election: a file lock says who owns a home; what is written in the file says who that is.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::{ServeError, same_file};
use crate::{
    client::{Operator, connect_to_us},
    home::{Home, Sockets, open_lock, read_note},
    policy::terms::StartedBy,
};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);
/// How long one started by hand waits for another to end: as long as that may take, and a little.
const GIVE_WAY_WITHIN: Duration = Duration::from_secs(22);
/// How long one that a client started waits for another to end: as long as the client does.
const WAIT_FOR_END: Duration = Duration::from_secs(5);
/// How long a `serve` takes at most to answer that it will end.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// How often the same holder must be seen before it is believed, for what is written may be older
/// than the lock for a moment; and how often again before it is asked again.
const SEEN: u32 = 3;

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    started_by: StartedBy,
    /// It has stopped listening and will let go.
    #[serde(default)]
    ending: bool,
}

/// How an election ended.
pub(super) enum Election {
    /// The home is ours. Whoever else would start a `serve` waits until `starting` is dropped.
    Elected { lock: ServeLock, starting: Option<File> },
    /// Somebody else serves, and that is as good.
    Served,
}

/// The ownership of a home, for as long as the value lives.
#[derive(Debug)]
pub(super) struct ServeLock {
    file: File,
    path: PathBuf,
    holder: Holder,
}

impl ServeLock {
    /// Takes the lock if it is free.
    fn take(home: &Home, started_by: StartedBy) -> io::Result<Option<Self>> {
        let path = home.serve_lock();
        let file = open_lock(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let lock = Self {
            file,
            path,
            holder: Holder { pid: std::process::id(), started_by, ending: false },
        };
        // The file may have been removed, with its home, between opening and locking it.
        if !lock.is_in_place() {
            return Ok(None);
        }
        // It is the lock that counts: on a full disk nobody can read who holds it.
        if let Err(error) = lock.say(&lock.holder) {
            tracing::warn!(%error, "serve.lock does not say who holds it");
        }
        Ok(Some(lock))
    }

    /// Whether the file that is locked is still the one that others would lock.
    pub(super) fn is_in_place(&self) -> bool {
        let (ours, there) = (self.file.metadata(), fs::metadata(&self.path));
        ours.is_ok_and(|ours| there.is_ok_and(|there| same_file(&ours, &there)))
    }

    /// Tells whoever waits for the lock that it will soon be free.
    pub(super) fn say_ending(&self) {
        if let Err(error) = self.say(&Holder { ending: true, ..self.holder.clone() }) {
            tracing::debug!(%error, "serve.lock does not say that we are ending");
        }
    }

    /// Lets go.
    pub(super) fn release(self) {
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "serve.lock still names us");
        }
    }

    fn say(&self, holder: &Holder) -> io::Result<()> {
        let mut text = serde_json::to_vec(holder)?;
        text.push(b'\n');
        let mut file = &self.file;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&text)
    }
}

/// Takes the home over, or says why not.
pub(super) async fn elect(home: &Home, started_by: StartedBy) -> Result<Election, ServeError> {
    match started_by {
        StartedBy::Client => after_others(home).await,
        StartedBy::Operator => before_others(home).await,
    }
}

/// One that a client started takes the home only if nobody serves it, and is content otherwise.
async fn after_others(home: &Home) -> Result<Election, ServeError> {
    let until = Instant::now() + WAIT_FOR_END;
    while Instant::now() < until {
        let lock = ServeLock::take(home, StartedBy::Client);
        if let Some(lock) = lock.map_err(ServeError::io("lock the data directory"))? {
            return Ok(Election::Elected { lock, starting: None });
        }
        if serving(home).await.is_some() {
            break;
        }
        sleep(PAUSE).await;
    }
    Ok(Election::Served)
}

/// One started by hand asks one that a client started to end, and gives up only before another
/// that was started by hand.
async fn before_others(home: &Home) -> Result<Election, ServeError> {
    let until = Instant::now() + GIVE_WAY_WITHIN;
    let mut starting = None;
    let mut seen: Option<(Holder, u32)> = None;
    while Instant::now() < until {
        // Clients that find nobody listening must not start another while we take over.
        starting = starting.or_else(|| try_start_lock(home).ok().flatten());
        let lock = ServeLock::take(home, StartedBy::Operator);
        if let Some(lock) = lock.map_err(ServeError::io("lock the data directory"))? {
            return Ok(Election::Elected { lock, starting });
        }
        let holder = read_note::<Holder>(&home.serve_lock());
        seen = match (holder, seen) {
            (Some(holder), Some((same, times))) if holder == same => Some((same, times + 1)),
            (Some(holder), _) => Some((holder, 1)),
            (None, _) => None,
        };
        if let Some((holder, times)) = &seen
            && times % SEEN == 0
            && !holder.ending
        {
            match holder.started_by {
                StartedBy::Operator => {
                    let (home, pid) = (home.dir().to_owned(), holder.pid);
                    return Err(ServeError::AlreadyServed { home, pid });
                }
                StartedBy::Client => ask_to_end(home, holder.pid).await,
            }
        }
        sleep(PAUSE).await;
    }
    let holder =
        seen.map_or_else(|| "a process".to_owned(), |(held, _)| format!("pid {}", held.pid));
    Err(ServeError::Stuck { home: home.dir().to_owned(), holder })
}

/// Takes the lock of those who start a `serve`, if it is free; dropping the file lets go of it.
pub(crate) fn try_start_lock(home: &Home) -> io::Result<Option<File>> {
    let file = open_lock(&home.start_lock())?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether somebody owns the home, even if it does not listen yet or any more.
pub(crate) fn is_owned(home: &Home) -> io::Result<bool> {
    match open_lock(&home.serve_lock())?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

async fn ask_to_end(home: &Home, pid: u32) {
    tracing::info!(pid, "taking over from the serve that a client started");
    let Some(sockets) = serving(home).await else { return };
    let finder = Arc::new(move || {
        let sockets = sockets.clone();
        async move { Ok(sockets) }.boxed()
    });
    let asked = timeout(ASK_WITHIN, Operator::new(finder).stop()).await;
    if !matches!(asked, Ok(Ok(_))) {
        tracing::warn!(pid, "it did not answer");
    }
}

/// Where a `serve` of this home listens now, if one does.
pub(crate) async fn serving(home: &Home) -> Option<Sockets> {
    let said = home.serving().map(|serving| serving.sockets);
    for sockets in said.into_iter().chain(home.expected_sockets().ok()) {
        // The agents' socket is the last that is bound: if it answers, both do.
        if connect_to_us(&sockets.agent).await.is_ok() {
            return Some(sockets);
        }
    }
    None
}
