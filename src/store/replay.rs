//! Reading the whole journal, for `verify`.

use std::sync::Arc;

use super::{
    StoreError,
    disk::Disk,
    format::Head,
    journal::origin,
    record::{Chains, Record},
    segments::Segments,
    walk::{Torn, judge, walk},
};

/// How far a replay came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The last record.
    pub head: Head,
    /// Unsynced bytes behind it: what the next start cuts, or a writer is just writing.
    pub torn: Option<Torn>,
}

/// Reads and checks the whole journal: every checksum, every link from record to record and from
/// an agent's entry to the one before, every segment's header.
///
/// It changes nothing, and may run beside a writer. Up to the record `upto` anything that is
/// missing is damage; what may follow is then not looked at. Where the first segments were moved
/// away, it begins with the first record that is there.
pub fn replay(
    disk: Arc<dyn Disk>,
    upto: Option<u64>,
    mut visit: impl FnMut(&Record),
) -> Result<Replayed, StoreError> {
    let segments = Segments::find(disk)?;
    let Some((_, mut place)) = origin(&segments)? else {
        return match upto {
            None | Some(0) => Ok(Replayed { head: Head::genesis([0; 16]), torn: None }),
            Some(upto) => {
                Err(Segments::damage(0, 0, format!("record {upto} is missing: no journal")))
            }
        };
    };
    let mut chains = Chains::new(place.base == 0);
    walk(&segments, &mut place, upto, |position, raw| {
        let record = Record::read(&segments, position, raw)?;
        let follows = chains.follow(&record);
        visit(&record);
        follows.map_err(|problem| {
            Segments::damage(segments.base_of(position).unwrap_or(0), position, problem)
        })
    })?;
    let torn = if upto.is_none() { judge(&segments, &place, None)?.torn } else { None };
    Ok(Replayed { head: place.head, torn })
}
