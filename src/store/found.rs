//! What there is of a store: how far the desk goes, how far the journal follows, and whether that
//! is as far as the anchor knows. Nothing is changed here.

use std::{path::Path, sync::Arc};

use super::{
    StoreError,
    accept::{self, Unfinished},
    anchor,
    desk::{Desk, Held, Mark},
    disk::Disk,
    format::{Head, StoreId, segment_name},
    journal::{Unsure, origin},
    record::Record,
    segments::Segments,
    walk::{Place, Tail, judge, walk},
};
use crate::policy::{documents::Document, state::State};

/// What was found of a store, as far as all is well.
pub(crate) struct Found {
    /// Whose journal it is, if there is one.
    pub(crate) store: Option<StoreId>,
    /// How far it verifies.
    pub(crate) place: Option<Place>,
    pub(crate) state: State,
    pub(crate) replayed: u64,
    pub(crate) unsure: Unsure,
}

impl Default for Found {
    fn default() -> Self {
        let (state, unsure) = (State::default(), Unsure::default());
        Self { store: None, place: None, state, replayed: 0, unsure }
    }
}

impl Found {
    /// Looks at all there is, and says what follows the last record, or what is wrong.
    pub(crate) fn look(
        &mut self,
        segments: &Segments,
        known: Option<Held>,
        anchors: Option<&dyn Disk>,
    ) -> Result<Tail, StoreError> {
        let mark = known.as_ref().map(|held| held.mark.clone());
        if let Some(held) = known {
            self.state = State::restored(held.documents, held.mark.now);
        }
        let Some((store, origin)) = origin(segments)? else {
            return match &mark {
                Some(mark) => Err(older(mark, "there is no journal")),
                None => Ok(Tail { torn: None, end: 0 }),
            };
        };
        self.store = Some(store);
        let anchor = anchors.and_then(|disk| anchor::find(disk, store).head());
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
            self.state.forget_expired_keys(self.state.now());
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

/// The place of a store that has no journal.
pub(crate) fn nowhere() -> Place {
    Place { base: 0, position: 0, head: Head::genesis(StoreId::default()) }
}

/// The record that the head anchor of this journal names, if it has one.
pub fn anchored(journal: Arc<dyn Disk>, anchors: &dyn Disk) -> Result<Option<Head>, StoreError> {
    let Some((store, _)) = origin(&Segments::find(journal)?)? else { return Ok(None) };
    Ok(anchor::find(anchors, store).head())
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
    match accept::unfinished(&*segments.disk)? {
        Unfinished::Nothing | Unfinished::Hardly => {}
        Unfinished::Of(_) => return Err(accept::broken_off()),
    }
    let mut found = Found::default();
    found.look(&segments, held, anchors)?;
    let place = found.place.unwrap_or_else(nowhere);
    Ok(Looked { head: place.head, desk })
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
fn whole(origin: &Place) -> Result<(), StoreError> {
    if origin.base == 0 {
        return Ok(());
    }
    Err(StoreError::Beheaded { file: segment_name(origin.base) })
}

fn older(mark: &Mark, problem: &str) -> StoreError {
    StoreError::OlderThanDesk { desk: mark.head.seq, problem: problem.to_owned() }
}
