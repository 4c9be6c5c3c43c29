//! What can go wrong with the record, named by cause.

use std::{io, path::PathBuf};

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory that others could read or change, or that is not what it should be.
    #[error("`{}` {problem}; to mend it: {fix}", .path.display())]
    Unsafe {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The command that mends it.
        fix: String,
    },
    /// Another process works on the same data.
    #[error("`{}` is in use by another process", .path.display())]
    InUse {
        /// What it holds.
        path: PathBuf,
    },
    /// The journal was written by a pettycash that knows more than this one.
    #[error("`{file}` has format version {version}, which this pettycash does not know")]
    UnknownFormat {
        /// The segment.
        file: String,
        /// Its version.
        version: u32,
    },
    /// The journal is not what was once written and synced.
    #[error("the journal is damaged in `{file}` at offset {offset}: {problem}")]
    Damaged {
        /// The segment.
        file: String,
        /// Where in it.
        offset: u64,
        /// What does not verify.
        problem: String,
    },
    /// The journal lacks what the desk was already told: it is an older copy, or another one.
    #[error("the journal is older than the desk, which was written from record {desk}: {problem}")]
    OlderThanDesk {
        /// The record that the desk was last brought up to.
        desk: u64,
        /// What the journal has instead.
        problem: String,
    },
    /// The journal lacks what the head anchor names: it is an older copy, or another one.
    #[error("the journal is not the one of which the head anchor names record {anchor}: {problem}")]
    OlderThanAnchor {
        /// The record that the anchor names.
        anchor: u64,
        /// What the journal has instead.
        problem: String,
    },
    /// The operator was to accept what is left of a journal, and nothing is.
    #[error("there is nothing that could be gone on from: {cause}")]
    Lost {
        /// What is wrong with it.
        cause: String,
    },
    /// The operator was to accept something, and nothing is wrong.
    #[error("the record is sound as it is: there is nothing to accept")]
    NothingToAccept,
    /// Only the segments that were moved away, or a desk that is gone too, know how it began.
    #[error("the journal begins with `{file}`, and what was before it is nowhere else")]
    Beheaded {
        /// The first segment that is there.
        file: String,
    },
    /// There is no room for another record; nothing was changed.
    #[error("the disk is full")]
    Full,
    /// There is so little room left that no new payment is taken on; nothing was changed.
    #[error(
        "only {} MiB are free on the disk, new payments need {} MiB",
        .free / 1_048_576, .needed / 1_048_576
    )]
    Low {
        /// How many bytes are free.
        free: u64,
        /// How many there must be.
        needed: u64,
    },
    /// It is in force in this process, and not known to be recorded.
    #[error("it is in force while this process runs, and may not be recorded: {cause}")]
    InMemory {
        /// Why it is not recorded.
        cause: String,
    },
    /// A write or sync failed before: what it was to make durable may be lost, and nothing more is
    /// taken on until the process starts anew.
    #[error("the record cannot be written since this failed: {cause}")]
    Poisoned {
        /// What failed first.
        cause: String,
    },
    /// The record was made, and then the disk failed: it may survive, or not.
    #[error("it may have been recorded, or not: {cause}")]
    Uncertain {
        /// What failed.
        cause: String,
    },
    /// The decision broke off; it changed nothing.
    #[error("the decision broke off")]
    Panicked,
    /// The decision was to record more than one record holds; it changed nothing.
    #[error("{bytes} bytes are more than one record holds")]
    TooLarge {
        /// How much it would have been.
        bytes: usize,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// No record starts there.
    #[error("no record starts at {position}")]
    NoRecord {
        /// Where it was looked for.
        position: u64,
    },
    /// The record is in a segment that was moved away.
    #[error("older entries are in segments that were moved out of the journal")]
    Archived {
        /// Where it was looked for.
        position: u64,
    },
    /// The disk refused.
    #[error("could not {doing} `{file}`: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        file: String,
        /// What the system answered.
        cause: String,
    },
}

impl StoreError {
    /// Whether it is what a store is sealed for: it is read, and never written.
    pub fn seals(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Beheaded { .. }
                | Self::OlderThanDesk { .. }
                | Self::OlderThanAnchor { .. }
        )
    }

    /// Whether the record can be read where a commit failed like this.
    pub fn leaves_reading(&self) -> bool {
        matches!(self, Self::Full | Self::Poisoned { .. } | Self::Uncertain { .. }) || self.seals()
    }

    /// What an operator does about it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::OlderThanDesk { .. } | Self::OlderThanAnchor { .. } => Some(
                "bring the newer data directory back; or go on from this one with \
                 `pettycash recover accept-rollback`, which freezes every agent first",
            ),
            Self::Damaged { .. } => Some(
                "bring the file back from a copy; or go on without what does not verify with \
                 `pettycash recover cut`, which keeps it aside and freezes every agent first",
            ),
            Self::Beheaded { .. } => Some(
                "move the archived segments back beside it, and the desk is made anew from them",
            ),
            Self::Lost { .. } => Some(
                "bring the directory `journal` back from a copy; or move the whole data directory \
                 aside, and begin anew with `pettycash init`",
            ),
            Self::Full | Self::Low { .. } => Some("make room on the disk of the data directory"),
            Self::InMemory { .. } => Some(
                "make room on the disk, and it is recorded by itself; or, where the disk failed, \
                 do it again once `serve` was started anew",
            ),
            Self::Archived { .. } => Some("move the segments back to read them"),
            Self::NoRecord { .. } => Some("`pettycash verify` says where the record is damaged"),
            Self::Poisoned { .. } => Some(
                "see to the disk, then end `serve` and start it again: it begins with what the \
                 disk really holds",
            ),
            _ => None,
        }
    }

    /// An answer of the system, with what was being done to which file.
    pub(crate) fn io(doing: &'static str, file: impl Into<String>, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { doing, file: file.into(), cause: error.to_string() },
        }
    }
}
