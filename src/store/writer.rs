//! The writer: one thread that decides in order, writes a batch at once, and answers after the
//! sync that covers it.
//!
//! It runs each decision on the newest state, synced or not. So whoever waits behind a durable
//! record of the same batch is answered after its sync as well, for he may have seen it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    Purpose, StoreError,
    anchor::AnchorThread,
    clock_watch::ClockWatch,
    condition::{Recording, Shared},
    desk::{Changes, DeskThread},
    journal::Journal,
    open::incident,
    owed::lowers,
    queue::{Job, Queue, Reply, Step, Turn},
    record::{Line, Record, stamp},
    rest::Rest,
    segments::Segments,
    space::Space,
};
use crate::{
    clock::{self, Clock},
    policy::{book::Link, entry::Draft, names::PaymentId, state::State},
};

/// The most jobs that share a sync.
const BATCH: usize = 1024;
/// The most bytes that are written at once, but for the last record.
const BATCH_BYTES: usize = 1024 * 1024;
/// The most drafts of a tick that go into one record.
pub(super) const TICK_DRAFTS: usize = 256;

pub(crate) struct Writer {
    pub(crate) journal: Journal,
    pub(crate) segments: Arc<Segments>,
    pub(crate) space: Space,
    /// The newest state; it is in `rest` while the writer waits for something to do.
    pub(crate) state: State,
    pub(crate) rest: Arc<Rest>,
    pub(crate) clock: Clock,
    pub(crate) watch: ClockWatch,
    /// How often the clock is watched while there is nothing to do.
    pub(crate) watched_every: Duration,
    /// How often counted denials are written down and the desk is brought up to date.
    pub(crate) ticks_every: Duration,
    /// Keeps ids given before and after a power cut apart.
    pub(crate) salt: u16,
    pub(crate) desk: Option<DeskThread>,
    /// Whether the desk lacks everything, not only what was touched.
    pub(crate) desk_is_blank: bool,
    pub(crate) anchor: Option<AnchorThread>,
    pub(crate) condition: Shared,
    /// What failed first, or what the store is sealed for.
    pub(crate) poison: Option<StoreError>,
    /// What could not be recorded yet: before anything else it is, as soon as there is room.
    pub(crate) owed: Vec<Draft>,
    /// Answered after the write.
    pub(crate) after_write: Vec<Reply>,
    /// Answered after the sync; while there is one, the batch needs a sync.
    pub(crate) after_sync: Vec<Reply>,
    /// Answered after the sync and once the anchor names the head.
    pub(crate) after_anchor: Vec<Reply>,
    /// Whether there is anything for the next tick.
    pub(crate) tick_is_due: bool,
}

impl Writer {
    /// Works until the queue is closed and empty, then leaves everything synced.
    pub(crate) fn run(mut self, queue: &Arc<Queue>) {
        let mut jobs = Vec::with_capacity(BATCH);
        let mut ticked = clock::instant();
        self.settle_up();
        loop {
            let due = self.tick_is_due.then(|| self.ticks_every.saturating_sub(since(ticked)));
            if !self.wait(queue, &mut jobs, due.unwrap_or(self.watched_every)) {
                break;
            }
            self.watch_clock();
            for job in jobs.drain(..) {
                self.step(job);
            }
            self.flush();
            if self.tick_is_due && since(ticked) >= self.ticks_every {
                self.tick();
                ticked = clock::instant();
            }
        }
        self.finish();
    }

    /// Waits for jobs, but at most for `patience`, and lets the state be looked at meanwhile. Says
    /// `false` when no more come.
    fn wait(&mut self, queue: &Queue, jobs: &mut Vec<Job>, patience: Duration) -> bool {
        self.rest.lay_down(std::mem::take(&mut self.state), self.journal.head());
        let go_on = queue.take(jobs, BATCH, patience);
        // Nobody else takes it; without it nothing could be decided.
        let Some(state) = self.rest.take_up() else { return false };
        self.state = state;
        go_on
    }

    /// Has a jump of the clock written down before whatever is decided by it. Who only looks while
    /// nothing is decided may be told by a jump that is set back before anybody sees it.
    fn watch_clock(&mut self) {
        if let Some(jumped) = self.watch.jump(&self.clock) {
            self.owed.push(incident(jumped));
            self.tick_is_due = true;
        }
        self.watch.tell_if_behind(&self.clock, self.state.now());
    }

    fn step(&mut self, job: Job) {
        match job {
            Job::Read(work) => {
                let step = work(Ok(self.turn()));
                self.take_step(Purpose::Record, step, self.state.now());
            }
            Job::Commit(purpose, work) => {
                let ready = self.prepare(purpose);
                if let Err(error) = &ready
                    && error.seals()
                {
                    // What is known of a sealed record may not be all there is to know.
                    let step = work(Err(error.clone()));
                    return self.take_step(Purpose::Record, step, self.state.now());
                }
                let turn = self.turn();
                let now = turn.now;
                let step = work(Ok(turn));
                match ready {
                    Ok(()) => self.take_step(purpose, step, now),
                    Err(error) => {
                        tracing::debug!(?purpose, %error, "nothing can be recorded");
                        self.take_step_without_record(purpose, step, error);
                    }
                }
            }
        }
    }

    fn turn(&self) -> Turn<'_> {
        Turn {
            state: &self.state,
            id: PaymentId::new(self.journal.position(), self.salt),
            now: self.clock.now().max(self.state.now()),
            head: self.journal.head(),
        }
    }

    /// Sees to it that a record can follow, before anything is decided.
    pub(super) fn prepare(&mut self, purpose: Purpose) -> Result<(), StoreError> {
        if self.journal.waiting() >= BATCH_BYTES {
            self.flush();
        }
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        if purpose == Purpose::Spend {
            self.space.check()?;
        }
        let mut ready = self.make_room();
        if matches!(ready, Err(StoreError::Full)) && purpose == Purpose::Lower {
            self.space.release();
            ready = self.make_room();
        }
        match ready {
            Ok(()) => self.record_owed(),
            Err(StoreError::Full) => {
                self.condition.set(Recording::Full);
                self.tick_is_due = true;
                Err(StoreError::Full)
            }
            Err(error @ StoreError::Poisoned { .. }) => Err(error),
            Err(error) => Err(self.poisoned(&error)),
        }
    }

    /// Sees to it that there is room for one record; where there is none, nothing was changed.
    pub(super) fn make_room(&mut self) -> Result<(), StoreError> {
        if self.journal.is_segment_full() {
            // A segment ends with what is written.
            self.flush();
            if let Some(poison) = &self.poison {
                return Err(poison.clone());
            }
            self.journal.rotate()?;
        }
        self.journal.make_room()
    }

    /// What would be recorded is refused, but for what takes power from an agent: that is done in
    /// memory. What is known already, as the payment of a key, is still told, but for what a failed
    /// disk may yet take back.
    fn take_step_without_record(&mut self, purpose: Purpose, step: Step, error: StoreError) {
        match step {
            // It may say that what is in force in memory only is done already.
            Step::Answer(reply) if purpose == Purpose::Lower && self.owes_an_act() => {
                reply(Err(StoreError::InMemory { cause: error.to_string() }));
            }
            Step::Answer(reply) => match error {
                StoreError::Poisoned { cause } => reply(Err(StoreError::Uncertain { cause })),
                _ => self.reply_when_covered(reply),
            },
            Step::Repeat { reply, .. } => self.after_write.push(reply),
            Step::Commit { drafts, answer, .. } => {
                let done = purpose == Purpose::Lower && self.lower_in_memory(drafts);
                let error =
                    if done { StoreError::InMemory { cause: error.to_string() } } else { error };
                self.after_write.push(answer(Err(error)));
            }
        }
    }

    fn take_step(&mut self, purpose: Purpose, step: Step, now: Timestamp) {
        match step {
            // It may say that what was lowered just before is in force.
            Step::Answer(reply) if purpose.is_anchored() => self.after_anchor.push(reply),
            Step::Answer(reply) => self.reply_when_covered(reply),
            Step::Repeat { agent, repeat, reply } => {
                self.state.repeat(&agent, repeat);
                self.tick_is_due = true;
                self.after_write.push(reply);
            }
            Step::Commit { drafts, durable, answer } => {
                // An agent that a stop freezes is frozen as by the operator's own hand.
                let anchored = purpose.is_anchored() || drafts.iter().any(Draft::stops);
                match self.record_all(drafts, now) {
                    Ok(()) => {
                        let reply = answer(Ok(&self.state));
                        let waits = match (anchored, durable) {
                            (true, _) => &mut self.after_anchor,
                            (false, true) => &mut self.after_sync,
                            (false, false) => &mut self.after_write,
                        };
                        waits.push(reply);
                    }
                    Err(error) => self.after_write.push(answer(Err(error))),
                }
            }
        }
    }

    /// Records `drafts`, and before them, in the same record, the denials that were only counted
    /// for the same agents: a ledger is in the order in which things happened.
    pub(super) fn record_all(
        &mut self,
        drafts: Vec<Draft>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut all = Vec::new();
        for agent in drafts.iter().filter_map(|draft| draft.agent.as_ref()) {
            all.extend(self.state.take_repeats(Some(agent)));
        }
        all.extend(drafts);
        self.record(all, now)
    }

    fn reply_when_covered(&mut self, reply: Reply) {
        if self.after_sync.is_empty() && self.after_anchor.is_empty() {
            self.after_write.push(reply);
        } else {
            self.after_sync.push(reply);
        }
    }

    /// Makes one record of `drafts` and folds it in.
    fn record(&mut self, drafts: Vec<Draft>, now: Timestamp) -> Result<(), StoreError> {
        if drafts.is_empty() {
            return Ok(());
        }
        let (position, lines) = match stamp(&mut self.journal, &self.state, drafts, now) {
            // As where room is made before: how far the disk got is not known.
            Err(error @ StoreError::Io { .. }) => return Err(self.poisoned(&error)),
            stamped => stamped?,
        };
        let state = &mut self.state;
        let fold = || {
            for Line { entry, hash } in &lines {
                state.apply(entry, position, *hash);
            }
        };
        self.tick_is_due = true;
        catch_unwind(AssertUnwindSafe(fold)).map_err(|_| {
            // The state is half changed, and the batch is never written.
            self.poisoned(&StoreError::Panicked)
        })
    }

    /// Writes the batch, syncs it if anyone waits for that, and answers.
    pub(super) fn flush(&mut self) {
        if self.poison.is_none() {
            let written = self.journal.write();
            self.check(written);
        }
        answer(&mut self.after_write, &Ok(()));
        let awaited = !self.after_sync.is_empty() || !self.after_anchor.is_empty();
        if self.poison.is_none() && awaited {
            let synced = self.journal.sync();
            self.check(synced);
        }
        answer(&mut self.after_sync, &Ok(()));
        if !self.after_anchor.is_empty() {
            self.bring_up_anchor();
        }
    }

    /// Has the anchor name the last record that is synced, and whoever waits for that answered.
    pub(super) fn bring_up_anchor(&mut self) {
        match &self.anchor {
            Some(anchor) => {
                let (head, now) = (self.journal.synced(), self.state.now());
                anchor.hand_over(head, now, &mut self.after_anchor);
            }
            None => answer(&mut self.after_anchor, &Ok(())),
        }
    }

    fn check(&mut self, outcome: Result<(), StoreError>) {
        if let Err(error) = outcome {
            self.poisoned(&error);
        }
    }

    /// Takes nothing on any more. Whoever still waits for this batch is told that its record may
    /// survive: what was written may be found at the next start, synced or not.
    fn poisoned(&mut self, error: &StoreError) -> StoreError {
        tracing::error!(%error, "the record cannot be written any more");
        let cause = error.to_string();
        let uncertain = Err(StoreError::Uncertain { cause: cause.clone() });
        answer(&mut self.after_write, &uncertain);
        answer(&mut self.after_sync, &uncertain);
        let in_memory = Err(StoreError::InMemory { cause: cause.clone() });
        answer(&mut self.after_anchor, &in_memory);
        self.unlink_unwritten();
        self.condition.set(Recording::Poisoned { cause: cause.clone() });
        self.poison.get_or_insert(StoreError::Poisoned { cause }).clone()
    }

    /// Has the books end with what was written, so that their pages can be read. The state keeps
    /// what was decided: it may have been written in part, and nothing is spent twice.
    fn unlink_unwritten(&mut self) {
        let mut lost: Vec<Record> = Vec::new();
        self.journal.forget_unwritten(|position, raw| {
            lost.extend(Record::read(&self.segments, position, raw));
        });
        for line in lost.iter().rev().flat_map(|record| record.lines.iter().rev()) {
            if let (Some(agent), Some(chain)) = (&line.entry.agent, line.entry.chain) {
                let (n, position) = (chain.n.saturating_sub(1), chain.prev.unwrap_or(0));
                self.state.relink(agent, Link { n, position, hash: chain.prev_hash });
            }
        }
    }

    /// Writes down what is owed and of what was only counted what `take` takes, and has the anchor
    /// name it.
    fn bring_up_record(&mut self, take: fn(&mut State) -> Vec<Draft>) {
        let now = self.clock.now().max(self.state.now());
        // By the time that the record has seen: a clock that errs for a moment forgets nothing.
        self.state.forget_expired_keys(self.state.now());
        self.settle_up();
        self.write_repeats(take, now);
        self.flush();
        self.sync();
        self.bring_up_anchor();
    }

    /// Writes down what was only counted, and brings the desk up to date.
    fn tick(&mut self) {
        self.bring_up_record(State::take_due_repeats);
        let busy = self.desk.as_ref().is_some_and(DeskThread::is_busy);
        if !busy {
            self.bring_up_desk();
        }
        self.tick_is_due = busy;
        if self.poison.is_none() {
            self.space.refill();
            self.tick_is_due |= self.space.lacks_ballast() || !self.owed.is_empty();
            self.tick_is_due |= self.state.counts_repeats();
        }
    }

    fn write_repeats(&mut self, take: fn(&mut State) -> Vec<Draft>, now: Timestamp) {
        if self.poison.is_some() {
            return;
        }
        let mut repeats = take(&mut self.state).into_iter().peekable();
        while repeats.peek().is_some() {
            let some: Vec<Draft> = repeats.by_ref().take(TICK_DRAFTS).collect();
            let made = self.prepare(Purpose::Record).and_then(|()| self.record(some, now));
            if let Err(error) = made {
                tracing::warn!(%error, "counted denials were not recorded");
            }
        }
    }

    /// Syncs what nobody waits for.
    pub(super) fn sync(&mut self) {
        if self.poison.is_none() && !self.journal.is_synced() {
            let synced = self.journal.sync();
            self.check(synced);
        }
    }

    /// Hands what changed to the desk, which is synced: the desk must never know more than the
    /// journal.
    fn bring_up_desk(&mut self) {
        // What is in force in memory only is no business of the desk: no entry says it.
        if self.poison.is_some() || self.owed.iter().any(lowers) {
            return;
        }
        if let Some(desk) = &self.desk {
            let all = std::mem::take(&mut self.desk_is_blank);
            desk.hand_over(Changes::of(&mut self.state, all, &self.journal));
        } else {
            self.state.drain(false);
        }
    }

    /// Leaves everything synced and the desk as the journal has it.
    fn finish(mut self) {
        self.bring_up_record(|state| state.take_repeats(None));
        if let Some(desk) = &self.desk {
            desk.wait();
        }
        self.bring_up_desk();
        if let Some(anchor) = self.anchor.take() {
            anchor.finish();
        }
        if let Some(desk) = self.desk.take() {
            desk.finish();
        }
    }
}

fn answer(replies: &mut Vec<Reply>, outcome: &Result<(), StoreError>) {
    for reply in replies.drain(..) {
        reply(outcome.clone());
    }
}

fn since(then: Instant) -> Duration {
    clock::instant().saturating_duration_since(then)
}
