//! What an operator accepts of a record that is sealed: that it is older, or that it is cut.
//!
//! Nothing is destroyed: what is cut is copied aside first. A note in the journal's directory says
//! what is under way, so that a recovery that broke off is not taken for a sound record. What was
//! forgotten may have filled caps or revoked agents; so the same record that tells of it freezes
//! every active agent, and the operator lets them go on one by one.

use std::{io, path::Path};

use super::{
    StoreError,
    disk::Disk,
    format::segment_name,
    segments::{STRETCH, Segments},
    sled_files,
    walk::Place,
};
use crate::policy::{
    entry::Incident,
    names::{Note, Reason},
};

/// What an operator accepts, and why.
#[derive(Clone, Debug)]
pub struct Accept {
    /// What.
    pub what: Acceptable,
    /// Why, in the operator's words.
    pub note: Option<Note>,
}

/// What can be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptable {
    /// The journal is older than its anchor or desk, or another one: go on from it.
    Rollback,
    /// The journal is damaged: go on without the damage and all that came after it.
    Cut,
}

/// What was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The entry that tells of it.
    pub incident: Incident,
    /// How many agents were frozen.
    pub frozen: usize,
    /// The files that what was cut was copied to.
    pub aside: Vec<String>,
}

/// The file that says that a recovery is under way; it is no segment's name.
const NOTE: &str = "recovery";
/// The longest such note.
const MAX_NOTE: usize = 4096;
/// How many copies of one segment may be put aside.
const MAX_ASIDE: u32 = 1_000;

/// The reason that every agent is frozen for.
pub(crate) fn reason() -> Result<Reason, StoreError> {
    "recovered".parse().map_err(|_| StoreError::Panicked)
}

/// Whether a recovery broke off.
pub(crate) enum Unfinished {
    /// None did.
    Nothing,
    /// One did, before it changed anything.
    Hardly,
    /// One did that was to tell this.
    Of(Incident),
}

/// Whether a recovery broke off.
pub(crate) fn unfinished(disk: &dyn Disk) -> Result<Unfinished, StoreError> {
    let mut bytes = vec![0; MAX_NOTE];
    match disk.read(NOTE, 0, &mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Unfinished::Nothing),
        Err(error) => Err(StoreError::io("read", NOTE, &error)),
        Ok(read) => {
            let incident = serde_json::from_slice(&bytes[..read]).ok();
            Ok(incident.map_or(Unfinished::Hardly, Unfinished::Of))
        }
    }
}

/// What a store is sealed for whose recovery broke off.
pub(crate) fn broken_off() -> StoreError {
    let problem = "a recovery broke off: do it once more".to_owned();
    StoreError::Damaged { file: NOTE.to_owned(), offset: 0, problem }
}

/// The entry that is to tell of what is accepted, or why it is not to be had.
pub(crate) fn incident(
    accept: &Accept,
    sealed: Option<StoreError>,
    place: Option<Place>,
    segments: &Segments,
) -> Result<Incident, StoreError> {
    let Some(error) = sealed else { return Err(StoreError::NothingToAccept) };
    let Some(place) = place else { return Err(StoreError::Lost { cause: error.to_string() }) };
    let note = accept.note.clone();
    let reached = place.head.seq;
    match (accept.what, error) {
        (
            Acceptable::Rollback,
            StoreError::OlderThanDesk { desk: known, .. }
            | StoreError::OlderThanAnchor { anchor: known, .. },
        ) => Ok(Incident::RollbackAccepted { known, reached, note }),
        (Acceptable::Cut, StoreError::Damaged { .. }) => {
            let (file, offset) = (segment_name(place.base), place.position - place.base);
            let bytes = stretches(segments, place)?.iter().map(|(_, _, end)| end).sum::<u64>();
            Ok(Incident::DamageCut { file, offset, bytes, note })
        }
        (_, error) => Err(error),
    }
}

/// Notes what is under way, until `done`.
pub(crate) fn begin(disk: &dyn Disk, incident: &Incident) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::io("write", NOTE, &error);
    let text = serde_json::to_vec(incident).map_err(|_| StoreError::Panicked)?;
    match disk.create(NOTE) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        Ok(()) | Err(_) => {
            disk.write(NOTE, 0, &text).and_then(|()| disk.sync(NOTE)).map_err(failed)
        }
    }
}

/// Takes the note away: the record is sound.
pub(crate) fn done(disk: &dyn Disk) -> Result<(), StoreError> {
    disk.remove(NOTE).map_err(|error| StoreError::io("remove", NOTE, &error))
}

/// What is to be cut: in which segments, from where, and how many bytes that are not zero.
fn stretches(segments: &Segments, place: Place) -> Result<Vec<(u64, u64, u64)>, StoreError> {
    let mut found = Vec::new();
    for base in segments.bases().into_iter().filter(|base| *base >= place.base) {
        let from = if base == place.base { place.position } else { base };
        let (mut at, mut end) = (from, from);
        let mut bytes = vec![0; STRETCH];
        loop {
            let read = segments.read(base, at, &mut bytes)?;
            if read == 0 {
                break;
            }
            if let Some(last) = bytes[..read].iter().rposition(|byte| *byte != 0) {
                end = at + last as u64 + 1;
            }
            at += read as u64;
        }
        if end > from || base > place.base {
            found.push((base, from, end - from));
        }
    }
    Ok(found)
}

/// Copies what stands behind `place` aside, and then cuts it.
pub(crate) fn cut(segments: &Segments, place: Place) -> Result<Vec<String>, StoreError> {
    let stretches = stretches(segments, place)?;
    let mut aside = Vec::new();
    for (base, from, bytes) in &stretches {
        aside.push(copy(segments, *base, *from, *bytes)?);
    }
    // From the end, so that no segment ever stands behind a gap.
    for (base, from, bytes) in stretches.into_iter().rev() {
        if base > place.base {
            let name = segment_name(base);
            let removed = segments.disk.remove(&name);
            removed.map_err(|error| StoreError::io("remove", name, &error))?;
        } else {
            segments.blank(base, from, from + bytes)?;
            segments.sync(base)?;
        }
    }
    Ok(aside)
}

/// Copies a stretch of a segment to a file that is no segment.
fn copy(segments: &Segments, base: u64, from: u64, bytes: u64) -> Result<String, StoreError> {
    let disk = &segments.disk;
    let name = (1..=MAX_ASIDE).find_map(|n| {
        let name = format!("{}.cut-{n}", segment_name(base));
        match disk.create(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
            made => Some(made.map(|()| name)),
        }
    });
    let failed = |error: io::Error| StoreError::io("put aside", segment_name(base), &error);
    let name = name.unwrap_or(Err(io::ErrorKind::AlreadyExists.into())).map_err(failed)?;
    let mut buffer = vec![0; STRETCH];
    let mut done = 0;
    while done < bytes {
        let wanted = usize::try_from(bytes - done).unwrap_or(STRETCH).min(STRETCH);
        let read = segments.read(base, from + done, &mut buffer[..wanted])?;
        if read == 0 {
            break;
        }
        disk.write(&name, done, &buffer[..read]).map_err(failed)?;
        done += read as u64;
    }
    disk.sync(&name).map_err(failed)?;
    Ok(name)
}

/// Empties the desk, which is then made anew from the journal.
pub(crate) fn empty_desk(path: &Path) -> Result<(), StoreError> {
    let emptied = sled_files::empty(path)
        .and_then(|()| std::fs::File::open(path).and_then(|directory| directory.sync_all()));
    emptied.map_err(|error| StoreError::io("empty", path.display().to_string(), &error))
}
