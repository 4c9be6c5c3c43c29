//! Where sled has its weak spots: opening, and the files it leaves behind.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
    time::Duration,
};

use rustix::fs::Mode;

use super::{StoreError, desk::Odd, private};

/// What sled may keep in memory.
const CACHE: u64 = 64 * 1024 * 1024;
/// How often it flushes; it collects its garbage only then, so never is not an option.
const FLUSH_MS: u64 = 500;
/// How long a lock is waited for: sled lets go of it late.
const LOCK_TRIES: u32 = 40;
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// Makes the directory, or checks that it is ours alone, and clears what keeps sled from opening.
pub(crate) fn prepare(path: &Path) -> Result<(), StoreError> {
    let failed =
        |doing| move |error: io::Error| StoreError::io(doing, path.display().to_string(), &error);
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("create")(error));
        }
        Ok(()) | Err(_) => private::directory(path)?,
    }
    // sled makes its files by the process's mask. Everything of ours is private, so it stays.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    for found in fs::read_dir(path).map_err(failed("list"))? {
        let found = found.map_err(failed("list"))?;
        let name = found.file_name();
        let name = name.to_string_lossy();
        // A snapshot that was being written when the process ended makes sled refuse to open.
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(found.path()).map_err(failed("clear"))?;
        }
    }
    Ok(())
}

/// Opens sled, which panics on some damage.
pub(crate) fn open(path: &Path) -> Result<sled::Db, Odd> {
    for _ in 0..LOCK_TRIES {
        let config = sled::Config::new().path(path).cache_capacity(CACHE);
        let config = config.flush_every_ms(Some(FLUSH_MS));
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(error)) if is_locked(&error) => thread::sleep(LOCK_WAIT),
            Ok(Err(error)) if is_full(&error) => return Err(Odd::Full),
            Ok(Err(error)) => return Err(Odd::Other(error.to_string())),
            Err(_) => return Err(Odd::Other("sled broke off".to_owned())),
        }
    }
    Err(Odd::InUse)
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

fn is_full(error: &sled::Error) -> bool {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    matches!(error, sled::Error::Io(error) if full.contains(&error.kind()))
}

/// Removes what sled put into the directory, and nothing else.
pub(crate) fn empty(path: &Path) -> io::Result<()> {
    for found in fs::read_dir(path)? {
        let found = found?;
        let name = found.file_name();
        let name = name.to_string_lossy();
        if name == "blobs" {
            fs::remove_dir_all(found.path())?;
        } else if name == "db" || name == "conf" || name.starts_with("snap.") {
            fs::remove_file(found.path())?;
        }
    }
    Ok(())
}

/// Brings everything to the disk: sled's own flush does not outlast a power cut.
pub(crate) fn settle(db: &sled::Db, path: &Path) {
    let flushed = db.flush().map_err(|error| error.to_string());
    let synced = flushed.and_then(|_| {
        let file = File::open(path.join("db")).and_then(|file| file.sync_data());
        file.map_err(|error| error.to_string())
    });
    if let Err(problem) = synced {
        tracing::warn!(%problem, "the desk may have to be rebuilt at the next start");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_damage() {
        let full = io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        assert!(is_full(&sled::Error::Io(full)));
        assert!(!is_full(&sled::Error::Io(io::Error::other("anything else"))));
    }
}
