//! Group commit as pettycash does it, around whatever keeps the record: one thread takes all who
//! wait, has their transactions done and made durable at once, and wakes them.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::{Result, anyhow};
use tokio::sync::oneshot;

/// The most that share a sync, as in pettycash.
const BATCH: usize = 1024;
/// How many things are counted for each agent, and checked before each payment.
pub(crate) const COUNTERS: usize = 6;
/// What no counter may pass.
pub(crate) const LIMIT: u64 = u64::MAX / 2;

/// One payment of a rival: who pays, under which key, and what is written down.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) agent: u32,
    pub(crate) key: u128,
    pub(crate) entry: Arc<[u8]>,
}

/// Whatever keeps the record.
pub(crate) trait Keeper: Send + 'static {
    /// Looks every key up, reads, checks and writes every counter, adds every entry, and returns
    /// once all of it survives a power cut.
    fn commit(&mut self, batch: &[Payment]) -> Result<()>;
}

type Waiting = (Payment, oneshot::Sender<()>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<(VecDeque<Waiting>, bool)>,
    filled: Condvar,
}

/// A keeper on a thread of its own.
pub(crate) struct Group {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Group {
    pub(crate) fn start(keeper: impl Keeper) -> Self {
        let queue = Arc::new(Queue::default());
        let theirs = Arc::clone(&queue);
        Self { queue, thread: Some(thread::spawn(move || run(keeper, &theirs))) }
    }

    /// Pays, and comes back once the payment is durable.
    pub(crate) async fn pay(&self, payment: Payment) -> Result<()> {
        let (to, done) = oneshot::channel();
        self.push((payment, to));
        Ok(done.await?)
    }

    fn push(&self, waits: Waiting) {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.0.push_back(waits);
        drop(waiting);
        self.queue.filled.notify_one();
    }

    /// Ends the thread; an error is whatever broke it.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.queue.filled.notify_all();
        let ended = self.thread.take().map(JoinHandle::join);
        ended.unwrap_or(Ok(Ok(()))).map_err(|_| anyhow!("a keeper panicked"))?
    }
}

fn run(mut keeper: impl Keeper, queue: &Queue) -> Result<()> {
    let (mut batch, mut wake) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    loop {
        let waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |waiting: &mut (VecDeque<Waiting>, bool)| waiting.0.is_empty() && !waiting.1;
        let woken = queue.filled.wait_while(waiting, idle);
        let mut waiting = woken.unwrap_or_else(PoisonError::into_inner);
        if waiting.0.is_empty() {
            return Ok(());
        }
        let count = waiting.0.len().min(BATCH);
        for (payment, to) in waiting.0.drain(..count) {
            batch.push(payment);
            wake.push(to);
        }
        drop(waiting);
        keeper.commit(&batch)?;
        batch.clear();
        for to in wake.drain(..) {
            // Whoever asked may have gone.
            let _ = to.send(());
        }
    }
}
