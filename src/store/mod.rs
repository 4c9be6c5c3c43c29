//! The record: a journal that every commit is one record of, and a desk behind it.
//!
//! The journal is what counts. One writer thread decides, writes and syncs, so that nobody is told
//! of anything a power cut could take back; sled only spares the next start a long replay. This is
//! the only room that knows of files, and it knows nothing of why a payment is allowed.
//!
//! Two things are not its business: which process may open a store (`serve` elects that; the lock
//! on the directory here is only the last line of defence), and what becomes of holds that were
//! open when the last process ended (the engine voids them).

mod accept;
mod anchor;
mod archive;
mod clock_watch;
mod condition;
mod desk;
mod disk;
mod error;
mod format;
mod found;
mod journal;
mod open;
mod owed;
mod pages;
pub mod private;
mod queue;
mod record;
mod replay;
mod rest;
mod segments;
mod sled_files;
mod space;
mod walk;
mod writer;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

pub use accept::{Accept, Acceptable, Accepted};
pub use archive::with_archive;
pub use condition::{Condition, Recording};
pub use disk::{Disk, FileDisk};
pub use error::StoreError;
pub use format::Head;
pub use found::{Looked, anchored, look};
pub use open::Opened;
pub use pages::{Cursor, Keep, MAX_LOOKED, MAX_PAGE, Page};
pub use record::{Line, Record};
pub use replay::{Replayed, replay};
pub use space::{BALLAST, LOW_WATER};
pub use walk::Torn;

use crate::{
    clock::Clock,
    policy::{
        entry::Draft,
        names::{Handle, PaymentId},
        row::Repeat,
        state::State,
    },
};
use condition::Shared;
use queue::{Answer, Job, Queue, Reply, Step, Turn, Work};
use rest::Rest;
use segments::Segments;

/// How long a segment of the journal gets before the next one is begun.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// How often the clock is watched while there is nothing to do.
const WATCHED_EVERY: Duration = Duration::from_secs(10);
/// How often counted denials are written down and the desk is brought up to date.
const TICKS_EVERY: Duration = Duration::from_secs(1);

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// How long a segment of the journal gets before the next one is begun.
    pub segment_bytes: u64,
    /// Where the time of an entry comes from.
    pub clock: Clock,
    /// How often the clock is watched while there is nothing to do.
    pub watched_every: Duration,
    /// How often counted denials are written down and the desk is brought up to date.
    pub ticks_every: Duration,
    /// The directory of the desk; without one the whole journal is replayed at every start.
    pub desk: Option<PathBuf>,
    /// Where the head anchor is; without one an older copy of the journal is taken for the latest.
    pub anchor: Option<Arc<dyn Disk>>,
    /// New payments are refused while less than this is free.
    pub low_water: u64,
    /// How much room is kept to be given up for a revocation on a full disk.
    pub ballast: u64,
    /// What the operator accepts of a sealed store, which is then opened sound.
    pub accept: Option<Accept>,
}

impl Options {
    /// A journal and nothing beside it.
    pub fn bare(clock: Clock) -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            clock,
            watched_every: WATCHED_EVERY,
            ticks_every: TICKS_EVERY,
            desk: None,
            anchor: None,
            low_water: LOW_WATER,
            ballast: 0,
            accept: None,
        }
    }

    /// With a desk in the directory `desk`, and ballast.
    pub fn new(clock: Clock, desk: PathBuf) -> Self {
        Self { desk: Some(desk), ballast: BALLAST, ..Self::bare(clock) }
    }
}

/// What a commit is for: what is still done when the record is short of room depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It may authorise a new payment.
    Spend,
    /// It settles a payment, widens what an agent may do, or writes down what happened.
    Record,
    /// It narrows what an agent may do: a freeze, a revocation, a tighter mandate.
    Lower,
    /// It may narrow what agents may do, and is recorded or not done: a policy.
    Anchored,
}

impl Purpose {
    /// Whether it is answered once the head anchor names it, so that no older copy of the record
    /// passes for the present and gives back what it took.
    fn is_anchored(self) -> bool {
        matches!(self, Self::Lower | Self::Anchored)
    }
}

/// Makes the answer to a commit from the state with its facts folded in.
pub type Then<R> = Box<dyn FnOnce(&State) -> R + Send>;

/// What a decision comes to.
pub enum Decision<R> {
    /// Nothing is recorded.
    Answer(R),
    /// The agent is denied again: that is counted, and recorded within seconds.
    Repeat {
        /// Who was denied.
        agent: Handle,
        /// How this denial stands to the one before.
        repeat: Repeat,
        /// The answer.
        answer: R,
    },
    /// These facts become one record.
    Commit {
        /// The facts.
        drafts: Vec<Draft>,
        /// Whether the answer waits for the sync; a denial's does not.
        durable: bool,
        /// Makes the answer.
        answer: Then<R>,
    },
}

/// The record of one data directory. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<Queue>,
    rest: Arc<Rest>,
    segments: Arc<Segments>,
    opened: Opened,
    condition: Shared,
    low_water: u64,
    /// Ends when the writer's thread has.
    ended: watch::Receiver<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The thread leaves everything in order and ends by itself; nobody waits for it here, for
        // this may be an async task's thread.
        self.queue.close();
    }
}

impl Store {
    /// Opens the journal on `disk`, or begins one, and starts the writer.
    ///
    /// One that is damaged, or older than the desk or the anchor, opens too, and is sealed: it is
    /// read as far as it verifies, and every commit answers what is wrong with it.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Self, StoreError> {
        let low_water = options.low_water;
        let open::Ready { writer, segments, opened, condition } = open::open(disk, options)?;
        let (queue, rest) = (Arc::new(Queue::default()), Arc::clone(&writer.rest));
        let (end, ended) = watch::channel(());
        let theirs = Arc::clone(&queue);
        let thread = thread::Builder::new().name("writer".to_owned());
        let started = thread.spawn(move || {
            let end = End { queue: Arc::clone(&theirs), _end: end };
            writer.run(&theirs);
            drop(end);
        });
        started.map_err(|error| StoreError::io("start", "the writer", &error))?;
        let inner = Inner { queue, rest, segments, opened, condition, low_water, ended };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What opening found and mended.
    pub fn opened(&self) -> &Opened {
        &self.inner.opened
    }

    /// How the record is now.
    pub fn condition(&self) -> Condition {
        let mut condition = self.inner.condition.get();
        let free = self.inner.segments.disk.free().unwrap_or(u64::MAX);
        let needed = self.inner.low_water;
        if free < needed && matches!(condition.recording, Recording::Sound) {
            condition.recording = Recording::Low { free, needed };
        }
        condition
    }

    /// Decides on the newest state and records what was decided.
    ///
    /// `decide` runs on the writer's thread, in order with all others, so it must not wait. The id
    /// is the one that a payment it records has. A durable commit, and whatever may have seen
    /// one, is answered after the sync that covers it. Dropping the future takes nothing back.
    pub async fn commit<R: Send + 'static>(
        &self,
        purpose: Purpose,
        decide: impl FnOnce(&State, PaymentId, Timestamp) -> Decision<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (to, answer) = oneshot::channel();
        let work: Work = Box::new(move |turn| {
            let Turn { state, id, now, .. } = match turn {
                Ok(turn) => turn,
                Err(error) => return Step::Answer(reply(to, Err(error))),
            };
            match catch(|| decide(state, id, now)) {
                Ok(Decision::Answer(answer)) => Step::Answer(reply(to, Ok(answer))),
                Ok(Decision::Repeat { agent, repeat, answer }) => {
                    Step::Repeat { agent, repeat, reply: reply(to, Ok(answer)) }
                }
                Ok(Decision::Commit { drafts, durable, answer }) => {
                    let answer: Answer = Box::new(move |state| {
                        reply(to, state.and_then(|state| catch(|| answer(state))))
                    });
                    Step::Commit { drafts, durable, answer }
                }
                Err(error) => Step::Answer(reply(to, Err(error))),
            }
        });
        self.inner.queue.push(Job::Commit(purpose, work)).await?;
        // The writer is gone, and with it the knowledge of how far it came.
        let gone = || StoreError::Uncertain { cause: "the writer broke off".to_owned() };
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Looks at the newest state, and answers once every durable commit it saw is synced; what
    /// nobody waits for, as a denial, may not be yet.
    ///
    /// It goes on when nothing can be recorded any more: after a failed sync it sees what was
    /// decided, synced or not. While the writer has nothing to do it is not woken for this: `look`
    /// then runs on the caller's thread, so it must not wait.
    pub async fn read<R: Send + 'static>(
        &self,
        look: impl FnOnce(&State, Head) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        let look = |state: &State, head: Head| catch(|| look(state, head));
        let look = match self.inner.rest.look(look) {
            Ok(looked) => return looked,
            Err(look) => look,
        };
        let (to, answer) = oneshot::channel();
        let work: Work = Box::new(move |turn| {
            let looked = turn.and_then(|turn| look(turn.state, turn.head));
            Step::Answer(reply(to, looked))
        });
        self.inner.queue.push(Job::Read(work)).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Reads the record at `position`, its checksum verified; any number may be asked for.
    ///
    /// This and the pages read the files on the caller's thread.
    pub fn record(&self, position: u64) -> Result<Record, StoreError> {
        Record::at(&self.inner.segments, position)
    }

    /// The entry that began a payment or refusal, if the record that its id leads to has it; of the
    /// others there nothing is read but where they end.
    pub fn first(&self, payment: PaymentId) -> Result<Option<Line>, StoreError> {
        pages::first(&self.inner.segments, payment)
    }

    /// Reads every record up to the one numbered `upto`, which is written, oldest first, and checks
    /// them as [`replay`] does.
    pub fn replay(&self, upto: u64, visit: impl FnMut(&Record)) -> Result<Replayed, StoreError> {
        replay(Arc::clone(&self.inner.segments.disk), Some(upto), visit)
    }

    /// Why there was no record where one was looked for, at or before the newest one: nobody wrote
    /// one there, or the journal is damaged. It reads up to a whole segment.
    pub fn missing(&self, position: u64) -> StoreError {
        walk::missing(&self.inner.segments, position)
    }

    /// A page of an agent's entries, newest first, from the entry at `from`: at first its book's
    /// link, then the cursor of the page before.
    pub fn agent_entries(
        &self,
        agent: &Handle,
        from: Cursor,
        limit: usize,
    ) -> Result<Page, StoreError> {
        pages::of_agent(&self.inner.segments, agent, from, limit, &mut |_: &Line| Ok(Keep::Take))
    }

    /// A page of all entries, newest first, from the entry at `from`: at first the head's record,
    /// [`Cursor::all`], then the cursor of the page before.
    pub fn all_entries(&self, from: Cursor, limit: usize) -> Result<Page, StoreError> {
        pages::of_all(&self.inner.segments, from, limit, &mut |_: &Line| Ok(Keep::Take))
    }

    /// The same of an agent's entries, or of all, with nothing on it but what `keep` takes. It
    /// looks at [`MAX_LOOKED`] entries at the most: a page may have none, and a next one.
    pub fn seek(
        &self,
        agent: Option<&Handle>,
        from: Cursor,
        limit: usize,
        mut keep: impl FnMut(&Line) -> Result<Keep, StoreError>,
    ) -> Result<Page, StoreError> {
        let segments = &self.inner.segments;
        match agent {
            Some(agent) => pages::of_agent(segments, agent, from, limit, &mut keep),
            None => pages::of_all(segments, from, limit, &mut keep),
        }
    }

    /// Lets nothing more in, finishes what waits, syncs, brings the desk up to date and ends the
    /// threads. Whoever calls it again waits for the same.
    pub async fn close(&self) {
        self.inner.queue.close();
        let mut ended = self.inner.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

/// However the writer's thread ends, nobody waits for it in vain.
struct End {
    queue: Arc<Queue>,
    _end: watch::Sender<()>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

/// Runs what may panic, which is then as if it had not run.
fn catch<T>(run: impl FnOnce() -> T) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| StoreError::Panicked)
}

/// Sends `answer`, unless it turns out that what it rests on was not written.
fn reply<R: Send + 'static>(
    to: oneshot::Sender<Result<R, StoreError>>,
    answer: Result<R, StoreError>,
) -> Reply {
    Box::new(move |outcome| {
        // Whoever asked may have gone.
        let _ = to.send(answer.and_then(|answer| outcome.map(|()| answer)));
    })
}
