//! What waits for the writer: bounded, and taken by the batch.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::{Purpose, StoreError, format::Head};
use crate::policy::{
    entry::Draft,
    names::{Handle, PaymentId},
    row::Repeat,
    state::State,
};

/// How many jobs may wait; who comes later waits to get in.
const QUEUE: usize = 4096;

/// What a job finds when its turn comes.
pub(crate) struct Turn<'a> {
    pub(crate) state: &'a State,
    /// The id that a payment recorded by this job has.
    pub(crate) id: PaymentId,
    pub(crate) now: Timestamp,
    pub(crate) head: Head,
}

/// Sends a job's answer, or the error it gets instead.
pub(crate) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Makes the answer from the state with the job's facts folded in.
pub(crate) type Answer = Box<dyn FnOnce(Result<&State, StoreError>) -> Reply + Send>;

/// What a job comes to.
pub(crate) enum Step {
    /// Nothing is recorded.
    Answer(Reply),
    /// One more denial of the agent's is counted.
    Repeat { agent: Handle, repeat: Repeat, reply: Reply },
    /// Facts are recorded; durable ones are answered after a sync.
    Commit { drafts: Vec<Draft>, durable: bool, answer: Answer },
}

/// Runs on the writer's thread; an error is passed on to whoever waits.
pub(crate) type Work = Box<dyn FnOnce(Result<Turn<'_>, StoreError>) -> Step + Send>;

/// One thing for the writer to do.
pub(crate) enum Job {
    /// May record facts.
    Commit(Purpose, Work),
    /// Looks at the state only, and goes on when nothing can be recorded any more.
    Read(Work),
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// The jobs that wait.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    places: Semaphore,
}

impl Default for Queue {
    fn default() -> Self {
        let places = Semaphore::new(QUEUE);
        Self { waiting: Mutex::default(), filled: Condvar::new(), places }
    }
}

impl Queue {
    /// Puts a job at the end, once there is a place.
    pub(crate) async fn push(&self, job: Job) -> Result<(), StoreError> {
        let place = self.places.acquire().await.map_err(|_| StoreError::Closed)?;
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        place.forget();
        waiting.jobs.push_back(job);
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes up to `most` jobs, in order. Waits for the first one, but at most for `patience`;
    /// says `false` once the queue is closed and empty.
    pub(crate) fn take(&self, into: &mut Vec<Job>, most: usize, patience: Duration) -> bool {
        let idle = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.closed;
        let woken = self.filled.wait_timeout_while(self.lock(), patience, idle);
        let mut waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        let count = waiting.jobs.len().min(most);
        into.extend(waiting.jobs.drain(..count));
        self.places.add_permits(count);
        count > 0 || !waiting.closed
    }

    /// Lets nothing more in; what waits is still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.places.close();
        self.filled.notify_all();
    }

    /// Closes, and drops what still waits: nobody will take it.
    pub(crate) fn abandon(&self) {
        self.close();
        let jobs = std::mem::take(&mut self.lock().jobs);
        drop(jobs);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
