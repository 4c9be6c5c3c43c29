//! The denials in a row of an engine whose record was opened again.

use jiff::Timestamp;

use super::{Pair, handle, same};

impl Pair {
    /// A power cut may take the newest denials, which were never synced, but none that something
    /// was done about; a stop takes none.
    pub(super) fn look_at_the_rows(&mut self, cut: bool) -> Result<(), String> {
        for (agent, book) in &mut self.model.agents {
            let handle = handle(*agent);
            let (all, tripped, throttled, alike) = self.subject.read(move |state, _| {
                let book = state.book(&handle).expect("an agent");
                let throttled = book.throttled.map(Timestamp::as_second);
                let Some(row) = book.row.as_ref() else { return (0, 0, throttled, 0) };
                let alike = row.alike.as_ref().map_or(0, |alike| alike.times);
                (row.all.unwrap_or_default(), row.tripped, throttled, alike)
            });
            let (all, tripped) = (usize::try_from(all).unwrap(), usize::try_from(tripped).unwrap());
            let fewest = if cut { book.tripped } else { book.row.len() };
            if !(fewest..=book.row.len()).contains(&all) {
                let of = (fewest, book.row.len());
                return Err(format!("agent {agent}: {all} denials in a row of {of:?}"));
            }
            book.row.truncate(all);
            let same_at_end =
                |n: &usize| book.row.iter().rev().take(*n).all(|r| book.row.last() == Some(r));
            let last = (1..=all).take_while(same_at_end).count() as u64;
            same(&format!("the end of the row of agent {agent}"), &last, &alike)?;
            same("what was done about it", &book.tripped, &tripped)?;
            same("until when it waits", &book.throttled, &throttled)?;
        }
        Ok(())
    }
}
