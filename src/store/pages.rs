//! Looking things up in the record, and paging through it, newest first and without an index.

use super::{
    StoreError,
    record::{Line, Record},
    segments::Segments,
};
use crate::policy::names::Handle;

/// The most entries one page holds.
pub const MAX_PAGE: usize = 1000;

/// The entry that a page starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The record it is in.
    pub position: u64,
    /// Its number: in the agent's ledger, or in the record (from 1) where all agents are paged.
    pub n: u64,
}

impl Cursor {
    /// The last entry of the record at `position`, where all agents are paged.
    pub fn all(position: u64) -> Self {
        Self { position, n: u64::MAX }
    }
}

/// Some entries, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The entries, each with the position of its record.
    pub lines: Vec<(u64, Line)>,
    /// Where the next page starts, if there is more.
    pub next: Option<Cursor>,
}

/// Follows an agent's own chain back from the entry at `from`.
pub(crate) fn of_agent(
    segments: &Segments,
    agent: &Handle,
    from: Cursor,
    limit: usize,
) -> Result<Page, StoreError> {
    let limit = limit.clamp(1, MAX_PAGE);
    let mut lines = Vec::new();
    let mut next = Some(from);
    while let Some(Cursor { position, mut n }) = next {
        let record = match Record::at(segments, position) {
            // What was found is told; whoever asks for more is told where that is.
            Err(StoreError::Archived { .. }) if !lines.is_empty() => {
                return Ok(Page { lines, next: Some(Cursor { position, n }) });
            }
            found => found?,
        };
        let mut before = None;
        for line in record.lines.into_iter().rev() {
            let chain = line.entry.chain.filter(|_| line.entry.agent.as_ref() == Some(agent));
            let Some(chain) = chain.filter(|chain| chain.n == n) else { continue };
            if lines.len() == limit {
                return Ok(Page { lines, next: Some(Cursor { position, n }) });
            }
            before = Some(chain.prev);
            n = chain.n.saturating_sub(1);
            lines.push((position, line));
        }
        let Some(prev) = before else { return Err(StoreError::NoRecord { position }) };
        next = match prev {
            // Inside one record the next entry may stand beside this one; that was just taken.
            Some(prev) if prev >= position => return Err(StoreError::NoRecord { position: prev }),
            Some(prev) => Some(Cursor { position: prev, n }),
            None => None,
        };
    }
    Ok(Page { lines, next })
}

/// Follows the journal's chain back from the entry at `from`.
pub(crate) fn of_all(segments: &Segments, from: Cursor, limit: usize) -> Result<Page, StoreError> {
    let limit = limit.clamp(1, MAX_PAGE);
    let mut lines = Vec::new();
    let mut next = Some(from);
    while let Some(Cursor { position, n }) = next {
        let record = match Record::at(segments, position) {
            Err(StoreError::Archived { .. }) if !lines.is_empty() => {
                return Ok(Page { lines, next: Some(Cursor { position, n }) });
            }
            found => found?,
        };
        for (n, line) in (1..=n).zip(record.lines).collect::<Vec<_>>().into_iter().rev() {
            if lines.len() == limit {
                return Ok(Page { lines, next: Some(Cursor { position, n }) });
            }
            lines.push((position, line));
        }
        next = record.prev.filter(|prev| *prev < position).map(Cursor::all);
    }
    Ok(Page { lines, next })
}
