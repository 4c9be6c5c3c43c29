//! Records as the rest of the house sees them: entries, with where they stand and their hashes.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    StoreError,
    format::{MAX_BODY, Raw, digest},
    journal::Journal,
    segments::Segments,
};
use crate::policy::{
    book::Link,
    entry::{Chain, Draft, Entry, Hash},
    names::Handle,
    state::State,
};

/// One record: what one commit wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where it starts in the journal.
    pub position: u64,
    /// Its number, from 1.
    pub seq: u64,
    /// Where the record before starts, if there is one.
    pub prev: Option<u64>,
    /// Its hash.
    pub hash: Hash,
    /// Its entries, in the order in which they were folded in.
    pub lines: Vec<Line>,
}

/// One entry, with the hash that the agent's next entry links to.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The entry.
    pub entry: Entry,
    /// The hash of its text in the record.
    pub hash: Hash,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

/// The entries of one record as they are written, each of which is read once it is asked for: a
/// policy of ten thousand agents is one record, and whoever pages through his ledger wants few
/// lines of it.
pub(crate) struct Texts<'a> {
    /// Where the record before starts, if there is one.
    pub(crate) prev: Option<u64>,
    /// How many bytes the record takes up.
    pub(crate) size: usize,
    segments: &'a Segments,
    position: u64,
    entries: Vec<&'a RawValue>,
}

impl<'a> Texts<'a> {
    /// The texts of a record whose checksum was verified.
    pub(crate) fn of(
        segments: &'a Segments,
        position: u64,
        raw: &Raw<'a>,
    ) -> Result<Self, StoreError> {
        let body = serde_json::from_slice::<Body<'_>>(raw.body());
        let Body { entries } = body.map_err(|error| unreadable(segments, position, &error))?;
        let (prev, size) = (raw.prev().position, raw.size());
        Ok(Self { prev, size, segments, position, entries })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the entry says `word` anywhere. What it says for a key or a name of ours is in it
    /// as it is, for there is nothing in those that would be written otherwise.
    pub(crate) fn says(&self, index: usize, word: &str) -> bool {
        self.entries.get(index).is_some_and(|text| text.get().contains(word))
    }

    /// Reads one, with its hash.
    pub(crate) fn line(&self, index: usize) -> Result<Line, StoreError> {
        let text = self.entries.get(index).map_or("", |text| text.get());
        let hash = digest(text.as_bytes());
        let entry = serde_json::from_str(text);
        let entry = entry.map_err(|error| unreadable(self.segments, self.position, &error))?;
        Ok(Line { entry, hash })
    }
}

fn unreadable(segments: &Segments, position: u64, error: &serde_json::Error) -> StoreError {
    let base = segments.base_of(position).unwrap_or(0);
    Segments::damage(base, position, format!("the entries cannot be read: {error}"))
}

impl Record {
    /// Reads the record at `position`, if there is one.
    pub(crate) fn at(segments: &Segments, position: u64) -> Result<Self, StoreError> {
        segments.record(position, |raw| Self::read(segments, position, &raw))?
    }

    /// Reads the entries of a record whose checksum was verified.
    pub(crate) fn read(
        segments: &Segments,
        position: u64,
        raw: &Raw<'_>,
    ) -> Result<Self, StoreError> {
        let texts = Texts::of(segments, position, raw)?;
        let lines = (0..texts.len()).map(|index| texts.line(index)).collect::<Result<_, _>>()?;
        Ok(Self { position, seq: raw.seq(), prev: texts.prev, hash: raw.hash(), lines })
    }

    /// Folds the entries into `state`.
    pub fn fold(&self, state: &mut State) {
        for Line { entry, hash } in &self.lines {
            state.apply(entry, self.position, *hash);
        }
    }
}

/// Puts drafts in their place, writes them as one record, and gives back what is to be folded in.
///
/// Nothing is folded in here, so that a record that cannot be made changes nothing.
pub(crate) fn stamp(
    journal: &mut Journal,
    state: &State,
    drafts: Vec<Draft>,
    at: Timestamp,
) -> Result<(u64, Vec<Line>), StoreError> {
    let position = journal.position();
    // Entries of one agent in one record follow one another before the state knows of any.
    let mut chained: BTreeMap<Handle, Link> = BTreeMap::new();
    let mut lines = Vec::with_capacity(drafts.len());
    let body = journal.begin();
    let begun = body.len();
    body.extend_from_slice(br#"{"entries":["#);
    for Draft { agent, by, fact } in drafts {
        if !lines.is_empty() {
            body.push(b',');
        }
        let chain = agent
            .as_ref()
            .map(|agent| next(chained.get(agent).copied().or_else(|| state.link(agent))));
        let entry = Entry { at, agent, chain, by, fact };
        let start = body.len();
        if serde_json::to_writer(&mut *body, &entry).is_err() {
            journal.abandon();
            return Err(StoreError::Panicked);
        }
        let hash = digest(&body[start..]);
        if let (Some(agent), Some(chain)) = (&entry.agent, chain) {
            chained.insert(agent.clone(), Link { n: chain.n, position, hash });
        }
        lines.push(Line { entry, hash });
        // What is too large is known to be so before all of it is made.
        if body.len() - begun > MAX_BODY {
            break;
        }
    }
    body.extend_from_slice(b"]}");
    journal.seal()?;
    Ok((position, lines))
}

fn next(link: Option<Link>) -> Chain {
    match link {
        Some(Link { n, position, hash }) => {
            Chain { n: n.saturating_add(1), prev: Some(position), prev_hash: hash }
        }
        None => Chain { n: 1, prev: None, prev_hash: Hash::default() },
    }
}

/// Follows every agent's chain through the whole journal.
pub(crate) struct Chains {
    links: HashMap<Handle, Link>,
    /// Whether the journal is read from its beginning.
    whole: bool,
}

impl Chains {
    pub(crate) fn new(whole: bool) -> Self {
        Self { links: HashMap::new(), whole }
    }

    /// Says which entry does not follow the one before it.
    pub(crate) fn follow(&mut self, record: &Record) -> Result<(), String> {
        for Line { entry, hash } in &record.lines {
            let Some(agent) = &entry.agent else { continue };
            let known = self.links.get(agent).copied();
            let expected = next(known);
            // Where the beginning was moved away, an agent's first entry here follows from there.
            let unknown = known.is_none() && !self.whole && entry.chain.is_some();
            if entry.chain != Some(expected) && !unknown {
                return Err(format!("entry {} of `{agent}` does not follow", expected.n));
            }
            let n = entry.chain.map_or(expected.n, |chain| chain.n);
            let link = Link { n, position: record.position, hash: *hash };
            self.links.insert(agent.clone(), link);
        }
        Ok(())
    }
}
