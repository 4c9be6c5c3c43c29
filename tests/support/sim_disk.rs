//! A disk in memory that does to unsynced writes what a power cut may do.
//!
//! Every `create`, `write`, `sync` and `remove` is a boundary, counted from 1. The power can be cut
//! at any of them: that call and all later ones fail. What then comes back is what was synced, and
//! of the rest whichever 512-byte pieces the test chooses. Or one call fails, or the disk is full.
//!
//! After a sync that failed, what it was to make durable is in limbo: it is read as before, later
//! syncs succeed without it, and it may be gone after a power cut unless it is written again.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use pettycash::store::Disk;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Bytes at an offset.
type Piece = (usize, Vec<u8>);

#[derive(Clone, Default)]
struct File {
    /// Copies of a disk share what none of them changed.
    synced: Arc<Vec<u8>>,
    now: Arc<Vec<u8>>,
    /// The pieces written since the last sync, in order.
    pending: Vec<Piece>,
    /// The pieces that a failed sync left behind: clean, and not known to be on the disk.
    limbo: Vec<Piece>,
}

#[derive(Clone, Default)]
struct Inner {
    files: BTreeMap<String, File>,
    syncs: usize,
    capacity: Option<usize>,
}

/// What happens when: shared by the disks of one machine.
#[derive(Clone, Default)]
struct Power {
    boundaries: usize,
    off_at: Option<usize>,
    fail_at: Option<(usize, io::ErrorKind)>,
    is_off: bool,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>, Arc<Mutex<Power>>);

impl SimDisk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    fn power(&self) -> MutexGuard<'_, Power> {
        self.1.lock().unwrap()
    }

    /// The disk as [`pettycash::store::Store`] takes it.
    pub(crate) fn port(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Cuts the power at boundary `n`.
    pub(crate) fn power_off_at(&self, n: usize) {
        self.power().off_at = Some(n);
    }

    /// Fails the call at boundary `n`, once.
    pub(crate) fn fail_at(&self, n: usize, kind: io::ErrorKind) {
        self.power().fail_at = Some((n, kind));
    }

    /// How many bytes the disk takes in all.
    pub(crate) fn set_capacity(&self, bytes: usize) {
        self.inner().capacity = Some(bytes);
    }

    /// How many bytes there are in all.
    pub(crate) fn used(&self) -> usize {
        self.inner().files.values().map(|file| file.now.len()).sum()
    }

    /// How many boundaries there were.
    pub(crate) fn boundaries(&self) -> usize {
        self.power().boundaries
    }

    /// How many of them were syncs.
    pub(crate) fn syncs(&self) -> usize {
        self.inner().syncs
    }

    /// How many unsynced pieces there are.
    pub(crate) fn pending(&self) -> usize {
        self.inner().files.values().map(|file| file.pending.len()).sum()
    }

    /// How many pieces a failed sync left behind.
    pub(crate) fn limbo(&self) -> usize {
        self.inner().files.values().map(|file| file.limbo.len()).sum()
    }

    /// The disk after a power cut: of the unsynced pieces, in the order in which they were
    /// written, only those that `keep` chooses got there.
    pub(crate) fn after_power_cut(&self, keep: impl Fn(usize) -> bool) -> Self {
        let mut inner = Inner::default();
        let mut piece = 0;
        for (name, file) in &self.inner().files {
            let mut bytes = Arc::clone(&file.synced);
            for (offset, written) in file.limbo.iter().chain(&file.pending) {
                if keep(piece) {
                    put(Arc::make_mut(&mut bytes), *offset, written);
                }
                piece += 1;
            }
            let file = File { synced: bytes.clone(), now: bytes, ..File::default() };
            inner.files.insert(name.clone(), file);
        }
        Self(Arc::new(Mutex::new(inner)), Arc::default())
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> Vec<String> {
        self.inner().files.keys().cloned().collect()
    }

    /// What a file holds.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.inner().files[name].now.to_vec()
    }

    /// Changes what a file holds, behind everyone's back.
    pub(crate) fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.inner();
        let file = inner.files.get_mut(name).unwrap();
        change(Arc::make_mut(&mut file.now));
        file.synced = file.now.clone();
        file.pending.clear();
        file.limbo.clear();
    }

    /// A copy of the disk as it is, with power of its own.
    pub(crate) fn copy(&self) -> Self {
        let (inner, power) = (self.inner().clone(), self.power().clone());
        Self(Arc::new(Mutex::new(inner)), Arc::new(Mutex::new(power)))
    }
}

impl SimDisk {
    /// A copy of the disk as it is, with the boundaries counted anew.
    pub(crate) fn with_power(&self) -> Self {
        Self(Arc::new(Mutex::new(self.inner().clone())), Arc::default())
    }

    /// A copy of the disk as it is, in the machine of the other: boundaries are counted together.
    pub(crate) fn powered_by(&self, other: &Self) -> Self {
        Self(Arc::new(Mutex::new(self.inner().clone())), Arc::clone(&other.1))
    }
}

impl Power {
    fn boundary(&mut self) -> io::Result<()> {
        self.boundaries += 1;
        if self.off_at == Some(self.boundaries) {
            self.is_off = true;
        }
        self.check()?;
        match self.fail_at {
            Some((at, kind)) if at == self.boundaries => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.is_off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }
}

impl File {
    /// Brings what is pending to the disk. Of what is in limbo, that was not written again stays
    /// there.
    fn sync(&mut self) {
        for (offset, bytes) in self.pending.drain(..) {
            put(Arc::make_mut(&mut self.synced), offset, &bytes);
            let (start, end) = (offset, offset + bytes.len());
            let limbo = std::mem::take(&mut self.limbo);
            for (at, lost) in limbo {
                let before = start.saturating_sub(at).min(lost.len());
                let after = end.saturating_sub(at).min(lost.len()).max(before);
                if before > 0 {
                    self.limbo.push((at, lost[..before].to_vec()));
                }
                if after < lost.len() {
                    self.limbo.push((at + after, lost[after..].to_vec()));
                }
            }
        }
    }
}

impl Inner {
    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.files.get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Notes a write, piece by piece; one that fails is still noted, for it may have been done.
    fn note(&mut self, name: &str, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(name)?;
        put(Arc::make_mut(&mut file.now), offset, bytes);
        let mut at = offset;
        // Zeros written ahead are one piece: which of them got there is all the same.
        let zeros = bytes.len() > SECTOR && bytes[..16] == [0; 16] && bytes == vec![0; bytes.len()];
        let sector = if zeros { usize::MAX / 2 } else { SECTOR };
        while at < offset + bytes.len() {
            let end = (at / sector + 1) * sector;
            let end = end.min(offset + bytes.len());
            file.pending.push((at, bytes[at - offset..end - offset].to_vec()));
            at = end;
        }
        Ok(())
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() <= offset {
        bytes.extend_from_slice(&vec![0; offset - bytes.len()]);
        bytes.extend_from_slice(written);
        return;
    }
    if bytes.len() < end {
        bytes.extend_from_slice(&vec![0; end - bytes.len()]);
    }
    bytes[offset..end].copy_from_slice(written);
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.power().check()?;
        let inner = self.inner();
        Ok(inner.files.iter().map(|(name, file)| (name.clone(), file.now.len() as u64)).collect())
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.power().boundary()?;
        let mut inner = self.inner();
        if inner.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.files.insert(name.to_owned(), File::default());
        Ok(())
    }

    fn read(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.power().check()?;
        let mut inner = self.inner();
        let bytes = &inner.file(name)?.now;
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let count = into.len().min(bytes.len() - from);
        into[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let was_off = self.power().is_off;
        let allowed = self.power().boundary();
        let mut inner = self.inner();
        if let Err(error) = allowed {
            if !was_off {
                inner.note(name, offset, bytes)?;
            }
            return Err(error);
        }
        let length = inner.file(name)?.now.len();
        let growth = (offset + bytes.len()).saturating_sub(length);
        let used: usize = inner.files.values().map(|file| file.now.len()).sum();
        if growth > 0 && inner.capacity.is_some_and(|capacity| used + growth > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inner.note(name, offset, bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let allowed = self.power().boundary();
        let was_cut = self.power().is_off;
        let mut inner = self.inner();
        inner.syncs += 1;
        let file = inner.file(name)?;
        match allowed {
            Ok(()) => file.sync(),
            Err(_) if was_cut => {}
            Err(_) => {
                let lost = std::mem::take(&mut file.pending);
                file.limbo.extend(lost);
            }
        }
        allowed
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.power().boundary()?;
        let removed = self.inner().files.remove(name);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn free(&self) -> io::Result<u64> {
        self.power().check()?;
        let used = self.used();
        let capacity = self.inner().capacity;
        Ok(capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(used) as u64))
    }
}
