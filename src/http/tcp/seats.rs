//! The connections there are room for, which of them gives way, and how many one agent may fill.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::{AbortHandle, JoinHandle};

use crate::policy::names::Handle;

/// What part of the seats one agent's streams may take, and what part all that it has under way:
/// every sixth, and every second. Whatever one agent does, the others get in.
const STREAMS_OF_ONE: usize = 6;
const REQUESTS_OF_ONE: usize = 2;

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
    /// What each agent has under way.
    agents: HashMap<Handle, UnderWay>,
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

#[derive(Debug, Default)]
struct UnderWay {
    requests: usize,
    /// How many of them are answered by a stream.
    streams: usize,
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

    /// The most seats of one kind that one agent may fill.
    fn part(&self, of: usize) -> usize {
        (self.most / of).max(1)
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
pub(super) struct Seat(Arc<Place>);

#[derive(Debug)]
struct Place {
    seats: Seats,
    number: u64,
}

impl Seat {
    /// A request is under way until the answer of this is dropped; none if the seat was taken away.
    pub(super) fn busy(&self) -> Option<Busy> {
        self.0.seats.lock().taken.get_mut(&self.0.number)?.busy += 1;
        Some(Busy { seat: self.clone(), known: false, agent: None, streams: false })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.seats.lock().taken.remove(&self.number);
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(in crate::http) struct Busy {
    seat: Seat,
    known: bool,
    /// Whose request it is, as far as it is counted.
    agent: Option<Handle>,
    streams: bool,
}

impl Busy {
    /// Whoever sits here has shown a token that stands.
    pub(in crate::http) fn by_known(&mut self) {
        let Place { seats, number } = &*self.seat.0;
        self.known = true;
        if let Some(taken) = seats.lock().taken.get_mut(number) {
            taken.known = true;
        }
    }

    /// The same, by a token of this agent's; whether one more request of it may be under way.
    pub(in crate::http) fn by(&mut self, agent: &Handle) -> bool {
        self.by_known();
        let seats = &self.seat.0.seats;
        let mut inner = seats.lock();
        let under_way = inner.agents.entry(agent.clone()).or_default();
        if under_way.requests >= seats.part(REQUESTS_OF_ONE) {
            return false;
        }
        under_way.requests += 1;
        self.agent = Some(agent.clone());
        true
    }

    /// The answer is a stream; whether the agent may have one more.
    pub(in crate::http) fn streams(&mut self) -> bool {
        let Some(agent) = &self.agent else { return true };
        let seats = &self.seat.0.seats;
        let mut inner = seats.lock();
        let Some(under_way) = inner.agents.get_mut(agent) else { return true };
        if under_way.streams >= seats.part(STREAMS_OF_ONE) {
            return false;
        }
        under_way.streams += 1;
        self.streams = true;
        true
    }

    /// Whether a token that stands came with it.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Place { seats, number } = &*self.seat.0;
        let mut inner = seats.lock();
        inner.moment += 1;
        let moment = inner.moment;
        if let Some(taken) = inner.taken.get_mut(number) {
            taken.busy = taken.busy.saturating_sub(1);
            taken.idle_since = moment;
        }
        let Some(agent) = &self.agent else { return };
        let Some(under_way) = inner.agents.get_mut(agent) else { return };
        under_way.requests = under_way.requests.saturating_sub(1);
        under_way.streams = under_way.streams.saturating_sub(usize::from(self.streams));
        if under_way.requests == 0 {
            inner.agents.remove(agent);
        }
    }
}

#[cfg(test)]
mod tests;
