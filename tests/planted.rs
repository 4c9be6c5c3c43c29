//! Mistakes that policy makes on purpose, each of which the reference must notice.

use pettycash::policy::planted::{Bug, plant};

use crate::differential::{seed, until_difference};

/// How many operations it may take to find one: as many as every run in CI compares.
const BOUND: usize = 1_000_000;
/// How often each is searched for, each time from another seed.
const SEARCHES: u64 = 3;

/// Whether a mistake is looked for: all of them, or those that `BUGS` names.
fn wanted(bug: Bug) -> bool {
    let named = std::env::var("BUGS").ok().filter(|_| std::env::var_os("CI").is_none());
    named.is_none_or(|named| named.split(',').any(|name| name == format!("{bug:?}")))
}

#[test]
fn every_planted_mistake_is_found() {
    let seed = seed();
    let mut missed = Vec::new();
    for bug in Bug::ALL.iter().filter(|bug| wanted(**bug)) {
        plant(Some(*bug));
        let found = until_difference(seed, SEARCHES, BOUND);
        plant(None);
        let mut took: Vec<usize> = found.iter().flatten().copied().collect();
        took.sort_unstable();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        println!("{bug:?}: {} of {SEARCHES}, median {median} operations", took.len());
        if took.len() < found.len() {
            missed.push(*bug);
        }
    }
    assert_eq!(until_difference(seed, 1, 20_000), [None], "without a mistake there is nothing");
    assert!(missed.is_empty(), "not found: {missed:?}");
    assert!(Bug::ALL.len() >= 50);
}
