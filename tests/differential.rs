//! Policy against a second opinion of it: random histories, lived through by both, compared after
//! every operation.

mod caps;
mod decide;
mod exposure;
mod models;
pub(crate) mod ops;
mod paces;
mod quotes;
mod run;
mod subject;
mod tasks;
mod tokens;
mod trial;
mod trust;
mod words;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use ops::{LENGTH, Op, history};
use run::{Counts, Pair};
use subject::Subject;

/// How many operations one run in CI compares.
const OPERATIONS: usize = 1_250_000;

/// Each operation, and reason, and cap, and advice that a run must have seen often enough.
const OPS: [&str; 46] = [
    "repin",
    "repin refused",
    "clock rate",
    "clock opening",
    "pay",
    "hold",
    "send",
    "doubt",
    "fail",
    "expire",
    "void",
    "capture",
    "refund",
    "top up",
    "freeze",
    "unfreeze",
    "freeze all",
    "unfreeze all",
    "revoke",
    "open",
    "mandate",
    "service",
    "remove",
    "clock forward",
    "clock back",
    "clock window",
    "clock cap",
    "clock expiry",
    "clock month",
    "forget",
    "recover",
    "mandate refused",
    "token",
    "token refused",
    "token revoked",
    "clock token",
    "quote",
    "group",
    "group refused",
    "ungroup",
    "open task",
    "open task refused",
    "finish task",
    "finish task refused",
    "resume task",
    "resume task refused",
];
const CODES: [&str; 18] = [
    "payee_changed",
    "rate_limited",
    "outside_active_hours",
    "loop_detected",
    "invalid_request",
    "idempotency_key_reused",
    "agent_unknown",
    "agent_revoked",
    "agent_frozen",
    "mandate_expired",
    "service_unknown",
    "service_not_allowed",
    "price_above_maximum",
    "per_call_limit_exceeded",
    "cap_exceeded",
    "insufficient_balance",
    "task_unknown",
    "task_failed",
];
const COMING: [&str; 5] = [
    "by name let in",
    "by name turned away",
    "by token let in",
    "by token turned away",
    "operator let in",
];
const CAPS: [&str; 19] = [
    "hour",
    "day",
    "week",
    "month",
    "lifetime",
    "rolling",
    "run",
    "task",
    "amount on all",
    "amount on service",
    "amount on category",
    "amount on payee",
    "count on all",
    "count on service",
    "count on category",
    "count on payee",
    "of a group",
    "amount on type",
    "count on type",
];
const ADVICE: [&str; 5] = ["fix_request", "shrink", "wait", "ask_operator", "stop"];

/// Lives through the history of `seed`; at a difference tells the shortest that still shows one.
fn live(subject: fn(&str) -> Subject, seed: u64) -> Result<Counts, String> {
    let (at, ops) = history(seed);
    let (counts, wrong) = Pair::run(subject, at, &ops);
    let Some((length, _)) = wrong else { return Ok(counts) };
    let (ops, told) = shrunken(subject, at, ops[..length].to_vec());
    let ops: Vec<String> = ops.iter().map(|op| format!("  {op:?}")).collect();
    Err(format!("seed {seed}, from {at}:\n{}\n{told}", ops.join("\n")))
}

/// Leaves out what the difference does not need.
fn shrunken(subject: fn(&str) -> Subject, at: &str, mut ops: Vec<Op>) -> (Vec<Op>, String) {
    let mut told = String::new();
    let mut chunk = ops.len();
    while chunk > 0 {
        let mut from = 0;
        while from < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(from..(from + chunk).min(ops.len()));
            if let (_, Some((length, why))) = Pair::run(subject, at, &fewer) {
                fewer.truncate(length);
                (ops, told) = (fewer, why);
            } else {
                from += chunk;
            }
        }
        chunk /= 2;
    }
    (ops, told)
}

/// Lives through so many histories, on as many threads as there are cores.
fn live_many(subject: fn(&str) -> Subject, seed: u64, many: u64) -> Counts {
    let next = AtomicU64::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let lived = thread::scope(|scope| {
        let one = || {
            let mut counts = Counts::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= many {
                    return Ok(counts);
                }
                let lived = live(subject, seed.wrapping_add(number));
                let lived = lived.inspect_err(|_| next.store(many, Ordering::Relaxed))?;
                for (what, count) in lived {
                    *counts.entry(what).or_default() += count;
                }
            }
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let mut all = Counts::new();
    for counts in lived {
        let counts = counts.unwrap_or_else(|told: String| panic!("{told}"));
        for (what, count) in counts {
            *all.entry(what).or_default() += count;
        }
    }
    all
}

/// How many operations go by until policy and the reference differ, if they do within `bound`: the
/// `nth` search from a seed.
#[cfg(feature = "planted")]
pub(crate) fn until_difference(began: u64, nth: u64, bound: usize) -> Option<usize> {
    let mut gone = 0;
    for number in 0.. {
        if gone >= bound {
            break;
        }
        let (at, ops) = history(began.wrapping_add(nth << 32).wrapping_add(number));
        let (_, wrong) = Pair::run(Subject::in_memory, at, &ops);
        if let Some((operations, _)) = wrong {
            return Some(gone + operations);
        }
        gone += ops.len();
    }
    None
}

/// The seed of this run: another one each time, unless it is given.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = given.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes) >> 16
    });
    println!("SEED={seed}");
    seed
}

fn tell(counts: &Counts) {
    for (what, count) in counts {
        println!("{count:>8} {what}");
    }
}

#[test]
fn a_million_operations_are_decided_as_the_reference_decides_them() {
    let counts = live_many(Subject::in_memory, seed(), (OPERATIONS / LENGTH) as u64);
    tell(&counts);
    let ops = OPS.iter().map(|op| format!("op {op}"));
    let codes = CODES.iter().map(|code| format!("code {code}"));
    let caps = CAPS.iter().map(|cap| format!("cap {cap}"));
    let advice = ADVICE.iter().map(|advice| format!("advice {advice}"));
    let paced = ["paced payments", "paced equal", "paced denials", "paced cooldown", "flagged"];
    let both = ["granted", "replayed"].into_iter().chain(paced).map(str::to_owned);
    let coming = COMING.map(str::to_owned);
    for what in ops.chain(codes).chain(caps).chain(advice).chain(both).chain(coming) {
        let count = counts.get(&what).copied().unwrap_or_default();
        // Of some things there are many kinds, those on caps come in bursts, and few holds are
        // there for each way that one can end.
        let least = match &*what {
            what if what.contains(" on ") => 50,
            what if what.contains("group") => 150,
            "op doubt" | "op fail" | "op expire" => 250,
            _ => 500,
        };
        assert!(count >= least, "{what} happened only {count} times: the test sees too little");
    }
}

#[test]
fn the_engine_and_its_record_decide_as_the_reference_does() {
    let counts = live_many(Subject::on_disk, seed(), 20_000 / LENGTH as u64);
    tell(&counts);
    for what in ["op reopen", "op power cut", "granted"] {
        assert!(counts[what] >= 20, "{what} happened only {} times", counts[what]);
    }
}
