//! Opening: the state from the desk, the rest from the journal, and the torn tail cut.
//!
//! A journal that is not what was once synced is sealed: it is read as far as it verifies, and
//! never written, until an operator says what is to become of it.

use std::{path::Path, sync::Arc};

use super::{
    Options, StoreError,
    anchor::{self, Anchor, AnchorThread},
    condition::{Recording, Shared},
    desk::{Desk, DeskThread, Held, Mark},
    disk::Disk,
    format::{Head, StoreId},
    journal::{Journal, Unsure, origin},
    record::Record,
    segments::Segments,
    space::Space,
    walk::{Place, Tail, Torn, judge, walk},
    writer::Writer,
};
use crate::policy::{
    documents::Document,
    entry::{By, Draft, Fact, Incident},
    state::State,
};

/// What was found at the end of the journal and on the desk when a store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What was cut from the end of the journal.
    pub torn: Option<Torn>,
    /// How many records were replayed.
    pub replayed: u64,
    /// Whether the desk could not be used, so that the whole journal was replayed.
    pub rebuilt: bool,
    /// Whether a journal with records had no head anchor, and was taken for the present one.
    pub adopted: bool,
}

pub(crate) struct Ready {
    pub(crate) writer: Writer,
    pub(crate) segments: Arc<Segments>,
    pub(crate) opened: Opened,
    pub(crate) condition: Shared,
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
    let mut found = Found::default();
    let verdict = found.look(&segments, known, options.anchor.as_deref());
    let Found { store, place, state, replayed, unsure, anchor } = found;
    let mut opened = Opened { torn: None, replayed, rebuilt: false, adopted: false };
    let begun = match verdict {
        Ok(tail) => {
            opened.torn.clone_from(&tail.torn);
            begin(&segments, &options, store.zip(place), &tail, &unsure)
        }
        Err(error) => Err(error),
    };
    let (journal, anchor, poison) = match begun {
        Ok(journal) => {
            opened.adopted = !matches!(anchor, anchor::Found::Held(_)) && journal.head().seq > 0;
            let anchor = options.anchor.map(|disk| take_up(disk, &journal, &state, &anchor));
            (journal, anchor.flatten(), None)
        }
        Err(error) if error.seals() => {
            tracing::error!(%error, remedy = error.remedy(), "the record is sealed");
            let (store, place) = (store.unwrap_or_default(), place.unwrap_or_else(nowhere));
            (Journal::sealed(Arc::clone(&segments), store, place), None, Some(error))
        }
        Err(error) => return Err(error),
    };
    opened.adopted &= anchor.is_some();
    report(&opened);
    opened.rebuilt = rebuilt && replayed > 0;
    let recording = poison.clone().map_or(Recording::Sound, Recording::Sealed);
    let condition = Shared::new(recording, anchor.is_some());
    // The desk of a sealed store stays as it is: it may know more than the journal.
    let desk = desk.filter(|_| poison.is_none()).map(DeskThread::start).transpose()?;
    let anchor = anchor.map(|anchor| AnchorThread::start(anchor, condition.clone())).transpose()?;
    let room = Arc::clone(&segments.disk);
    let writer = Writer {
        space: Space::find(room, options.low_water, options.ballast),
        segments: Arc::clone(&segments),
        journal,
        state,
        clock: options.clock,
        salt: salt()?,
        desk,
        desk_is_blank: rebuilt,
        anchor,
        condition: condition.clone(),
        poison,
        owed: opened.incidents(),
        after_write: Vec::new(),
        after_sync: Vec::new(),
        after_anchor: Vec::new(),
        tick_is_due: true,
    };
    Ok(Ready { writer, segments, opened, condition })
}

impl Opened {
    /// What is to be written down of it.
    fn incidents(&self) -> Vec<Draft> {
        let torn = self.torn.clone().map(|torn| {
            let Torn { file, offset, bytes } = torn;
            Incident::TailCut { file, offset, bytes }
        });
        let adopted = self.adopted.then_some(Incident::AnchorAdopted);
        torn.into_iter().chain(adopted).map(incident).collect()
    }
}

/// What happened to the record, to be written down.
pub(crate) fn incident(incident: Incident) -> Draft {
    Draft { agent: None, by: By::Engine, fact: Fact::Incident(incident) }
}

fn report(opened: &Opened) {
    if let Some(Torn { file, offset, bytes }) = &opened.torn {
        tracing::warn!(file, offset, bytes, "bytes that were never synced were cut");
    }
    if opened.adopted {
        tracing::warn!("there was no head anchor: this copy of the record is taken for the latest");
    }
}

/// What was found of a store, as far as all is well.
struct Found {
    /// Whose journal it is, if there is one.
    store: Option<StoreId>,
    /// How far it verifies.
    place: Option<Place>,
    state: State,
    replayed: u64,
    unsure: Unsure,
    anchor: anchor::Found,
}

impl Default for Found {
    fn default() -> Self {
        let anchor = anchor::Found::Missing;
        let (state, unsure) = (State::default(), Unsure::default());
        Self { store: None, place: None, state, replayed: 0, unsure, anchor }
    }
}

impl Found {
    /// Looks at all there is, and says what follows the last record, or what is wrong.
    fn look(
        &mut self,
        segments: &Segments,
        known: Option<Held>,
        anchors: Option<&dyn Disk>,
    ) -> Result<Tail, StoreError> {
        let mark = known.as_ref().map(|held| held.mark.clone());
        if let Some(held) = known {
            put_back(&mut self.state, held);
        }
        let Some((store, origin)) = origin(segments)? else {
            return match &mark {
                Some(mark) => Err(older(mark, "there is no journal")),
                None => Ok(Tail { torn: None, end: 0 }),
            };
        };
        self.store = Some(store);
        if let Some(disk) = anchors {
            self.anchor = anchor::find(disk, store);
        }
        let anchor = self.anchor.head();
        let mut place = origin;
        let placed = match &mark {
            Some(mark) => place_of(segments, mark, store, &mut place),
            None => whole(&place),
        };
        if placed.is_err() {
            self.place = Some(place);
            placed?;
        }
        self.walk(segments, &mut place, anchor)
    }

    /// Folds in what follows `place`, and holds it against the anchor.
    fn walk(
        &mut self,
        segments: &Segments,
        place: &mut Place,
        anchor: Option<Head>,
    ) -> Result<Tail, StoreError> {
        let from = place.head;
        let mut passed = None;
        let walked = walk(segments, place, None, |position, raw| {
            Record::read(segments, position, raw)?.fold(&mut self.state);
            self.unsure.saw(position, raw);
            self.replayed += 1;
            if anchor.is_some_and(|anchor| anchor.seq == raw.seq()) {
                passed = Some(raw.hash());
            }
            Ok(())
        });
        self.place = Some(*place);
        walked?;
        let tail = judge(segments, place, anchor)?;
        if let Some(anchor) = anchor {
            let there = match passed {
                Some(hash) => hash == anchor.hash,
                None => is_there(segments, anchor, from)?,
            };
            if !there {
                let problem = "another record stands in its place".to_owned();
                return Err(StoreError::OlderThanAnchor { anchor: anchor.seq, problem });
            }
            self.unsure.know(anchor.seq);
        }
        Ok(tail)
    }
}

/// Whether the record that the anchor names stands where it stood, before the walk that began
/// behind `from`.
fn is_there(segments: &Segments, anchor: Head, from: Head) -> Result<bool, StoreError> {
    let Some(position) = anchor.position else { return Ok(anchor.seq == 0) };
    if anchor.seq == from.seq {
        return Ok(anchor.hash == from.hash);
    }
    if segments.base_of(position).is_none() {
        // That segment was moved away, and the desk, which goes further, was held against the
        // journal.
        return Ok(true);
    }
    match segments.record(position, |raw| (raw.seq(), raw.hash())) {
        Ok(found) => Ok(found == (anchor.seq, anchor.hash)),
        Err(StoreError::NoRecord { .. }) => {
            let base = segments.base_of(position).unwrap_or(0);
            let problem = format!("record {} does not verify", anchor.seq);
            Err(Segments::damage(base, position, problem))
        }
        Err(error) => Err(error),
    }
}

/// Takes the journal up where it ends, or begins one.
fn begin(
    segments: &Arc<Segments>,
    options: &Options,
    found: Option<(StoreId, Place)>,
    tail: &Tail,
    unsure: &Unsure,
) -> Result<Journal, StoreError> {
    let bytes = options.segment_bytes;
    match found {
        Some((store, place)) => {
            Journal::resume(Arc::clone(segments), bytes, store, place, tail, unsure)
        }
        None => Journal::begin_store(Arc::clone(segments), bytes),
    }
}

/// Takes the anchor up. It names the head before anything follows that; where it cannot be
/// written, the store goes on without.
fn take_up(
    disk: Arc<dyn Disk>,
    journal: &Journal,
    state: &State,
    found: &anchor::Found,
) -> Option<Anchor> {
    if let anchor::Found::Unreadable(problem) = found {
        tracing::warn!(problem, "the head anchor cannot be read");
    }
    let taken = Anchor::resume(disk, journal.store(), found).and_then(|mut anchor| {
        anchor.write(journal.synced(), state.now())?;
        Ok(anchor)
    });
    let failed = |error| {
        tracing::warn!(%error, "there is no head anchor: an older copy may go unnoticed");
    };
    taken.map_err(failed).ok()
}

/// The place of a store that has no journal.
fn nowhere() -> Place {
    Place { base: 0, position: 0, head: Head::genesis(StoreId::default()) }
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
pub fn look(
    journal: Arc<dyn Disk>,
    desk: &Path,
    anchors: Option<&dyn Disk>,
) -> Result<Looked, StoreError> {
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
    let desk = held.as_ref().map(|held| (held.mark.head, held.documents.clone()));
    let mut found = Found::default();
    found.look(&segments, held, anchors)?;
    let place = found.place.unwrap_or_else(nowhere);
    Ok(Looked { head: place.head, desk })
}

fn put_back(state: &mut State, held: Held) {
    for document in held.documents {
        state.restore(document);
    }
    state.restore_now(held.mark.now);
}

/// Goes from the first place of the journal to the one behind the record that the desk was last
/// brought up to; where it is not there, to the end of what verifies.
fn place_of(
    segments: &Segments,
    mark: &Mark,
    store: StoreId,
    place: &mut Place,
) -> Result<(), StoreError> {
    if store != mark.store {
        return Err(older(mark, "this is the journal of another store"));
    }
    let Some(position) = mark.head.position else { return Ok(()) };
    let found = segments.record(position, |raw| (raw.seq(), raw.hash(), raw.size() as u64));
    let problem = match found {
        Ok((seq, hash, size)) if seq == mark.head.seq && hash == mark.head.hash => {
            let base = segments.base_of(position).unwrap_or(0);
            *place = Place { base, position: position + size, head: mark.head };
            return Ok(());
        }
        Ok(_) => Some("another record stands in its place"),
        Err(StoreError::NoRecord { .. }) => None,
        Err(error) => return Err(error),
    };
    walk(segments, place, None, |_, _| Ok(()))?;
    let torn = judge(segments, place, None)?.torn;
    match problem {
        Some(problem) => Err(older(mark, problem)),
        None if torn.is_some() => {
            let problem = format!("record {} does not verify", place.head.seq + 1);
            Err(Segments::damage(place.base, place.position, problem))
        }
        None => Err(older(mark, &format!("it ends with record {}", place.head.seq))),
    }
}

/// That nothing is missing before the first segment.
pub(crate) fn whole(origin: &Place) -> Result<(), StoreError> {
    if origin.base == 0 {
        return Ok(());
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
