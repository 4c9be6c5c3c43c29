//! The floor: the same bytes appended to a file that is there already, and one `fdatasync`.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use anyhow::{Result, ensure};

use crate::group::{COUNTERS, Keeper, LIMIT, Payment};

/// How long the file is; who reaches its end goes on at its start.
const LENGTH: u64 = 256 * 1024 * 1024;

/// A file full of zeros, on the disk to the last block.
pub(crate) struct Preallocated {
    file: File,
    at: u64,
}

impl Preallocated {
    pub(crate) fn make(path: &Path, length: u64) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).read(true).write(true).open(path)?;
        let zeros = vec![0; 1024 * 1024];
        while file.metadata()?.len() < length {
            file.write_all_at(&zeros, file.metadata()?.len())?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0 })
    }

    /// Writes `bytes` behind those before, and makes them survive a power cut.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.at + bytes.len() as u64 > self.file.metadata()?.len() {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at)?;
        self.file.sync_data()?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// The file, and everything that is known in memory only.
pub(crate) struct Raw {
    file: Preallocated,
    keys: HashSet<(u32, u128)>,
    counters: Vec<[u64; COUNTERS]>,
    bytes: Vec<u8>,
}

impl Raw {
    pub(crate) fn open(path: &Path, agents: usize) -> Result<Self> {
        let file = Preallocated::make(path, LENGTH)?;
        let counters = vec![[0; COUNTERS]; agents];
        Ok(Self { file, keys: HashSet::new(), counters, bytes: Vec::new() })
    }
}

impl Keeper for Raw {
    fn commit(&mut self, batch: &[Payment]) -> Result<()> {
        self.bytes.clear();
        for Payment { agent, key, entry } in batch {
            ensure!(self.keys.insert((*agent, *key)), "a key comes twice");
            for counter in &mut self.counters[*agent as usize] {
                ensure!(*counter < LIMIT, "a counter is full");
                *counter += 1;
            }
            self.bytes.extend_from_slice(entry);
        }
        self.file.append(&self.bytes)
    }
}
