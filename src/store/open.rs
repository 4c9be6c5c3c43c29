//! Opening: the state from the desk, the rest from the journal, and the torn tail cut.

use std::{path::Path, sync::Arc};

use super::{
    Options, StoreError,
    desk::{Desk, DeskThread, Held, Mark},
    disk::Disk,
    format::Head,
    journal::{Journal, Unsure, origin},
    record::{Chains, Record},
    segments::Segments,
    walk::{Place, Torn, judge, walk},
    writer::Writer,
};
use crate::policy::{documents::Document, state::State};

/// What was found at the end of the journal and on the desk when a store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What was cut from the end of the journal.
    pub torn: Option<Torn>,
    /// How many records were replayed.
    pub replayed: u64,
    /// Whether the desk could not be used, so that the whole journal was replayed.
    pub rebuilt: bool,
}

/// How far a replay came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The last record.
    pub head: Head,
    /// Unsynced bytes behind it, which the next start cuts; never looked for beside a writer.
    pub torn: Option<Torn>,
}

pub(crate) struct Ready {
    pub(crate) writer: Writer,
    pub(crate) segments: Arc<Segments>,
    pub(crate) opened: Opened,
}

/// Brings desk and journal together; only what is beyond doubt is ever changed on disk.
pub(crate) fn open(journal: Arc<dyn Disk>, options: Options) -> Result<Ready, StoreError> {
    let segments = Arc::new(Segments::find(journal)?);
    let (desk, known) = match &options.desk {
        Some(path) => Desk::open(path)?,
        None => (None, None),
    };
    let known = known.filter(|held| held.mark.head.seq > 0);
    let rebuilt = known.is_none();
    let mut state = State::default();
    let mut replayed = 0;
    let (journal, torn) = match origin(&segments)? {
        None => {
            if let Some(Held { mark, .. }) = &known {
                return Err(older(mark, "there is no journal"));
            }
            (Journal::begin_store(Arc::clone(&segments), options.segment_bytes)?, None)
        }
        Some((store, origin)) => {
            let place = match known {
                Some(held) => {
                    let place = place_of(&segments, &held.mark, store, origin)?;
                    put_back(&mut state, held);
                    place
                }
                None => whole(origin)?,
            };
            let mut unsure = Unsure::default();
            let place = walk(&segments, place, None, |position, raw| {
                Record::read(&segments, position, raw)?.fold(&mut state);
                unsure.saw(position, raw);
                replayed += 1;
                Ok(())
            })?;
            let bytes = options.segment_bytes;
            Journal::resume(Arc::clone(&segments), bytes, store, place, &unsure)?
        }
    };
    if let Some(Torn { file, offset, bytes }) = &torn {
        tracing::warn!(file, offset, bytes, "bytes that were never synced were cut");
    }
    let writer = Writer {
        journal,
        state,
        clock: options.clock,
        salt: salt()?,
        desk: desk.map(DeskThread::start).transpose()?,
        desk_is_blank: rebuilt,
        poison: None,
        after_write: Vec::new(),
        after_sync: Vec::new(),
        tick_is_due: true,
    };
    let rebuilt = rebuilt && replayed > 0;
    Ok(Ready { writer, segments, opened: Opened { torn, replayed, rebuilt } })
}

/// What a store that nobody has open holds, as far as a quick look tells.
#[derive(Debug)]
pub struct Looked {
    /// The last record.
    pub head: Head,
    /// The record the desk goes up to, and its documents, where it can be read.
    pub desk: Option<(Head, Vec<Document>)>,
}

/// Looks at a store that nobody has open: how far it goes, and what its desk holds. The journal is
/// walked only from where the desk goes up to.
///
/// The caller holds the lock on the journal. A desk that cannot be read counts as none: the next
/// start builds it anew.
pub fn look(journal: Arc<dyn Disk>, desk: &Path) -> Result<Looked, StoreError> {
    let segments = Segments::find(journal)?;
    let held = match desk.exists().then(|| Desk::look(desk)) {
        Some(Err(error @ StoreError::InUse { .. })) => return Err(error),
        Some(Err(error)) => {
            tracing::warn!(%error, "the desk cannot be read, only the journal is looked at");
            None
        }
        Some(Ok(held)) => held.filter(|held| held.mark.head.seq > 0),
        None => None,
    };
    let Some((store, origin)) = origin(&segments)? else {
        return match &held {
            Some(held) => Err(older(&held.mark, "there is no journal")),
            None => Ok(Looked { head: Head::genesis([0; 16]), desk: None }),
        };
    };
    let place = match &held {
        Some(held) => place_of(&segments, &held.mark, store, origin)?,
        None => whole(origin)?,
    };
    let place = walk(&segments, place, None, |_, _| Ok(()))?;
    judge(&segments, &place)?;
    let desk = held.map(|held| (held.mark.head, held.documents));
    Ok(Looked { head: place.head, desk })
}

fn put_back(state: &mut State, held: Held) {
    for document in held.documents {
        state.restore(document);
    }
    state.restore_now(held.mark.now);
}

/// The place behind the record that the desk was last brought up to.
fn place_of(
    segments: &Segments,
    mark: &Mark,
    store: [u8; 16],
    origin: Place,
) -> Result<Place, StoreError> {
    if store != mark.store {
        return Err(older(mark, "this is the journal of another store"));
    }
    let Some(position) = mark.head.position else { return Ok(origin) };
    let found = segments.record(position, |raw| (raw.seq(), raw.hash(), raw.size() as u64));
    match found {
        Ok((seq, hash, size)) => {
            if seq != mark.head.seq || hash != mark.head.hash {
                return Err(older(mark, "another record stands in its place"));
            }
            let base = segments.base_of(position).unwrap_or(0);
            Ok(Place { base, position: position + size, head: mark.head })
        }
        Err(StoreError::NoRecord { .. }) => {
            let end = walk(segments, origin, None, |_, _| Ok(()))?;
            if judge(segments, &end)?.torn.is_some() {
                let problem = format!("record {} does not verify", end.head.seq + 1);
                return Err(Segments::damage(end.base, end.position, problem));
            }
            Err(older(mark, &format!("it ends with record {}", end.head.seq)))
        }
        Err(error) => Err(error),
    }
}

/// The place before the very first record.
fn whole(origin: Place) -> Result<Place, StoreError> {
    if origin.base == 0 {
        return Ok(origin);
    }
    Err(Segments::damage(origin.base, origin.base, "the segments before it are missing"))
}

fn older(mark: &Mark, problem: &str) -> StoreError {
    StoreError::OlderThanDesk { desk: mark.head.seq, problem: problem.to_owned() }
}

fn salt() -> Result<u16, StoreError> {
    let mut salt = [0; 2];
    getrandom::fill(&mut salt).map_err(|error| StoreError::Io {
        doing: "draw a salt for",
        file: "payment ids".to_owned(),
        cause: error.to_string(),
    })?;
    Ok(u16::from_le_bytes(salt))
}

/// Reads and checks the whole journal: every checksum, every link from record to record and from
/// an agent's entry to the one before, every segment's header.
///
/// It changes nothing, and may run beside a writer: then `upto` is the last record that is known
/// to be there, and anything missing up to it is damage.
pub fn replay(
    disk: Arc<dyn Disk>,
    upto: Option<u64>,
    mut visit: impl FnMut(&Record),
) -> Result<Replayed, StoreError> {
    let segments = Segments::find(disk)?;
    let Some((store, origin)) = origin(&segments)? else {
        return match upto {
            None | Some(0) => Ok(Replayed { head: Head::genesis([0; 16]), torn: None }),
            Some(upto) => {
                Err(Segments::damage(0, 0, format!("record {upto} is missing: no journal")))
            }
        };
    };
    let place = Place { head: Head::genesis(store), ..whole(origin)? };
    let mut chains = Chains::default();
    let place = walk(&segments, place, upto, |position, raw| {
        let record = Record::read(&segments, position, raw)?;
        let follows = chains.follow(&record);
        visit(&record);
        follows.map_err(|problem| {
            Segments::damage(segments.base_of(position).unwrap_or(0), position, problem)
        })
    })?;
    let torn = if upto.is_none() { judge(&segments, &place)?.torn } else { None };
    Ok(Replayed { head: place.head, torn })
}
