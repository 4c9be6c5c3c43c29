//! How segments and records look on disk: fixed little-endian headers, then a JSON body.
//!
//! ```text
//! segment  magic 8 · version u32 · 0 u32 · base u64 · store id 16 · last seq u64
//!          · last position u64 · last hash 32 · zeros · crc32c u32 over all before (128 in all)
//! record   len u32 · crc32c u32 · seq u64 · synced u64 · prev u64 · prev hash 32
//!          · kind u16 · version u16 (68 in all) · body of `len` bytes
//! ```
//!
//! A record's checksum covers its length and everything after the checksum; its hash is SHA-256
//! of everything after the checksum. A length of zero is the end: files grow by zeros.

use sha2::{Digest, Sha256};

pub use crate::policy::terms::Head;
use crate::policy::{entry::Hash, plan::MAX_WEIGHT};

/// The header of a segment.
pub(crate) const SEGMENT_HEADER: usize = 128;
/// The header of a record.
pub(crate) const RECORD_HEADER: usize = 68;
/// The largest body of a record: a policy of ten thousand agents, set in one step.
pub(crate) const MAX_BODY: usize = 8 * 1024 * 1024;
// What passes as light enough must not be refused by its weight only once it is to be written.
const _: () = assert!(MAX_WEIGHT <= MAX_BODY, "a record holds a policy of the greatest weight");
/// The largest body that there is always room for; a larger one makes its own.
pub(crate) const EVERYDAY_BODY: usize = 256 * 1024;
/// A record of entries; the only kind so far.
pub(crate) const ENTRIES: u16 = 1;
/// How the bodies of this pettycash are to be read.
pub(crate) const BODY_VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"pettycsh";
const FORMAT: u32 = 1;
const NONE: u64 = u64::MAX;
const SEGMENT_SUM: usize = SEGMENT_HEADER - 4;

impl Head {
    /// Before the first record of a store: two stores never share a chain.
    pub(crate) fn genesis(store: StoreId) -> Self {
        let hash = Sha256::new().chain_update(MAGIC).chain_update(store).finalize();
        Self { seq: 0, position: None, hash: Hash(hash.into()) }
    }
}

/// The random name of a store.
pub(crate) type StoreId = [u8; 16];

/// What the first bytes of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The position of the segment's first byte.
    pub(crate) base: u64,
    /// Whose journal it is part of.
    pub(crate) store: StoreId,
    /// The last record before it, which was synced when the segment was made.
    pub(crate) last: Head,
}

/// Why bytes are not the header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSegment {
    /// They do not verify.
    Broken,
    /// They do, and are of another version.
    Version(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.store);
        bytes[40..48].copy_from_slice(&self.last.seq.to_le_bytes());
        bytes[48..56].copy_from_slice(&none(self.last.position).to_le_bytes());
        bytes[56..88].copy_from_slice(&self.last.hash.0);
        let sum = crc32c::crc32c(&bytes[..SEGMENT_SUM]);
        bytes[SEGMENT_SUM..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER]) -> Result<Self, NoSegment> {
        let sum = u32::from_le_bytes(array(bytes, SEGMENT_SUM));
        if bytes[..8] != *MAGIC || sum != crc32c::crc32c(&bytes[..SEGMENT_SUM]) {
            return Err(NoSegment::Broken);
        }
        let version = u32::from_le_bytes(array(bytes, 8));
        if version != FORMAT {
            return Err(NoSegment::Version(version));
        }
        let last = Head {
            seq: u64::from_le_bytes(array(bytes, 40)),
            position: some(u64::from_le_bytes(array(bytes, 48))),
            hash: Hash(array(bytes, 56)),
        };
        Ok(Self { base: u64::from_le_bytes(array(bytes, 16)), store: array(bytes, 24), last })
    }
}

/// One record as it stands on disk, its checksum verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a> {
    /// Header and body.
    bytes: &'a [u8],
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRecord {
    /// Zeros: nothing was written there yet.
    Nothing,
    /// They do not verify.
    Broken,
    /// So many bytes are needed to tell.
    Short(usize),
}

impl<'a> Raw<'a> {
    /// The record that starts with the first of `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, NoRecord> {
        if bytes.len() < RECORD_HEADER {
            return Err(NoRecord::Short(RECORD_HEADER));
        }
        let length = u32::from_le_bytes(array(bytes, 0)) as usize;
        if length == 0 {
            let blank = bytes[..RECORD_HEADER].iter().all(|&byte| byte == 0);
            return Err(if blank { NoRecord::Nothing } else { NoRecord::Broken });
        }
        if length > MAX_BODY {
            return Err(NoRecord::Broken);
        }
        let whole = RECORD_HEADER + length;
        let Some(bytes) = bytes.get(..whole) else { return Err(NoRecord::Short(whole)) };
        let raw = Self { bytes };
        if u32::from_le_bytes(array(bytes, 4)) == checksum(bytes) {
            Ok(raw)
        } else {
            Err(NoRecord::Broken)
        }
    }

    pub(crate) fn seq(&self) -> u64 {
        u64::from_le_bytes(array(self.bytes, 8))
    }

    /// The last record known to be synced when this one was written.
    pub(crate) fn synced(&self) -> u64 {
        u64::from_le_bytes(array(self.bytes, 16))
    }

    /// The record before.
    pub(crate) fn prev(&self) -> Head {
        Head {
            seq: self.seq().saturating_sub(1),
            position: some(u64::from_le_bytes(array(self.bytes, 24))),
            hash: Hash(array(self.bytes, 32)),
        }
    }

    pub(crate) fn kind(&self) -> u16 {
        u16::from_le_bytes(array(self.bytes, 64))
    }

    pub(crate) fn version(&self) -> u16 {
        u16::from_le_bytes(array(self.bytes, 66))
    }

    pub(crate) fn hash(&self) -> Hash {
        digest(&self.bytes[8..])
    }

    pub(crate) fn body(&self) -> &'a [u8] {
        &self.bytes[RECORD_HEADER..]
    }

    /// How many bytes it takes up.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Puts the header in front of the body that `record` holds after its first 68 bytes, and tells
/// the hash of the whole.
pub(crate) fn seal(record: &mut [u8], prev: Head, synced: u64) -> Hash {
    let length = u32::try_from(record.len() - RECORD_HEADER).unwrap_or(u32::MAX);
    record[..4].copy_from_slice(&length.to_le_bytes());
    record[8..16].copy_from_slice(&(prev.seq + 1).to_le_bytes());
    record[16..24].copy_from_slice(&synced.to_le_bytes());
    record[24..32].copy_from_slice(&none(prev.position).to_le_bytes());
    record[32..64].copy_from_slice(&prev.hash.0);
    record[64..66].copy_from_slice(&ENTRIES.to_le_bytes());
    record[66..68].copy_from_slice(&BODY_VERSION.to_le_bytes());
    let sum = checksum(record);
    record[4..8].copy_from_slice(&sum.to_le_bytes());
    digest(&record[8..])
}

/// SHA-256 of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

/// The name of the segment that starts at `base`.
pub(crate) fn segment_name(base: u64) -> String {
    format!("{base:016x}.journal")
}

/// The base of the segment of that name, if it is one.
pub(crate) fn segment_base(name: &str) -> Option<u64> {
    let hex = name.strip_suffix(".journal").filter(|hex| hex.len() == 16)?;
    u64::from_str_radix(hex, 16).ok().filter(|base| segment_name(*base) == name)
}

fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..])
}

pub(crate) fn none(position: Option<u64>) -> u64 {
    position.unwrap_or(NONE)
}

pub(crate) fn some(position: u64) -> Option<u64> {
    (position != NONE).then_some(position)
}

/// The `N` bytes at `at`; every caller's `at` is a fixed place in a header it has checked.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
