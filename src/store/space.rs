//! Room on the disk: what is left, and the ballast that is given up where there is none.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{StoreError, disk::Disk, segments::STEP};
use crate::clock;

/// New payments are refused while less than this is free.
pub const LOW_WATER: u64 = 64 * 1024 * 1024;
/// How much is kept to be given up for a revocation on a full disk.
pub const BALLAST: u64 = 8 * 1024 * 1024;
/// The name of the ballast, which is no segment's.
const NAME: &str = "ballast";
/// How often it is looked how much is free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The room there is beside the journal.
pub(crate) struct Space {
    disk: Arc<dyn Disk>,
    low_water: u64,
    /// How long the ballast is to be.
    ballast: u64,
    /// How long it is.
    filled: u64,
    seen: Option<(Instant, u64)>,
}

impl Space {
    /// Finds what there is of the ballast.
    pub(crate) fn find(disk: Arc<dyn Disk>, low_water: u64, ballast: u64) -> Self {
        let files = disk.list().unwrap_or_default();
        let filled = files.into_iter().find(|(name, _)| name == NAME);
        let filled = filled.map_or(0, |(_, length)| length);
        Self { disk, low_water, ballast, filled, seen: None }
    }

    /// Refuses a new payment while there is little room. Where that cannot be told there is enough:
    /// the write itself will tell.
    pub(crate) fn check(&mut self) -> Result<(), StoreError> {
        let now = clock::instant();
        let seen = self.seen.filter(|(at, _)| now.saturating_duration_since(*at) < LOOK_EVERY);
        let free = match seen {
            Some((_, free)) => free,
            None => self.disk.free().unwrap_or(u64::MAX),
        };
        self.seen = seen.or(Some((now, free)));
        if free < self.low_water {
            return Err(StoreError::Low { free, needed: self.low_water });
        }
        Ok(())
    }

    /// Gives the ballast up, and says whether there was any.
    pub(crate) fn release(&mut self) -> bool {
        match self.disk.remove(NAME) {
            Ok(()) => {
                tracing::warn!(bytes = self.filled, "the disk is full: the ballast was given up");
                self.filled = 0;
                true
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, "the ballast could not be given up");
                }
                false
            }
        }
    }

    /// Whether the ballast is not as long as it is to be.
    pub(crate) fn lacks_ballast(&self) -> bool {
        self.filled < self.ballast
    }

    /// Puts a little more of the ballast back, if there is room for all of it and then some.
    pub(crate) fn refill(&mut self) {
        let missing = self.ballast.saturating_sub(self.filled);
        let free = if missing == 0 { 0 } else { self.disk.free().unwrap_or(0) };
        if missing == 0 || free < self.low_water.saturating_add(missing) {
            return;
        }
        let step = usize::try_from(missing).unwrap_or(STEP).min(STEP);
        let made = if self.filled == 0 { self.disk.create(NAME) } else { Ok(()) };
        let made = made.or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        });
        match made.and_then(|()| self.disk.write(NAME, self.filled, &noise(step))) {
            Ok(()) => self.filled += step as u64,
            Err(error) => tracing::debug!(%error, "the ballast was not refilled"),
        }
    }
}

/// Bytes that no file system makes smaller: blocks that were never taken cannot be given up.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(bytes.div_ceil(8)).flatten().take(bytes).collect()
}
