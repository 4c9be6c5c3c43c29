//! The requests of a session that are not answered yet.

use std::collections::{HashSet, VecDeque};

use rmcp::model::RequestId;

/// How many requests of one session may wait for their answers.
const MAX_OPEN: usize = 1024;
/// How many of them may be cancelled ones, whose answers will not come.
const MAX_CANCELLED: usize = 256;

/// The ids that are taken.
#[derive(Debug)]
pub struct InFlight {
    most: usize,
    open: HashSet<RequestId>,
    /// Of these the call may still run, but its answer is dropped: the id stays taken, for a
    /// second request with it would get the answer to the first.
    cancelled: VecDeque<RequestId>,
}

impl Default for InFlight {
    fn default() -> Self {
        Self::of_at_most(MAX_OPEN)
    }
}

impl InFlight {
    /// Of a session in which no more than `most` requests wait for their answers.
    pub fn of_at_most(most: usize) -> Self {
        Self { most, open: HashSet::new(), cancelled: VecDeque::new() }
    }

    /// Whether a request with this id is not answered yet.
    pub fn holds(&self, id: &RequestId) -> bool {
        self.open.contains(id)
    }

    /// Whether so many wait that the next must.
    pub fn is_full(&self) -> bool {
        let waiting = self.open.len().saturating_sub(self.cancelled.len());
        waiting >= self.most || self.open.len() >= MAX_OPEN
    }

    /// Whether no answer is still to come.
    pub fn is_quiet(&self) -> bool {
        self.open.len() == self.cancelled.len()
    }

    /// A request goes on its way.
    pub fn begin(&mut self, id: RequestId) {
        self.open.insert(id);
    }

    /// A request is answered.
    pub fn end(&mut self, id: &RequestId) {
        self.open.remove(id);
        self.cancelled.retain(|cancelled| cancelled != id);
    }

    /// A request will not be answered. The oldest of many such is forgotten.
    pub fn cancel(&mut self, id: RequestId) {
        if !self.holds(&id) || self.cancelled.contains(&id) {
            return;
        }
        self.cancelled.push_back(id);
        if self.cancelled.len() > MAX_CANCELLED
            && let Some(oldest) = self.cancelled.pop_front()
        {
            self.open.remove(&oldest);
        }
    }
}
