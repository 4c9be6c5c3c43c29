//! The port to the disk, and the files behind it.
//!
//! Everything the record asks of a disk are the seven calls of [`Disk`]. There are two: files, and
//! the simulated disk of the tests, which loses what was not synced.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustix::fs::OFlags;

use super::{StoreError, private};

/// How many files are kept open at most; beyond it all are closed and opened again as needed.
const OPEN_FILES: usize = 64;

/// Where the journal's files are.
///
/// What was written may be lost, whole or in part, until `sync` of that file has returned; what
/// was synced stays. A call that failed may have been done in part. After a `sync` that failed,
/// what it was to make durable may never get to the disk, whatever a later one says, unless it is
/// written again: the system takes those pages for clean.
pub trait Disk: Send + Sync {
    /// The names of all files, and their lengths.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Makes an empty file, which must not exist yet; it is there to stay once this returns.
    fn create(&self, name: &str) -> io::Result<()>;

    /// Reads from `offset` until `into` is full or the file ends, and says how much that was.
    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`; the file grows if it must.
    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written to the file so far, and its length, survive a power cut.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Removes a file; it is gone for good once this returns.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// How many bytes are free for files of ours.
    fn free(&self) -> io::Result<u64>;
}

/// Files in a directory of their own, which nobody but their owner may read.
#[derive(Debug)]
pub struct FileDisk {
    root: PathBuf,
    /// The directory itself: what is synced when a file is made, and what holds the lock.
    directory: File,
    open: RwLock<HashMap<String, Arc<File>>>,
}

impl FileDisk {
    /// Takes the directory for writing, and makes it if it is not there.
    ///
    /// The lock on it lasts as long as the value. It is the last line of defence: `serve` has its
    /// own lock, but two writers on one journal would be the end of it.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        match DirBuilder::new().mode(0o700).create(root) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io("create", root.display().to_string(), &error));
            }
            Err(_) => {}
            Ok(()) => sync_parent(root)?,
        }
        let disk = Self::look(root)?;
        match disk.directory.try_lock() {
            Ok(()) => Ok(disk),
            Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: root.into() }),
            Err(fs::TryLockError::Error(error)) => {
                Err(StoreError::io("lock", root.display().to_string(), &error))
            }
        }
    }

    /// Takes a directory that several processes write to, each to files of its own; it is made if
    /// it is not there.
    pub fn shared(root: &Path) -> Result<Self, StoreError> {
        let failed =
            |doing| move |e: io::Error| StoreError::io(doing, root.display().to_string(), &e);
        match DirBuilder::new().recursive(true).mode(0o700).create(root) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("create")(error));
            }
            Ok(()) | Err(_) => sync_parent(root)?,
        }
        private::directory(root)?;
        let directory = File::open(root).map_err(failed("open"))?;
        Ok(Self { root: root.into(), directory, open: RwLock::default() })
    }

    /// Looks at an existing directory beside whoever writes to it.
    pub fn look(root: &Path) -> Result<Self, StoreError> {
        private::directory(root)?;
        let failed =
            |doing| move |e: io::Error| StoreError::io(doing, root.display().to_string(), &e);
        let directory = File::open(root).map_err(failed("open"))?;
        for found in fs::read_dir(root).map_err(failed("list"))? {
            private::file(&found.map_err(failed("list"))?.path())?;
        }
        Ok(Self { root: root.into(), directory, open: RwLock::default() })
    }

    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(name) {
            return Ok(Arc::clone(file));
        }
        drop(open);
        Ok(self.keep(name, options().open(self.root.join(name))?))
    }

    fn keep(&self, name: &str, file: File) -> Arc<File> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_FILES {
            open.clear();
        }
        Arc::clone(open.entry(name.to_owned()).or_insert_with(|| Arc::new(file)))
    }
}

/// Never through a link: the last step of the path is ours or it is refused.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|directory| directory.sync_all());
    synced.map_err(|error| StoreError::io("sync", parent.display().to_string(), &error))
}

impl Disk for FileDisk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for found in fs::read_dir(&self.root)? {
            let found = found?;
            let length = found.metadata()?.len();
            files.extend(found.file_name().into_string().ok().map(|name| (name, length)));
        }
        Ok(files)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let made = options().create_new(true).open(self.root.join(name));
        // One that is there already may come from a start that broke off before this.
        self.directory.sync_all()?;
        self.keep(name, made?);
        Ok(())
    }

    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let file = self.file(name)?;
        let mut done = 0;
        while done < into.len() {
            match file.read_at(&mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, offset)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        fs::remove_file(self.root.join(name))?;
        self.directory.sync_all()
    }

    fn free(&self) -> io::Result<u64> {
        let found = rustix::fs::fstatvfs(&self.directory)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}
