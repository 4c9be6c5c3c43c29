//! The end of the journal, where records are added: one batch, one write, one sync.

use std::{collections::VecDeque, sync::Arc};

use super::{
    StoreError,
    format::{
        EVERYDAY_BODY, Head, MAX_BODY, RECORD_HEADER, Raw, SEGMENT_HEADER, SegmentHeader, StoreId,
        seal,
    },
    segments::{self, Segments, ZEROS},
    walk::{self, Place, Tail},
};

/// How far a segment grows at a time.
///
/// Zeros are written ahead of the records, so that a sync has the data to write and no length.
const STEP: u64 = segments::STEP as u64;
/// The zeros there must be ahead before a record is begun; so a full disk shows before anything
/// was decided, but for records that are larger than any day's.
const AHEAD: u64 = (RECORD_HEADER + EVERYDAY_BODY) as u64;
/// How much of a batch's memory is kept for the next one.
const KEPT: usize = 2 * 1024 * 1024;

/// The journal as its writer has it.
pub(crate) struct Journal {
    segments: Arc<Segments>,
    store: StoreId,
    segment_bytes: u64,
    /// The segment that is written to.
    base: u64,
    /// Up to where it is known to be zeros or records.
    filled: u64,
    /// The records that are not written yet.
    batch: Vec<u8>,
    /// Where in the journal the batch starts.
    start: u64,
    /// Where in the batch the record that was begun starts.
    begun: usize,
    head: Head,
    /// The last record that is written.
    written: Head,
    /// The last record that is synced.
    synced: Head,
    /// A segment that was begun here lacks its header.
    unborn: bool,
}

/// Where the first record of the journal would follow, and whose journal it is; nothing where no
/// segment is there yet, or the first one never got its header.
pub(crate) fn origin(segments: &Segments) -> Result<Option<(StoreId, Place)>, StoreError> {
    let bases = segments.bases();
    let Some(&base) = bases.first() else { return Ok(None) };
    match segments.header(base)? {
        Some(header) if base != 0 || header.last == Head::genesis(header.store) => {
            let position = base + SEGMENT_HEADER as u64;
            Ok(Some((header.store, Place { base, position, head: header.last })))
        }
        None if bases.len() == 1 && base == 0 && walk::unborn(segments, base)? => Ok(None),
        Some(_) | None => Err(Segments::damage(base, base, "the header does not verify")),
    }
}

/// Which of the last records are not known to be on the disk.
#[derive(Default)]
pub(crate) struct Unsure {
    /// Where they start, and their numbers.
    starts: VecDeque<(u64, u64)>,
}

impl Unsure {
    /// Takes in the next record of a walk.
    pub(crate) fn saw(&mut self, position: u64, raw: &Raw<'_>) {
        self.starts.push_back((position, raw.seq()));
        self.know(raw.synced());
    }

    /// Everything up to record `synced` is known to be on the disk.
    pub(crate) fn know(&mut self, synced: u64) {
        while self.starts.front().is_some_and(|(_, seq)| *seq <= synced) {
            self.starts.pop_front();
        }
    }

    fn start(&self) -> Option<u64> {
        self.starts.front().map(|(position, _)| *position)
    }
}

impl Journal {
    /// Begins the journal of a new store.
    pub(crate) fn begin_store(
        segments: Arc<Segments>,
        segment_bytes: u64,
    ) -> Result<Self, StoreError> {
        let mut store = StoreId::default();
        getrandom::fill(&mut store).map_err(|error| StoreError::Io {
            doing: "draw a name for",
            file: "the journal".to_owned(),
            cause: error.to_string(),
        })?;
        let head = Head::genesis(store);
        segments.add(&SegmentHeader { base: 0, store, last: head })?;
        let place = Place { base: 0, position: SEGMENT_HEADER as u64, head };
        let tail = walk::judge(&segments, &place, None)?;
        Self::resume(segments, segment_bytes, store, place, &tail, &Unsure::default())
    }

    /// Takes the journal up at `place`, where a walk to the end stopped.
    ///
    /// A torn tail is cut: zeros are written over it and synced, so that nothing of it can come
    /// alive behind a record that is written now.
    ///
    /// What was read of the `unsure` records may be in memory only, and taken for clean by the
    /// system since a sync of an earlier process failed. So they are written again before the sync.
    pub(crate) fn resume(
        segments: Arc<Segments>,
        segment_bytes: u64,
        store: StoreId,
        place: Place,
        tail: &Tail,
        unsure: &Unsure,
    ) -> Result<Self, StoreError> {
        let Tail { torn, end: filled } = tail;
        let Place { base, position, .. } = place;
        segments.rewrite(base, unsure.start().unwrap_or(position), position)?;
        if let Some(torn) = torn {
            segments.blank(base, position, position + torn.bytes)?;
        }
        // After this, the head is there to stay.
        segments.sync(base)?;
        let next = segments.bases().last().copied().filter(|next| *next > base);
        let unborn = next == Some(position);
        let journal = Self::sealed(segments, store, place);
        Ok(Self { segment_bytes, filled: *filled, unborn, ..journal })
    }

    /// A journal that is only read: as far as it verifies.
    pub(crate) fn sealed(segments: Arc<Segments>, store: StoreId, place: Place) -> Self {
        let Place { base, position, head } = place;
        Self {
            segments,
            store,
            segment_bytes: u64::MAX,
            base,
            filled: position,
            batch: Vec::new(),
            start: position,
            begun: 0,
            head,
            written: head,
            synced: head,
            unborn: false,
        }
    }

    /// Where the next record starts.
    pub(crate) fn position(&self) -> u64 {
        self.start + self.batch.len() as u64
    }

    /// The last record, written or not.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// The last record that is synced.
    pub(crate) fn synced(&self) -> Head {
        self.synced
    }

    /// Whether every record is synced.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced.seq == self.head.seq
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }

    /// How many bytes wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.batch.len()
    }

    /// Whether the next record is to go into a new segment.
    pub(crate) fn is_segment_full(&self) -> bool {
        self.unborn || self.position() - self.base >= self.segment_bytes
    }

    /// Begins the next segment; everything before must be written.
    pub(crate) fn rotate(&mut self) -> Result<(), StoreError> {
        if !self.is_synced() {
            self.sync()?;
        }
        let base = self.position();
        self.segments.add(&SegmentHeader { base, store: self.store, last: self.head })?;
        self.unborn = false;
        self.base = base;
        self.start = base + SEGMENT_HEADER as u64;
        self.filled = self.start;
        Ok(())
    }

    /// Sees to it that the next record has room; where it has none, nothing was changed.
    pub(crate) fn make_room(&mut self) -> Result<(), StoreError> {
        self.fill_up_to(self.position() + AHEAD)
    }

    fn fill_up_to(&mut self, end: u64) -> Result<(), StoreError> {
        while self.filled < end {
            // A segment that is to stay short grows by less.
            let step = self.segment_bytes.clamp(STEP / 4, STEP);
            let into_step = (self.filled - self.base) % step;
            let zeros = usize::try_from(step - into_step).unwrap_or(0);
            self.segments.write(self.base, self.filled, &ZEROS[..zeros])?;
            self.filled += zeros as u64;
        }
        Ok(())
    }

    /// Begins a record: its body is what the caller appends, until `seal` or `abandon`.
    pub(crate) fn begin(&mut self) -> &mut Vec<u8> {
        self.begun = self.batch.len();
        self.batch.resize(self.begun + RECORD_HEADER, 0);
        &mut self.batch
    }

    /// Forgets the record that was begun.
    pub(crate) fn abandon(&mut self) {
        self.batch.truncate(self.begun);
        self.batch.shrink_to(KEPT);
    }

    /// Ends the record that was begun; where it is too large, or finds no room, it is forgotten.
    pub(crate) fn seal(&mut self) -> Result<(), StoreError> {
        let bytes = self.batch.len() - self.begun - RECORD_HEADER;
        let ready = if bytes == 0 || bytes > MAX_BODY {
            Err(StoreError::TooLarge { bytes })
        } else {
            self.fill_up_to(self.position())
        };
        if ready.is_err() {
            self.abandon();
            return ready;
        }
        let position = self.start + self.begun as u64;
        let hash = seal(&mut self.batch[self.begun..], self.head, self.synced.seq);
        self.head = Head { seq: self.head.seq + 1, position: Some(position), hash };
        Ok(())
    }

    /// Writes the batch.
    pub(crate) fn write(&mut self) -> Result<(), StoreError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.segments.write(self.base, self.start, &self.batch)?;
        self.start += self.batch.len() as u64;
        self.batch.clear();
        self.batch.shrink_to(KEPT);
        self.written = self.head;
        Ok(())
    }

    /// Forgets the records that could not be written, and hands them over.
    pub(crate) fn forget_unwritten(&mut self, mut lost: impl FnMut(u64, &Raw<'_>)) {
        let batch = std::mem::take(&mut self.batch);
        let mut at = 0;
        while let Some(Ok(raw)) = batch.get(at..).map(Raw::parse) {
            lost(self.start + at as u64, &raw);
            at += raw.size();
        }
        self.head = self.written;
    }

    /// Makes everything that was written survive a power cut. Never to be tried again once it
    /// failed: the system then takes pages for clean that never reached the disk.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        self.segments.sync(self.base)?;
        self.synced = self.head;
        Ok(())
    }
}
