//! Seats for payments whose rail is called: how many may be at it at once.
//!
//! A call goes on when whoever asked for it has gone, for as long as its service is given, and
//! each takes a connection and memory of ours. So nobody begins one who finds no seat.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::policy::{answer::PayAnswer, names::Handle};

/// How many payments of one agent may be at their rails.
const MAX_EACH: u64 = 64;
/// How many of all agents.
const MAX_ALL: u64 = 512;

/// Who is at it. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    all: u64,
    each: HashMap<Handle, u64>,
}

/// One seat, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    agent: Handle,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The agent has as many as it may.
    Own,
    /// All agents together have.
    All,
}

impl Seats {
    /// A seat for a payment of an agent's.
    pub(super) fn take(&self, agent: &Handle) -> Result<Seat, Taken> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inner.each.get(agent).copied().unwrap_or_default();
        match () {
            () if own >= MAX_EACH => return Err(Taken::Own),
            () if inner.all >= MAX_ALL => return Err(Taken::All),
            () => {}
        }
        inner.all = inner.all.saturating_add(1);
        inner.each.insert(agent.clone(), own.saturating_add(1));
        Ok(Seat { seats: self.clone(), agent: agent.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.all = inner.all.saturating_sub(1);
        let own = inner.each.get(&self.agent).copied().unwrap_or_default();
        match own {
            ..=1 => inner.each.remove(&self.agent),
            _ => inner.each.insert(self.agent.clone(), own.saturating_sub(1)),
        };
    }
}

impl Taken {
    /// What whoever finds none is told. Nothing of it is recorded.
    pub(super) fn answer(self) -> PayAnswer {
        match self {
            Self::Own => PayAnswer::too_many_under_way(MAX_EACH),
            Self::All => PayAnswer::too_busy(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_ALL, MAX_EACH, Seats, Taken};

    #[test]
    fn each_agent_and_all_of_them_have_so_many_seats() {
        let seats = Seats::default();
        let taken = |number: u64| {
            let agent = format!("a{}", number / MAX_EACH).parse().unwrap();
            seats.take(&agent)
        };
        let mut all: Vec<_> = (0..MAX_ALL).map(|number| taken(number).unwrap()).collect();
        assert_eq!(taken(0).err(), Some(Taken::Own));
        assert_eq!(taken(MAX_ALL).err(), Some(Taken::All));
        all.pop();
        assert_eq!(taken(0).err(), Some(Taken::Own), "it was another's");
        let other = taken(MAX_ALL).unwrap();
        assert_eq!(taken(MAX_ALL).err(), Some(Taken::All));
        drop((all, other));
        let inner = seats.0.lock().unwrap();
        assert_eq!((inner.all, inner.each.len()), (0, 0));
    }
}
