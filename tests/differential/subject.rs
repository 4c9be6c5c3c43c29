//! What is held against the reference: policy alone, folded in memory, or engine and store.

use std::path::Path;

use jiff::Timestamp;
use pettycash::{
    clock::Clock,
    engine::{Call, Engine},
    policy::{answer::PayAnswer, entry::Draft, names::PaymentId, state::State},
    rails::Rails,
    store::{Decision, Options, Purpose, Store},
};
use tokio::runtime::Runtime;

use super::decide::Does;
use crate::support::{bench::Bench, canary::Searched, private_dir, sim_disk::SimDisk};

pub(crate) enum Subject {
    Memory(Box<Bench>),
    Home(Box<Home>),
}

/// An engine on the simulated disk, with its desk in a real directory.
pub(crate) struct Home {
    runtime: Runtime,
    disk: SimDisk,
    beside: Searched,
    clock: Clock,
    store: Store,
    engine: Engine,
}

/// Segments short enough that histories rotate them.
const SEGMENT_BYTES: u64 = 128 * 1024;

fn open(runtime: &Runtime, disk: &SimDisk, beside: &Path, clock: &Clock) -> (Store, Engine) {
    let kept = Some(beside.join("desk"));
    let options =
        Options { segment_bytes: SEGMENT_BYTES, desk: kept, ..Options::bare(clock.clone()) };
    let store = Store::open(disk.port(), options).expect("the store");
    let engine = runtime.block_on(Engine::open(store.clone(), Rails::default(), clock.clone()));
    (store, engine.expect("the engine"))
}

impl Home {
    fn at(now: Timestamp) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (disk, beside, clock) = (SimDisk::default(), private_dir(), Clock::fixed(now));
        let (store, engine) = open(&runtime, &disk, beside.path(), &clock);
        Self { runtime, disk, beside, clock, store, engine }
    }

    /// Opens the record again: after a clean stop, or after a power cut that lost what `cut`
    /// chooses of the unsynced pieces.
    fn reopen(&mut self, cut: Option<u64>) {
        if cut.is_some() {
            self.disk.power_off_at(self.disk.boundaries() + 1);
        }
        self.runtime.block_on(self.engine.close());
        if let Some(cut) = cut {
            self.disk = self.disk.after_power_cut(|piece| cut >> (piece % 64) & 1 == 1);
        }
        let opened = open(&self.runtime, &self.disk, self.beside.path(), &self.clock);
        (self.store, self.engine) = opened;
    }

    pub(crate) fn pay(&self, call: Call) -> PayAnswer {
        let answer = self.runtime.block_on(self.engine.call("pay_for_api_call", call));
        serde_json::from_value(answer.expect("a tool")).expect("an answer")
    }

    /// The facts that the record of a payment holds.
    pub(crate) fn facts(&self, payment: PaymentId) -> Vec<pettycash::policy::entry::Fact> {
        let record = self.store.record(payment.position()).expect("the record");
        record.lines.into_iter().map(|line| line.entry.fact).collect()
    }
}

impl Subject {
    pub(crate) fn in_memory(at: &str) -> Self {
        Self::Memory(Box::new(Bench::at(at)))
    }

    pub(crate) fn on_disk(at: &str) -> Self {
        Self::Home(Box::new(Home::at(at.parse().unwrap())))
    }

    pub(crate) fn set_clock(&mut self, second: i64) {
        let at = Timestamp::from_second(second).unwrap();
        match self {
            Self::Memory(bench) => bench.now = at,
            Self::Home(home) => home.clock.advance(at.duration_since(home.clock.now())),
        }
    }

    /// Decides on the newest state, and writes down the facts that come of it.
    pub(crate) fn commit<R: Send + 'static>(
        &mut self,
        decide: impl FnOnce(&State, PaymentId, Timestamp) -> (Vec<Draft>, R) + Send + 'static,
    ) -> R {
        self.tell(|state, id, now| {
            let (drafts, answer) = decide(state, id, now);
            (Does::Write(drafts), answer)
        })
    }

    /// The same where denials may only be counted: in memory each other one waits to be written.
    pub(crate) fn tell<R: Send + 'static>(
        &mut self,
        decide: impl FnOnce(&State, PaymentId, Timestamp) -> (Does, R) + Send + 'static,
    ) -> R {
        match self {
            Self::Memory(bench) => {
                let (does, answer) = decide(&bench.state, bench.next_id(), bench.engine_now());
                match does {
                    Does::Write(drafts) => bench.write(drafts),
                    Does::Count(agent, repeat) => {
                        bench.count(&agent, repeat);
                        if bench.entries.len().is_multiple_of(2) {
                            bench.write_counted();
                        }
                    }
                }
                answer
            }
            Self::Home(home) => {
                let decided = home.store.commit(Purpose::Record, |state, id, now| {
                    let (does, answer) = decide(state, id, now);
                    let drafts = match does {
                        Does::Write(drafts) if drafts.is_empty() => {
                            return Decision::Answer(answer);
                        }
                        Does::Write(drafts) => drafts,
                        Does::Count(agent, repeat) => {
                            return Decision::Repeat { agent, repeat, answer };
                        }
                    };
                    let answer = Box::new(move |_: &State| answer);
                    Decision::Commit { drafts, durable: true, answer }
                });
                home.runtime.block_on(decided).expect("a commit")
            }
        }
    }

    /// Reads the newest state, with the time that decisions take for now.
    pub(crate) fn read<R: Send + 'static>(
        &self,
        look: impl FnOnce(&State, Timestamp) -> R + Send + 'static,
    ) -> R {
        match self {
            Self::Memory(bench) => look(&bench.state, bench.engine_now()),
            Self::Home(home) => {
                let clock = home.clock.clone();
                let look = move |state: &State, _| look(state, clock.now().max(state.now()));
                home.runtime.block_on(home.store.read(look)).expect("a look")
            }
        }
    }

    /// Opens the record again, where there is one.
    pub(crate) fn reopen(&mut self, cut: Option<u64>) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Home(home) => {
                home.reopen(cut);
                true
            }
        }
    }
}
