//! Opening: the state from the desk, the rest from the journal, and the torn tail cut.
//!
//! A journal that is not what was once synced is sealed: it is read as far as it verifies, and
//! never written, until an operator says what is to become of it.

use std::{io, sync::Arc};

use super::{
    Options, StoreError,
    accept::{self, Accept, Accepted, Unfinished},
    anchor::{self, Anchor, AnchorThread},
    clock_watch::ClockWatch,
    condition::{Recording, Shared},
    desk::{Desk, DeskThread, Held},
    disk::Disk,
    format::{StoreId, segment_name},
    found::{Found, nowhere},
    journal::{Journal, Unsure},
    segments::Segments,
    space::Space,
    walk::{Place, Tail, Torn},
    writer::Writer,
};
use crate::policy::entry::{By, Draft, Fact, Incident};

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
    /// What of it the operator accepted.
    pub accepted: Option<Accepted>,
}

pub(crate) struct Ready {
    pub(crate) writer: Writer,
    pub(crate) segments: Arc<Segments>,
    pub(crate) opened: Opened,
    pub(crate) condition: Shared,
}

/// Brings desk and journal together; only what is beyond doubt is ever changed on disk.
pub(crate) fn open(journal: Arc<dyn Disk>, options: Options) -> Result<Ready, StoreError> {
    let settled = options.accept.as_ref().map(|accept| settle(&journal, &options, accept));
    let mut settled = settled.transpose()?;
    let segments = Arc::new(Segments::find(journal)?);
    let (desk, known) = desk(&options)?;
    let rebuilt = known.is_none();
    let mut found = Found::default();
    let anchors = options.anchor.as_deref().filter(|_| settled.is_none());
    let verdict = match accept::unfinished(&*segments.disk)? {
        Unfinished::Of(_) if settled.is_none() => {
            let broken = found.look(&segments, known, anchors).err();
            Err(broken.filter(|error| !error.seals()).unwrap_or_else(accept::broken_off))
        }
        _ => found.look(&segments, known, anchors),
    };
    let Found { store, place, state, replayed, unsure } = found;
    let torn = verdict.as_ref().ok().and_then(|tail| tail.torn.clone());
    let begun =
        verdict.and_then(|tail| begin(&segments, &options, store.zip(place), &tail, &unsure));
    let (journal, poison) = match begun {
        Ok(journal) => (journal, None),
        Err(error) if error.seals() && settled.is_none() => {
            tracing::error!(%error, remedy = error.remedy(), "the record is sealed");
            let (store, place) = (store.unwrap_or_default(), place.unwrap_or_else(nowhere));
            (Journal::sealed(Arc::clone(&segments), store, place), Some(error))
        }
        Err(error) => return Err(error),
    };
    // The desk of a sealed store stays as it is: it may know more than the journal.
    let desk = desk.filter(|_| poison.is_none()).map(DeskThread::start).transpose()?;
    let recording = poison.clone().map_or(Recording::Sound, Recording::Sealed);
    let condition = Shared::new(recording, false);
    let room = Arc::clone(&segments.disk);
    let mut writer = Writer {
        space: Space::find(room, options.low_water, options.ballast),
        segments: Arc::clone(&segments),
        journal,
        state,
        rest: Arc::default(),
        watch: ClockWatch::new(&options.clock),
        watched_every: options.watched_every,
        ticks_every: options.ticks_every,
        clock: options.clock,
        salt: salt()?,
        desk,
        desk_is_blank: rebuilt,
        anchor: None,
        condition: condition.clone(),
        poison,
        owed: Vec::new(),
        after_write: Vec::new(),
        after_sync: Vec::new(),
        after_anchor: Vec::new(),
        tick_is_due: true,
    };
    if let (Some(accepted), Some(accept)) = (&mut settled, &options.accept) {
        accepted.frozen = writer.accept(&accepted.incident, accept.note.as_ref())?;
    }
    let adopted = raise(&mut writer, options.anchor, settled.is_some())?;
    if settled.is_some() {
        accept::done(&*segments.disk)?;
    }
    let rebuilt = rebuilt && replayed > 0;
    let opened = Opened { torn, replayed, rebuilt, adopted, accepted: settled };
    writer.owed = opened.incidents();
    report(&opened);
    Ok(Ready { writer, segments, opened, condition })
}

/// Opens the desk, and says what it holds.
fn desk(options: &Options) -> Result<(Option<Desk>, Option<Held>), StoreError> {
    let (desk, known) = match &options.desk {
        Some(path) => Desk::open(path)?,
        None => (None, None),
    };
    Ok((desk, known.filter(|held| held.mark.head.seq > 0)))
}

/// Has the anchor name the head, and starts its thread; says whether the journal was adopted.
fn raise(
    writer: &mut Writer,
    anchors: Option<Arc<dyn Disk>>,
    must: bool,
) -> Result<bool, StoreError> {
    let Some(disk) = anchors.filter(|_| writer.poison.is_none()) else { return Ok(false) };
    let (anchor, adopted) = take_up(disk, writer);
    match anchor {
        Ok(anchor) => {
            writer.condition.set_anchored(true);
            writer.anchor = Some(AnchorThread::start(anchor, writer.condition.clone())?);
            Ok(adopted && !must)
        }
        // It would seal the store again.
        Err(error) if must => Err(StoreError::io("write", "the head anchor", &error)),
        Err(_) => Ok(false),
    }
}

/// Does to the files what the operator accepts.
fn settle(
    journal: &Arc<dyn Disk>,
    options: &Options,
    accept: &Accept,
) -> Result<Accepted, StoreError> {
    let segments = Segments::find(Arc::clone(journal))?;
    let known = desk(options)?.1;
    let mut found = Found::default();
    let sealed = match found.look(&segments, known, options.anchor.as_deref()) {
        Err(error) if !error.seals() => return Err(error),
        verdict => verdict.err(),
    };
    // What was moved away may be all that knows how books began: no cut may rest on that.
    if let Some(first) = segments.bases().first().filter(|base| **base != 0) {
        return Err(StoreError::Beheaded { file: segment_name(*first) });
    }
    let incident = match accept::unfinished(&**journal)? {
        Unfinished::Of(incident) => incident,
        Unfinished::Nothing | Unfinished::Hardly => {
            accept::incident(accept, sealed, found.place, &segments)?
        }
    };
    accept::begin(&**journal, &incident)?;
    let cut = matches!(incident, Incident::DamageCut { .. });
    let aside = match found.place.filter(|_| cut) {
        Some(place) => accept::cut(&segments, place)?,
        None => Vec::new(),
    };
    if let Some(desk) = &options.desk {
        accept::empty_desk(desk)?;
    }
    Ok(Accepted { incident, frozen: 0, aside })
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
fn take_up(disk: Arc<dyn Disk>, writer: &Writer) -> (io::Result<Anchor>, bool) {
    let journal = &writer.journal;
    let found = anchor::find(&*disk, journal.store());
    if let anchor::Found::Unreadable(problem) = &found {
        tracing::warn!(problem, "the head anchor cannot be read");
    }
    let taken = Anchor::resume(disk, journal.store(), &found).and_then(|mut anchor| {
        anchor.write(journal.synced(), writer.state.now())?;
        Ok(anchor)
    });
    if let Err(error) = &taken {
        tracing::warn!(%error, "there is no head anchor: an older copy may go unnoticed");
    }
    let adopted = !matches!(found, anchor::Found::Held(_)) && journal.head().seq > 0;
    let adopted = adopted && taken.is_ok();
    (taken, adopted)
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
