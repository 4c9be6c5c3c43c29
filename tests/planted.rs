//! Mistakes that policy makes on purpose, each of which the reference must notice.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use pettycash::policy::planted::{Bug, plant, plant_everywhere};

use crate::{
    differential::{seed, until_difference},
    engine::group_sums::problems,
};

/// How many operations it may take to find one: as many as every run in CI compares.
const BOUND: usize = 1_000_000;
/// How often each is searched for, each time from another seed: once, unless `SEARCHES` says more.
const SEARCHES: u64 = 1;

/// What is planted everywhere is planted where others are looked for, too.
static PLANTING: Mutex<()> = Mutex::new(());

/// Whether a mistake is looked for: all of them, or those that `BUGS` names.
fn wanted(bug: Bug) -> bool {
    let named = std::env::var("BUGS").ok().filter(|_| std::env::var_os("CI").is_none());
    named.is_none_or(|named| named.split(',').any(|name| name == format!("{bug:?}")))
}

fn searches() -> u64 {
    let given = std::env::var("SEARCHES").ok();
    given.map_or(SEARCHES, |given| given.parse().expect("a number"))
}

/// After how many operations each mistake is found: every search of each, in turn with others on
/// as many threads as there are cores.
fn searched(bugs: &[Bug], seed: u64) -> Vec<(Bug, Option<usize>)> {
    let searches: Vec<(Bug, u64)> =
        bugs.iter().flat_map(|bug| (0..searches()).map(|nth| (*bug, nth))).collect();
    let next = AtomicUsize::new(0);
    let look = || {
        let mut found = Vec::new();
        while let Some((bug, nth)) = searches.get(next.fetch_add(1, Ordering::Relaxed)) {
            plant(Some(*bug));
            found.push((*bug, until_difference(seed, *nth, BOUND)));
        }
        found
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(look)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn every_planted_mistake_is_found() {
    let _only = PLANTING.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = seed();
    assert_eq!(until_difference(seed, 0, 20_000), None, "without a mistake there is nothing");
    let bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| wanted(*bug)).collect();
    let found = searched(&bugs, seed);
    let mut missed = Vec::new();
    for bug in bugs {
        let of_it = || found.iter().filter(|(of, _)| *of == bug).map(|(_, found)| *found);
        let mut took: Vec<usize> = of_it().flatten().collect();
        took.sort_unstable();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        println!("{bug:?}: {} of {}, median {median} operations", took.len(), searches());
        if of_it().any(|found| found.is_none()) {
            missed.push(bug);
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
    assert!(Bug::ALL.len() >= 50);
}

/// Books and entries agree where both are folded wrongly: the second sum must not.
#[test]
fn verify_finds_groups_that_are_folded_wrongly() {
    let _only = PLANTING.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    plant_everywhere(Some(Bug::GroupKeepsHold));
    let found = runtime.block_on(problems());
    plant_everywhere(None);
    let wrong = |group: &str| format!("the entries' sums are not those of the group `{group}`");
    assert_eq!(found, [wrong("org"), wrong("team")]);
}
