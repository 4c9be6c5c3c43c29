//! The connections there are room for, and which of them gives way.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::{AbortHandle, JoinHandle};

/// All seats.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    inner: Arc<Mutex<Inner>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// By age: who came first is first.
    taken: BTreeMap<u64, Taken>,
    next: u64,
    /// Counts what happened, to tell who has been idle longest.
    moment: u64,
}

#[derive(Debug, Default)]
struct Taken {
    /// A token that stands was shown on it.
    known: bool,
    /// How many requests are under way, header complete and answer not.
    busy: usize,
    idle_since: u64,
    task: Option<AbortHandle>,
}

impl Seats {
    pub(super) fn new(most: usize) -> Self {
        Self { inner: Arc::default(), most }
    }

    /// Gives a seat to a connection, in place of another if need be; none if all are busy.
    pub(super) fn take(&self, begin: impl FnOnce(Seat) -> JoinHandle<()>) {
        let mut inner = self.lock();
        if inner.taken.len() >= self.most && !inner.clear_one() {
            return;
        }
        let number = inner.next;
        inner.next += 1;
        inner.taken.insert(number, Taken::default());
        drop(inner);
        let task = begin(Seat(Arc::new(Place { seats: self.clone(), number }))).abort_handle();
        if let Some(taken) = self.lock().taken.get_mut(&number) {
            taken.task = Some(task);
        }
    }

    /// Closes the connection that can best be spared, if there is one.
    pub(super) fn clear_one(&self) -> bool {
        self.lock().clear_one()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The oldest that nobody is known on and that has no complete header, else the one that has
    /// been idle longest.
    fn clear_one(&mut self) -> bool {
        let idle =
            || self.taken.iter().filter(|(_, taken)| taken.busy == 0 && taken.task.is_some());
        let strange = idle().find(|(_, taken)| !taken.known);
        let spared = strange.or_else(|| idle().min_by_key(|(_, taken)| taken.idle_since));
        let Some(number) = spared.map(|(number, _)| *number) else { return false };
        if let Some(Taken { task: Some(task), .. }) = self.taken.remove(&number) {
            task.abort();
        }
        true
    }
}

/// The seat of one connection, free again when the last clone is dropped.
#[derive(Clone, Debug)]
pub(in crate::http) struct Seat(Arc<Place>);

#[derive(Debug)]
struct Place {
    seats: Seats,
    number: u64,
}

impl Seat {
    /// Whoever sits here has shown a token that stands.
    pub(in crate::http) fn is_known(&self) {
        self.with(|taken, _| taken.known = true);
    }

    /// A request is under way until the answer of this is dropped; none if the seat was taken away.
    pub(super) fn busy(&self) -> Option<Busy> {
        self.with(|taken, _| taken.busy += 1).map(|()| Busy(self.clone()))
    }

    fn with<R>(&self, change: impl FnOnce(&mut Taken, u64) -> R) -> Option<R> {
        let mut inner = self.0.seats.lock();
        inner.moment += 1;
        let moment = inner.moment;
        inner.taken.get_mut(&self.0.number).map(|taken| change(taken, moment))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.seats.lock().taken.remove(&self.number);
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Busy(Seat);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.with(|taken, moment| {
            taken.busy = taken.busy.saturating_sub(1);
            taken.idle_since = moment;
        });
    }
}

#[cfg(test)]
mod tests;
