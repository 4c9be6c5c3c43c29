//! Looking things up in the record, and paging through it, newest first and without an index.

use super::{
    StoreError,
    format::MAX_BODY,
    record::{Line, Texts},
    segments::Segments,
};
use crate::policy::names::{Handle, PaymentId};

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

/// How many bytes one page reads at the most, the last record whole: a page that would read more
/// ends there, and the next one goes on.
const MAX_READ: usize = 2 * MAX_BODY;

/// How many entries one page looks at, at the most, for those that it keeps.
pub const MAX_LOOKED: usize = 5_000;

/// What becomes of an entry that a page comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is on the page.
    Take,
    /// It is not.
    Skip,
    /// It is not, and nothing older is: the ledger ends here.
    End,
}

/// Says what becomes of an entry.
type Keeper<'k> = &'k mut dyn FnMut(&Line) -> Result<Keep, StoreError>;

/// One page in the making.
struct Walk<'k> {
    limit: usize,
    keep: Keeper<'k>,
    lines: Vec<(u64, Line)>,
    looked: usize,
    /// How many bytes were read.
    read: usize,
}

impl Walk<'_> {
    fn is_full(&self) -> bool {
        self.lines.len() >= self.limit || self.looked >= MAX_LOOKED
    }

    /// Takes a look at an entry; whether there is any point in going on.
    fn see(&mut self, position: u64, line: Line) -> Result<bool, StoreError> {
        self.looked += 1;
        let keep = (self.keep)(&line)?;
        if keep == Keep::Take {
            self.lines.push((position, line));
        }
        Ok(keep != Keep::End)
    }
}

/// Follows an agent's own chain back from the entry at `from`.
pub(crate) fn of_agent(
    segments: &Segments,
    agent: &Handle,
    from: Cursor,
    limit: usize,
    keep: Keeper<'_>,
) -> Result<Page, StoreError> {
    let named = format!(r#""agent":"{agent}""#);
    follow(segments, from, limit, keep, |walk, texts, Cursor { position, mut n }| {
        let mut before = None;
        for index in (0..texts.len()).rev().filter(|index| texts.says(*index, &named)) {
            let line = texts.line(index)?;
            let chain = line.entry.chain.filter(|_| line.entry.agent.as_ref() == Some(agent));
            let Some(chain) = chain.filter(|chain| chain.n == n) else { continue };
            if walk.is_full() {
                return Ok(Some(Cursor { position, n }));
            }
            before = Some(chain.prev);
            n = chain.n.saturating_sub(1);
            if !walk.see(position, line)? {
                return Ok(None);
            }
        }
        match before {
            None => Err(StoreError::NoRecord { position }),
            // Inside one record the next entry may stand beside this one; that was just taken.
            Some(Some(prev)) if prev >= position => Err(StoreError::NoRecord { position: prev }),
            Some(prev) => Ok(prev.map(|position| Cursor { position, n })),
        }
    })
}

/// Follows the journal's chain back from the entry at `from`.
pub(crate) fn of_all(
    segments: &Segments,
    from: Cursor,
    limit: usize,
    keep: Keeper<'_>,
) -> Result<Page, StoreError> {
    follow(segments, from, limit, keep, |walk, texts, Cursor { position, n }| {
        let end = usize::try_from(n).unwrap_or(usize::MAX).min(texts.len());
        for index in (0..end).rev() {
            if walk.is_full() {
                return Ok(Some(Cursor { position, n: index as u64 + 1 }));
            }
            if !walk.see(position, texts.line(index)?)? {
                return Ok(None);
            }
        }
        Ok(texts.prev.filter(|prev| *prev < position).map(Cursor::all))
    })
}

/// The entry that began a payment or refusal, if the record that its id leads to has it.
pub(crate) fn first(segments: &Segments, payment: PaymentId) -> Result<Option<Line>, StoreError> {
    let (position, id) = (payment.position(), payment.to_string());
    segments.record(position, |raw| {
        let texts = Texts::of(segments, position, &raw)?;
        for index in (0..texts.len()).filter(|index| texts.says(*index, &id)) {
            let line = texts.line(index)?;
            if line.entry.fact.begins() == Some(payment) {
                return Ok(Some(line));
            }
        }
        Ok(None)
    })?
}

/// Goes from record to record until the page is full; `each` says where the next one is.
fn follow(
    segments: &Segments,
    from: Cursor,
    limit: usize,
    keep: Keeper<'_>,
    each: impl Fn(&mut Walk<'_>, &Texts<'_>, Cursor) -> Result<Option<Cursor>, StoreError>,
) -> Result<Page, StoreError> {
    let limit = limit.clamp(1, MAX_PAGE);
    let mut walk = Walk { limit, keep, lines: Vec::new(), looked: 0, read: 0 };
    let mut next = Some(from);
    while let Some(cursor) = next.filter(|_| !walk.is_full() && walk.read < MAX_READ) {
        let found = segments.record(cursor.position, |raw| {
            let texts = Texts::of(segments, cursor.position, &raw)?;
            walk.read += texts.size;
            each(&mut walk, &texts, cursor)
        });
        next = match found {
            // What was found is told; whoever asks for more is told where that is.
            Err(StoreError::Archived { .. }) if walk.looked > 0 => break,
            found => found??,
        };
    }
    Ok(Page { lines: walk.lines, next })
}
