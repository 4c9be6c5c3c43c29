//! Clocks that are set: forward, back, and a machine that slept.

use std::time::Duration;

use jiff::SignedDuration;
use pettycash::{clock::instant, policy::entry::Incident};

use super::*;

/// The entries of a store on which `each` was done to the clock between commits.
fn entries(each: &[&dyn Fn(&Clock)]) -> Vec<Entry> {
    let disk = SimDisk::default();
    let clock = clock();
    let options = Options { clock: clock.clone(), ..options(SEGMENT_BYTES) };
    block_on(async {
        let store = Store::open(disk.port(), options).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        for change in each {
            change(&clock);
            commit(&store, vec![credit("scout", 1)]).await.unwrap();
        }
        store.close().await;
    });
    let (_, records, _) = fold(&disk);
    records.into_iter().flat_map(|record| record.lines).map(|line| line.entry).collect()
}

fn jumps(entries: &[Entry]) -> Vec<(String, String)> {
    let jump = |entry: &Entry| match &entry.fact {
        Fact::Incident(Incident::ClockJumped { from, to }) => {
            Some((from.to_string(), to.to_string()))
        }
        _ => None,
    };
    entries.iter().filter_map(jump).collect()
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[test]
fn a_clock_that_is_set_forward_is_accepted_and_written_down_before_what_follows() {
    let entries = entries(&[&|clock| clock.set(HOUR)]);
    let told = ("2026-11-21T10:00:00Z".to_owned(), "2026-11-21T11:00:00Z".to_owned());
    assert_eq!(jumps(&entries), [told]);
    assert!(matches!(entries[1].fact, Fact::Incident(_)), "before the credit");
    assert_eq!(entries[2].at.to_string(), "2026-11-21T11:00:00Z");
}

#[test]
fn time_that_passed_is_no_jump_also_while_the_machine_slept() {
    let day = SignedDuration::from_hours(24);
    let minute = SignedDuration::from_secs(60);
    let none = entries(&[
        &|clock| clock.advance(day),
        &|clock| clock.set(minute),
        &|clock| clock.set(-HOUR),
        &|clock| clock.set(HOUR),
    ]);
    assert_eq!(jumps(&none), []);
}

#[test]
fn time_never_goes_back_in_the_record() {
    let entries = entries(&[&|clock| clock.advance(HOUR * -5)]);
    assert_eq!(entries[0].at, entries[1].at);
}

#[test]
fn many_small_steps_forward_are_a_jump_too() {
    let step: &dyn Fn(&Clock) = &|clock| clock.set(SignedDuration::from_secs(25));
    assert_eq!(jumps(&entries(&[step, step])), []);
    assert_eq!(jumps(&entries(&[step, step, step])).len(), 1);
}

#[test]
fn a_jump_is_written_down_also_where_nothing_is_decided() {
    let disk = SimDisk::default();
    let clock = clock();
    let watched_every = Duration::from_millis(10);
    let options = Options { clock: clock.clone(), watched_every, ..options(SEGMENT_BYTES) };
    block_on(async {
        let store = Store::open(disk.port(), options).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        let seq = async || store.read(|_, head| head.seq).await.unwrap();
        // The first may be seen by what was still to do; with it written down nothing is.
        for _ in 0..2 {
            let before = seq().await;
            clock.set(HOUR);
            let until = instant() + Duration::from_secs(20);
            while seq().await == before {
                assert!(instant() < until, "nobody watched the clock");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        // Set back again, it stays told.
        clock.set(-HOUR);
        store.close().await;
    });
    let (_, records, _) = fold(&disk);
    let entries: Vec<_> =
        records.into_iter().flat_map(|record| record.lines).map(|line| line.entry).collect();
    assert_eq!(jumps(&entries).len(), 2);
}

#[test]
fn a_clock_behind_the_record_holds_its_time_still() {
    let entries = entries(&[&|clock| clock.set(-HOUR), &|clock| clock.set(HOUR)]);
    assert_eq!(entries[0].at, entries[1].at);
}
