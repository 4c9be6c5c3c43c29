//! What a client feels of one call after the other, and the sync that a payment cannot do without.

use std::time::Duration;

use anyhow::Result;
use pettycash::clock::instant;

use crate::{
    place::Place,
    raw::Preallocated,
    stats::{Rounds, micros, percentile},
    table::{Table, Target},
};

/// What one sync writes, near enough the record of one payment.
pub(crate) const RECORD: usize = 600;
/// How long the file is that is synced.
const LENGTH: u64 = 16 * 1024 * 1024;

/// The time, in microseconds, below which half of them lie.
pub(crate) fn p50(took: impl IntoIterator<Item = Result<Duration>>) -> Result<f64> {
    let took = took.into_iter().map(|took| Ok(micros(took?)));
    Ok(percentile(&mut took.collect::<Result<Vec<f64>>>()?, 0.5))
}

/// A file of its own to sync.
pub(crate) struct Syncs {
    file: Preallocated,
    _place: Place,
}

impl Syncs {
    pub(crate) fn new() -> Result<Self> {
        let place = Place::new()?;
        Ok(Self { file: Preallocated::make(&place.path().join("file"), LENGTH)?, _place: place })
    }

    /// The p50 of so many syncs.
    pub(crate) fn p50(&mut self, times: usize) -> Result<f64> {
        p50((0..times).map(|_| {
            let began = instant();
            self.file.append(&[b'x'; RECORD])?;
            Ok(began.elapsed())
        }))
    }
}

/// A row: ours beside its floor, of which it may be so many times at most.
pub(crate) fn row(
    table: &mut Table,
    part: &str,
    what: &str,
    (ours, floor): (&Rounds, &Rounds),
    most: f64,
) {
    let ratio = ours.over(floor);
    let judged = table.judge(&format!("{part}: {what}"), ratio.median(), Target::AtMost(most));
    let (ours, floor) = (ours.spread(1), floor.spread(1));
    table.row(&[what.to_owned(), ours, floor, ratio.spread(2), judged]);
}
