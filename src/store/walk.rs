//! Walking the journal forward, and judging what stands where it stops.

use super::{
    StoreError,
    format::{BODY_VERSION, ENTRIES, Head, RECORD_HEADER, Raw, SEGMENT_HEADER, segment_name},
    segments::{Segments, Window},
};

/// A place between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The segment it lies in.
    pub(crate) base: u64,
    /// Where the next record starts, or would.
    pub(crate) position: u64,
    /// The record before.
    pub(crate) head: Head,
}

/// Bytes at the end of the journal that were written and never synced, as after a power cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub file: String,
    /// Where in it they start.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
}

/// Walks from `place` to the record `upto`, or to the end, and hands each record to `visit`; where
/// it fails, `place` is as far as all is well.
///
/// Every record must follow from the one before, and every segment from the one before: a break
/// anywhere but at the very end is damage.
pub(crate) fn walk(
    segments: &Segments,
    place: &mut Place,
    upto: Option<u64>,
    mut visit: impl FnMut(u64, &Raw<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let bases = segments.bases();
    let first = place.base;
    let mut later = bases.iter().copied().filter(|base| *base > first);
    loop {
        walk_segment(segments, place, upto, &mut visit)?;
        if upto.is_some_and(|upto| place.head.seq >= upto) {
            return Ok(());
        }
        let Some(next) = later.next() else {
            return match upto {
                Some(upto) => Err(broken(
                    place,
                    &format!("does not verify, and record {upto} lies behind it"),
                )),
                None => Ok(()),
            };
        };
        if place.position != next {
            return Err(broken(place, "does not verify, and a later segment was begun"));
        }
        let Some(header) = segments.header(next)? else {
            let last = bases.last() == Some(&next);
            if last && upto.is_none() && unborn(segments, next)? {
                return Ok(());
            }
            return Err(Segments::damage(next, next, "the header does not verify"));
        };
        if header.last != place.head {
            return Err(Segments::damage(next, next, "does not follow the segment before"));
        }
        *place = Place { base: next, position: next + SEGMENT_HEADER as u64, head: place.head };
    }
}

/// Walks on within one segment, to where no record follows.
fn walk_segment(
    segments: &Segments,
    place: &mut Place,
    upto: Option<u64>,
    visit: &mut impl FnMut(u64, &Raw<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut window = Window::new(segments, place.base);
    while upto.is_none_or(|upto| place.head.seq < upto) {
        let raw = match window.record(place.position)? {
            Ok(raw) if follows(&raw, &place.head) => raw,
            Ok(_) | Err(_) => return Ok(()),
        };
        if raw.kind() != ENTRIES || raw.version() != BODY_VERSION {
            let (file, version) = (segment_name(place.base), u32::from(raw.version()));
            return Err(StoreError::UnknownFormat { file, version });
        }
        visit(place.position, &raw)?;
        place.head = Head { seq: raw.seq(), position: Some(place.position), hash: raw.hash() };
        place.position += raw.size() as u64;
    }
    Ok(())
}

fn follows(raw: &Raw<'_>, head: &Head) -> bool {
    Some(raw.seq()) == head.seq.checked_add(1) && raw.prev() == *head
}

/// Why no record is read at `position`, which is not behind the newest one: nobody wrote one there,
/// or what was written there or before it in the segment is damaged.
pub(crate) fn missing(segments: &Segments, position: u64) -> StoreError {
    let Some(base) = segments.base_of(position) else { return StoreError::NoRecord { position } };
    let mut window = Window::new(segments, base);
    let mut at = base + SEGMENT_HEADER as u64;
    while at <= position {
        match window.record(at) {
            Ok(Ok(raw)) => at += raw.size() as u64,
            Ok(Err(_)) => return Segments::damage(base, at, "a record does not verify"),
            Err(error) => return error,
        }
    }
    StoreError::NoRecord { position }
}

/// Tells a torn tail from damage, where a walk to the end stopped.
///
/// Each record names the last one that was known to be synced when it was written. So if anything
/// behind the break says that the record here was synced, it was there once, and this is damage;
/// if nothing does, nobody was told of it. So it is with the head anchor: a journal that does not
/// get there is damaged where anything stands behind the break, and an older copy where it ends.
pub(crate) fn judge(
    segments: &Segments,
    place: &Place,
    anchor: Option<Head>,
) -> Result<Tail, StoreError> {
    let promises = |raw: &Raw<'_>| raw.synced() > place.head.seq;
    let found = search(segments, place.base, place.position, promises)?;
    if found.sought {
        return Err(broken(place, "does not verify, and was synced once"));
    }
    let torn = found.last.map(|last| Torn {
        file: segment_name(place.base),
        offset: place.position - place.base,
        bytes: last + 1 - place.position,
    });
    match anchor.filter(|anchor| anchor.seq > place.head.seq) {
        Some(_) if torn.is_some() => Err(broken(place, "does not verify, and was synced once")),
        Some(anchor) => {
            let problem = format!("it ends with record {}", place.head.seq);
            Err(StoreError::OlderThanAnchor { anchor: anchor.seq, problem })
        }
        None => Ok(Tail { torn, end: found.end }),
    }
}

/// What follows the last record.
pub(crate) struct Tail {
    /// What was written there and is no record.
    pub(crate) torn: Option<Torn>,
    /// Where the segment ends; up to there are zeros but for what is torn.
    pub(crate) end: u64,
}

/// Whether the segment at `base`, whose header does not verify, never held anything: then its
/// making was cut short, for the header is synced before anything is written behind it. Whether
/// what stands there verifies is no matter, for what broke the header may have broken that too.
pub(crate) fn unborn(segments: &Segments, base: u64) -> Result<bool, StoreError> {
    let behind = search(segments, base, base + SEGMENT_HEADER as u64, |_| false)?;
    Ok(behind.last.is_none())
}

/// What stands in a stretch that is not known to hold records.
struct Found {
    /// Whether a whole record of the kind sought starts anywhere in it.
    sought: bool,
    /// The last byte that is not zero.
    last: Option<u64>,
    /// Where the segment ends.
    end: u64,
}

/// Looks for a record that is `sought` at every byte from `at` to the end of the segment.
fn search(
    segments: &Segments,
    base: u64,
    mut at: u64,
    sought: impl Fn(&Raw<'_>) -> bool,
) -> Result<Found, StoreError> {
    let mut window = Window::new(segments, base);
    let mut last = None;
    loop {
        let bytes = window.at(at, RECORD_HEADER)?;
        let zeros = leading_zeros(bytes);
        match bytes.first() {
            None => return Ok(Found { sought: false, last, end: at }),
            // A record starts with its length, of which not all four bytes are zero.
            Some(0) if zeros >= LENGTH => {
                at += (zeros + 1 - LENGTH) as u64;
                continue;
            }
            Some(0) => {}
            Some(_) => last = Some(at),
        }
        if window.record(at)?.is_ok_and(|raw| sought(&raw)) {
            return Ok(Found { sought: true, last, end: at });
        }
        at += 1;
    }
}

/// The bytes of a record's length.
const LENGTH: usize = 4;

fn leading_zeros(bytes: &[u8]) -> usize {
    const BLANK: [u8; 1024] = [0; 1024];
    let blocks = bytes.chunks_exact(BLANK.len()).take_while(|block| **block == BLANK).count();
    let rest = &bytes[blocks * BLANK.len()..];
    blocks * BLANK.len() + rest.iter().take_while(|byte| **byte == 0).count()
}

fn broken(place: &Place, problem: &str) -> StoreError {
    let problem = format!("record {} {problem}", place.head.seq + 1);
    Segments::damage(place.base, place.position, problem)
}
