//! Segments that were moved away, read together with those that are there.

use std::{io, sync::Arc};

use super::disk::Disk;

/// Reads from one disk, and what that does not have from another; it writes to neither.
struct Both {
    here: Arc<dyn Disk>,
    archive: Arc<dyn Disk>,
}

/// The journal with the segments that were moved to an archive, to be read.
pub fn with_archive(here: Arc<dyn Disk>, archive: Arc<dyn Disk>) -> Arc<dyn Disk> {
    Arc::new(Both { here, archive })
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for Both {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = self.here.list()?;
        for (name, length) in self.archive.list()? {
            if files.iter().all(|(here, _)| *here != name) {
                files.push((name, length));
            }
        }
        Ok(files)
    }

    fn create(&self, _: &str) -> io::Result<()> {
        read_only()
    }

    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        match self.here.read(name, offset, into) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.archive.read(name, offset, into)
            }
            read => read,
        }
    }

    fn write(&self, _: &str, _: u64, _: &[u8]) -> io::Result<()> {
        read_only()
    }

    fn sync(&self, _: &str) -> io::Result<()> {
        read_only()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        read_only()
    }

    fn free(&self) -> io::Result<u64> {
        Ok(0)
    }
}
