//! The journal's files as one run of bytes: where a position lies, and what stands there.

use std::{
    io,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use super::{
    StoreError,
    disk::Disk,
    format::{
        NoRecord, NoSegment, RECORD_HEADER, Raw, SEGMENT_HEADER, SegmentHeader, segment_base,
        segment_name,
    },
};

/// How much is read at first where one record is looked for: nearly all are shorter.
const GUESS: usize = 2 * 1024;

/// What files grow by at a time, in bytes.
pub(crate) const STEP: usize = 1024 * 1024;
/// What files grow by, and what torn bytes are written over with. From the heap, where zeros that
/// are only read take no memory; in the program they would be a file's pages like any other.
pub(crate) static ZEROS: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; STEP]);

/// The segments of a journal, in order.
pub(crate) struct Segments {
    pub(crate) disk: Arc<dyn Disk>,
    /// The positions at which they start, ascending; the writer adds to them, readers look.
    bases: RwLock<Vec<u64>>,
}

impl Segments {
    /// The segments that are there.
    pub(crate) fn find(disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let found = disk.list().map_err(|error| StoreError::io("list", "the journal", &error))?;
        let mut bases: Vec<u64> = found.iter().filter_map(|(name, _)| segment_base(name)).collect();
        bases.sort_unstable();
        Ok(Self { disk, bases: RwLock::new(bases) })
    }

    /// Where the segments start.
    pub(crate) fn bases(&self) -> Vec<u64> {
        self.bases.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the segment that starts at `header.base`, or gives the one whose making was cut short
    /// its header; it is there to stay once this returns.
    pub(crate) fn add(&self, header: &SegmentHeader) -> Result<(), StoreError> {
        let name = segment_name(header.base);
        match self.disk.create(&name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io("create", &name, &error));
            }
            Ok(()) | Err(_) => {}
        }
        self.write(header.base, header.base, &header.encode())?;
        self.sync(header.base)?;
        let mut bases = self.bases.write().unwrap_or_else(PoisonError::into_inner);
        if !bases.contains(&header.base) {
            bases.push(header.base);
        }
        Ok(())
    }

    /// The base of the segment that `position` lies in.
    pub(crate) fn base_of(&self, position: u64) -> Option<u64> {
        let bases = self.bases.read().unwrap_or_else(PoisonError::into_inner);
        let after = bases.partition_point(|base| *base <= position);
        bases.get(after.checked_sub(1)?).copied()
    }

    /// Reads from `position` on, at most to the end of the segment at `base`.
    pub(crate) fn read(
        &self,
        base: u64,
        position: u64,
        into: &mut [u8],
    ) -> Result<usize, StoreError> {
        let name = segment_name(base);
        let read = self.disk.read(&name, position - base, into);
        read.map_err(|error| StoreError::io("read", name, &error))
    }

    pub(crate) fn write(&self, base: u64, position: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let name = segment_name(base);
        let written = self.disk.write(&name, position - base, bytes);
        written.map_err(|error| StoreError::io("write", name, &error))
    }

    /// Writes what stands from `from` to `to` once more, with the segment's header where nothing of
    /// the segment is known to be on the disk.
    pub(crate) fn rewrite(&self, base: u64, from: u64, to: u64) -> Result<(), StoreError> {
        let first = base + SEGMENT_HEADER as u64;
        let mut at = if from <= first { base } else { from };
        let mut bytes = vec![0; STRETCH];
        while at < to {
            let wanted = usize::try_from(to - at).unwrap_or(STRETCH).min(STRETCH);
            let read = self.read(base, at, &mut bytes[..wanted])?;
            if read == 0 {
                break;
            }
            self.write(base, at, &bytes[..read])?;
            at += read as u64;
        }
        Ok(())
    }

    /// Writes zeros over what stands from `from` to `to`.
    pub(crate) fn blank(&self, base: u64, from: u64, to: u64) -> Result<(), StoreError> {
        let mut at = from;
        while at < to {
            let zeros = usize::try_from(to - at).unwrap_or(STEP).min(STEP);
            self.write(base, at, &ZEROS[..zeros])?;
            at += zeros as u64;
        }
        Ok(())
    }

    pub(crate) fn sync(&self, base: u64) -> Result<(), StoreError> {
        let name = segment_name(base);
        // Never `Full`: after a failed sync nobody knows what reached the disk, whatever the cause.
        let cause = |error: io::Error| error.to_string();
        let synced = self.disk.sync(&name).map_err(cause);
        synced.map_err(|cause| StoreError::Io { doing: "sync", file: name, cause })
    }

    /// The header of the segment at `base`, or nothing where it does not verify.
    pub(crate) fn header(&self, base: u64) -> Result<Option<SegmentHeader>, StoreError> {
        let mut bytes = [0; SEGMENT_HEADER];
        let read = self.read(base, base, &mut bytes)?;
        if read < SEGMENT_HEADER {
            return Ok(None);
        }
        match SegmentHeader::decode(&bytes) {
            Ok(header) => Ok(Some(header).filter(|header| header.base == base)),
            Err(NoSegment::Broken) => Ok(None),
            Err(NoSegment::Version(version)) => {
                Err(StoreError::UnknownFormat { file: segment_name(base), version })
            }
        }
    }

    /// Hands over the record that starts at `position`, if one does.
    ///
    /// The position may come from anyone: a wrong one finds nothing.
    pub(crate) fn record<T>(
        &self,
        position: u64,
        look: impl FnOnce(Raw<'_>) -> T,
    ) -> Result<T, StoreError> {
        let missing = StoreError::NoRecord { position };
        let Some(base) = self.base_of(position) else {
            let archived = position >= SEGMENT_HEADER as u64 && !self.bases().is_empty();
            return Err(if archived { StoreError::Archived { position } } else { missing });
        };
        let mut bytes = vec![0; GUESS];
        let mut read = self.read(base, position, &mut bytes)?;
        if let Err(NoRecord::Short(whole)) = Raw::parse(&bytes[..read])
            && whole > bytes.len()
        {
            bytes.resize(whole, 0);
            read = self.read(base, position, &mut bytes)?;
        }
        Raw::parse(&bytes[..read]).map(look).map_err(|_| missing)
    }

    /// The damage that `problem` is, at `position` of the segment at `base`.
    pub(crate) fn damage(base: u64, position: u64, problem: impl Into<String>) -> StoreError {
        StoreError::Damaged {
            file: segment_name(base),
            offset: position.saturating_sub(base),
            problem: problem.into(),
        }
    }
}

/// A window that slides over one segment, so that walking it takes few reads.
pub(crate) struct Window<'a> {
    segments: &'a Segments,
    base: u64,
    /// The position of the first byte held.
    start: u64,
    bytes: Vec<u8>,
    /// How many of the bytes are held.
    held: usize,
}

/// How much a window reads at a time.
pub(crate) const STRETCH: usize = 256 * 1024;

impl<'a> Window<'a> {
    pub(crate) fn new(segments: &'a Segments, base: u64) -> Self {
        Self { segments, base, start: base, bytes: Vec::new(), held: 0 }
    }

    /// At least `wanted` bytes from `position` on, unless the segment ends before.
    pub(crate) fn at(&mut self, position: u64, wanted: usize) -> Result<&[u8], StoreError> {
        let offset = position.checked_sub(self.start).and_then(|offset| offset.try_into().ok());
        let held: Option<usize> = offset.filter(|offset: &usize| {
            offset.checked_add(wanted).is_some_and(|end| end <= self.held)
        });
        if let Some(offset) = held {
            return Ok(&self.bytes[offset..self.held]);
        }
        if self.bytes.len() < STRETCH.max(wanted) {
            self.bytes = vec![0; STRETCH.max(wanted)];
        }
        self.held = 0;
        self.held = self.segments.read(self.base, position, &mut self.bytes)?;
        self.start = position;
        Ok(&self.bytes[..self.held])
    }

    /// The record that starts at `position`.
    pub(crate) fn record(
        &mut self,
        position: u64,
    ) -> Result<Result<Raw<'_>, NoRecord>, StoreError> {
        let whole = match Raw::parse(self.at(position, RECORD_HEADER)?) {
            Err(NoRecord::Short(whole)) => whole,
            Err(_) => RECORD_HEADER,
            Ok(raw) => raw.size(),
        };
        Ok(Raw::parse(self.at(position, whole)?))
    }
}
