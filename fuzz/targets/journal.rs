//! A journal written by the format's own description, apart from the code that is tried, and the
//! disk in memory that it stands on.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use pettycash::{policy::entry::Hash, store::Disk};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const STORE: [u8; 16] = *b"a store of fuzz!";
const NONE: u64 = u64::MAX;
const LARGEST: usize = 256 * 1024;

/// The record that the next one follows.
#[derive(Clone, Copy)]
struct Last {
    seq: u64,
    position: u64,
    hash: [u8; 32],
}

pub struct Journal {
    segments: Vec<(u64, Vec<u8>)>,
    last: Last,
    /// The hash of every record, in order.
    written: Vec<Hash>,
    /// Each agent's last entry: its number, its record, its hash.
    agents: HashMap<String, (u64, u64, String)>,
}

impl Journal {
    pub fn begin() -> Self {
        let hash = Sha256::new().chain_update(b"pettycsh").chain_update(STORE).finalize().into();
        let last = Last { seq: 0, position: NONE, hash };
        let mut journal =
            Self { segments: Vec::new(), last, written: Vec::new(), agents: HashMap::new() };
        journal.header(0);
        journal
    }

    fn header(&mut self, base: u64) {
        let mut header = b"pettycsh".to_vec();
        header.extend(1_u32.to_le_bytes());
        header.extend(0_u32.to_le_bytes());
        header.extend(base.to_le_bytes());
        header.extend(STORE);
        header.extend(self.last.seq.to_le_bytes());
        header.extend(self.last.position.to_le_bytes());
        header.extend(self.last.hash);
        header.resize(124, 0);
        header.extend(crc32c::crc32c(&header).to_le_bytes());
        self.segments.push((base, header));
    }

    pub fn last(&mut self) -> &mut Vec<u8> {
        &mut self.segments.last_mut().expect("a segment").1
    }

    fn position(&mut self) -> u64 {
        let (base, bytes) = self.segments.last().expect("a segment");
        base + bytes.len() as u64
    }

    pub fn begin_segment(&mut self) {
        let base = self.position();
        self.header(base);
    }

    /// Adds a record whose header is right, whatever its body is.
    pub fn add(&mut self, body: &[u8]) {
        if body.is_empty() || body.len() > LARGEST {
            return;
        }
        let position = self.position();
        let mut rest = (self.last.seq + 1).to_le_bytes().to_vec();
        rest.extend(self.last.seq.to_le_bytes());
        rest.extend(self.last.position.to_le_bytes());
        rest.extend(self.last.hash);
        rest.extend(1_u16.to_le_bytes());
        rest.extend(1_u16.to_le_bytes());
        rest.extend(body);
        let length = u32::try_from(body.len()).expect("no more than the largest").to_le_bytes();
        let sum = crc32c::crc32c_append(crc32c::crc32c(&length), &rest);
        let hash = Sha256::digest(&rest).into();
        self.last().extend([&length[..], &sum.to_le_bytes(), &rest].concat());
        self.last = Last { seq: self.last.seq + 1, position, hash };
        self.written.push(Hash(hash));
    }

    /// Adds a record of entries, each linked to the one before of its agent.
    pub fn add_chained(&mut self, body: &[u8]) {
        let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return self.add(body) };
        let position = self.position();
        for entry in value["entries"].as_array_mut().into_iter().flatten() {
            let Some(agent) = entry["agent"].as_str().map(str::to_owned) else { continue };
            let chain = match self.agents.get(&agent) {
                Some((n, prev, hash)) => json!({"n": n + 1, "prev": prev, "prev_hash": hash}),
                None => json!({"n": 1, "prev_hash": "0".repeat(64)}),
            };
            let n = chain["n"].as_u64().expect("a number");
            entry["chain"] = chain;
            let hash = Hash(Sha256::digest(entry.to_string()).into()).to_string();
            self.agents.insert(agent, (n, position, hash));
        }
        self.add(value.to_string().as_bytes());
    }

    /// The files, and the hashes of the records that were written to them.
    pub fn on_disk(self) -> (MemoryDisk, Vec<Hash>) {
        let name = |base: u64| format!("{base:016x}.journal");
        let files = self.segments.into_iter().map(|(base, bytes)| (name(base), bytes)).collect();
        (MemoryDisk(Arc::new(Mutex::new(files))), self.written)
    }
}

/// Files in memory. Clones are the same disk.
#[derive(Clone)]
pub struct MemoryDisk(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl MemoryDisk {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().expect("the disk")
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let length = |(name, bytes): (&String, &Vec<u8>)| (name.clone(), bytes.len() as u64);
        Ok(self.files().iter().map(length).collect())
    }

    fn create(&self, name: &str) -> io::Result<()> {
        match self.files().insert(name.to_owned(), Vec::new()) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let files = self.files();
        let bytes = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = into.len().min(bytes.len() - from);
        into[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.files();
        let file = files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        let from = usize::try_from(offset).expect("a small file");
        file.resize(file.len().max(from + bytes.len()), 0);
        file[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn free(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}
