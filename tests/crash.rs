//! `kill -9`, again and again, while agents pay and while the record opens: whatever was
//! acknowledged is there, once.
//!
//! CI kills 300 times. `tests/soak` runs the very same with as many kills as it is told.

mod calls;
mod house;
mod metered;
mod payers;
mod session;

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use pettycash::clock::instant;

use crate::support::dice::Dice;
use house::{CrashHome, Desk};
use payers::Payers;

/// How many times `serve` is killed unless CYCLES says otherwise, and in how many homes at once.
const CYCLES: u32 = 300;
const HOMES: u32 = 2;
/// The most kills that one home sees: then it is settled, and another one is begun.
const MOST_OF_A_HOME: u32 = 600;
/// How many kills in a row hit those who recover from the kill before, and how many then hit
/// payments.
const NESTED: u32 = 3;
const PAYING: u32 = 2;
/// One in so many kills begins a row of them: 50 of 300.
const NESTED_OF: u32 = 6;
/// How often the record is verified in between, in CI; otherwise at the end of each home.
const VERIFY_EVERY: u32 = 50;
/// A `serve` that is paid through is killed within so many payments, and so long after the last.
const MORE: usize = 16;
const LATEST: Duration = Duration::from_millis(10);

/// What was done, and seen.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    kills: u32,
    homes: u32,
    /// Kills after which more was acknowledged than before.
    in_payments: u32,
    /// Kills of one that was still opening the record as another kill had left it.
    in_recovery: u32,
    /// How often several of these came in a row, without a payment in between.
    nested: u32,
    acknowledged: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.homes += other.homes;
        self.in_payments += other.in_payments;
        self.in_recovery += other.in_recovery;
        self.nested += other.nested;
        self.acknowledged += other.acknowledged;
    }
}

fn setting(name: &str, otherwise: u32) -> u32 {
    env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// One home, from its first payment to the reckoning after `kills` kills.
struct Stint {
    home: CrashHome,
    payers: Payers,
    dice: Dice,
    /// How long opening took when it was last seen through: kills spread over that.
    opening: Duration,
    tally: Tally,
}

impl Stint {
    fn new(seed: u32) -> Self {
        let (home, payers) = (CrashHome::new(), Payers::default());
        let (dice, opening) = (Dice(u64::from(seed)), LATEST);
        Self { home, payers, dice, opening, tally: Tally { homes: 1, ..Tally::default() } }
    }

    async fn run(mut self, kills: u32, verify_every: u32) -> Tally {
        let mut desks = [Desk::Missing, Desk::AsItIs, Desk::Older, Desk::AsItIs].iter().cycle();
        // It goes on until enough of them hit a recovery several times in a row, within reason.
        let enough = kills.div_ceil(NESTED_OF);
        while self.tally.kills < kills
            || self.tally.nested < enough && self.tally.kills < kills.saturating_mul(2)
        {
            // At first the record itself is just being begun.
            let mut in_a_row = 0;
            for _ in 0..NESTED {
                in_a_row += u32::from(self.kill_while_opening());
                self.verify_each(verify_every);
            }
            self.tally.in_recovery += in_a_row;
            self.tally.nested += u32::from(in_a_row > 1);
            for _ in 0..PAYING {
                self.kill_while_paying().await;
                self.verify_each(verify_every);
            }
            self.home.leave(desks.next().unwrap());
        }
        let mut serve = self.home.start();
        let (finder, _) = serve.listens();
        self.payers.settle(&finder).await;
        self.home.verify();
        serve.kill();
        self.home.verify();
        self.tally.acknowledged = self.payers.acknowledged();
        self.tally
    }

    fn verify_each(&mut self, every: u32) {
        self.tally.kills += 1;
        if self.tally.kills.is_multiple_of(every) {
            self.home.verify();
        }
    }

    /// A moment before `end`, another each time.
    fn moment(&mut self, end: Duration) -> Duration {
        let micros = usize::try_from(end.as_micros()).unwrap().max(1);
        Duration::from_micros(self.dice.below(micros) as u64)
    }

    async fn kill_while_paying(&mut self) {
        let (more, moment) = (self.dice.below(MORE), self.moment(LATEST));
        let mut serve = self.home.start();
        let (finder, opening) = serve.listens();
        self.opening = opening;
        let before = self.payers.acknowledged();
        self.payers.act(&finder, more, moment).await;
        serve.kill();
        self.tally.in_payments += u32::from(self.payers.acknowledged() > before);
    }

    fn kill_while_opening(&mut self) -> bool {
        let moment = self.moment(self.opening);
        let serve = self.home.start();
        thread::sleep(moment);
        serve.kill()
    }
}

#[test]
fn hundreds_of_kills_lose_nothing_that_was_acknowledged() {
    let cycles = setting("CYCLES", CYCLES);
    let homes = setting("HOMES", HOMES);
    let stints = cycles.div_ceil(MOST_OF_A_HOME).max(homes);
    let stint = cycles.div_ceil(stints);
    let verify_every = if cycles > CYCLES { u32::MAX } else { VERIFY_EVERY };
    let (next, all) = (AtomicU32::new(0), Mutex::new(Tally::default()));
    let began = instant();
    thread::scope(|scope| {
        for _ in 0..homes {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= stints {
                        return;
                    }
                    let runtime = tokio::runtime::Builder::new_current_thread();
                    let runtime = { runtime }.enable_all().build().unwrap();
                    let tally = runtime.block_on(Stint::new(seed).run(stint, verify_every));
                    let mut all = all.lock().unwrap();
                    all.add(tally);
                    if cycles > CYCLES {
                        eprintln!("so far: {all:?} in {:.0?}", began.elapsed());
                    }
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    let rate = f64::from(all.kills) / began.elapsed().as_secs_f64() * 60.0;
    println!(
        "soak: {} kills in {} homes ({} in payments, {} in recovery, {} times several in a row): \
         0 of {} acknowledged payments lost, every reopen fine, no cap passed; {rate:.0} a minute",
        all.kills, all.homes, all.in_payments, all.in_recovery, all.nested, all.acknowledged
    );
    assert!(all.kills >= cycles, "{all:?}");
    assert!(all.in_payments > cycles / 6, "{all:?}");
    assert!(all.in_recovery >= cycles / 4 && all.nested >= cycles / NESTED_OF, "{all:?}");
}
