//! Power cuts: what was acknowledged survives, and what was torn stays dead.

use super::*;

/// How many power cuts there are at least: a boundary, and what of the unsynced survived it.
const CUTS: usize = 20_000;

/// Whether a piece gets to the disk: none, all, every second one, and then by chance.
fn survives(which: usize, piece: usize) -> bool {
    match which {
        0 => false,
        1 => true,
        2 => piece.is_multiple_of(2),
        3 => !piece.is_multiple_of(2),
        4 => piece == 0,
        5 => piece > 0,
        _ => {
            let mut word = (which as u64) << 32 | piece as u64;
            word = (word ^ word >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (word ^ word >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 63 == 1
        }
    }
}

fn guarded(anchors: &SimDisk) -> Options {
    Options { anchor: Some(anchors.port()), ballast: 600, ..options(SMALL) }
}

/// The history, with what is lowered in it, on a disk with an anchor beside it. Gives back what
/// was acknowledged.
fn guarded_history(disk: &SimDisk, anchors: &SimDisk) -> Vec<PaymentId> {
    let mut acknowledged = Vec::new();
    let Ok(store) = Store::open(disk.port(), guarded(anchors)) else { return acknowledged };
    block_on(async {
        for step in 0..14 {
            let done = match step {
                0 => commit(&store, vec![opened("scout"), credit("scout", 500)]).await,
                1 => commit(&store, vec![opened("intern")]).await,
                4 | 8 | 9 => {
                    let _ = deny(&store, "scout").await;
                    continue;
                }
                6 => lower(&store, vec![revoked("intern")]).await,
                12 => lower(&store, vec![revoked("scout")]).await,
                _ => commit(&store, vec![credit("scout", step)]).await,
            };
            acknowledged.extend(done.ok());
        }
        store.close().await;
    });
    acknowledged
}

#[test]
fn twenty_thousand_power_cuts_lose_nothing_that_was_acknowledged() {
    let (whole, beside) = (SimDisk::default(), SimDisk::default());
    let beside = beside.powered_by(&whole);
    assert_eq!(guarded_history(&whole, &beside).len(), 11);
    let boundaries = whole.boundaries();
    assert!(boundaries > 40, "{boundaries}");
    assert!(whole.names().len() > 2, "the history rotates");
    let survivors = CUTS.div_ceil(boundaries);
    let (mut cuts, mut torn) = (0, 0);
    for cut in 1..=boundaries {
        let disk = SimDisk::default();
        let anchors = SimDisk::default().powered_by(&disk);
        disk.power_off_at(cut);
        let acknowledged = guarded_history(&disk, &anchors);
        for which in 0..survivors {
            let what = format!("cut {cut}, survivors {which}");
            let found = disk.after_power_cut(|piece| survives(which, piece));
            let anchor = anchors.after_power_cut(|piece| survives(which, piece + 7));
            torn += usize::from(check(&found, &anchor, &acknowledged, &what, which % 32 == 0));
            cuts += 1;
        }
    }
    assert!(cuts >= CUTS, "{cuts}");
    assert!(torn > 100, "{torn} tails were torn");
}

/// That what a power cut left opens sound, with everything acknowledged, and goes on; says whether
/// a tail was cut.
fn check(
    found: &SimDisk,
    anchors: &SimDisk,
    acknowledged: &[PaymentId],
    what: &str,
    goes_on: bool,
) -> bool {
    let store = Store::open(found.port(), guarded(anchors))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let condition = store.condition();
    assert!(matches!(condition.recording, Recording::Sound), "{what}: {condition:?}");
    assert!(!store.opened().adopted, "{what}");
    for id in acknowledged {
        store.record(id.position()).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    let torn = store.opened().torn.is_some();
    if !goes_on {
        return torn;
    }
    // It goes on from there, and what follows stands behind what was there.
    let state = block_on(state_of(&store));
    let (folded, before, _) = fold(found);
    assert_eq!(folded, state, "{what}");
    block_on(async {
        commit(&store, vec![opened("late")]).await.unwrap();
        store.close().await;
    });
    let (_, after, replayed) = fold(found);
    assert_eq!(after[..before.len()], before[..], "{what}");
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(replayed.torn, None);
    torn
}

#[test]
fn a_torn_tail_is_cut_and_never_comes_alive_again() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        store.close().await;
    });
    let (_, records, _) = fold(&disk);
    let name = &disk.names()[0];
    let end = end_of(&disk, name);
    // Half a record that was never synced, and garbage further on.
    disk.tamper(name, |bytes| {
        let record = bytes[128..end].to_vec();
        bytes[end..end + 100].copy_from_slice(&record[..100]);
        bytes[end + 5000] = 7;
    });
    let torn = fold(&disk).2.torn.unwrap();
    assert_eq!((torn.offset, torn.bytes), (end as u64, 5001));

    let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
    assert_eq!(store.opened().torn, Some(torn));
    block_on(store.close());
    let (_, after, replayed) = fold(&disk);
    assert_eq!((&after[..1], after.len(), replayed.torn), (&records[..], 2, None));
    let end = end_of(&disk, name);
    assert!(after[1].position + 400 > end as u64, "zeros over it, up to {end}");
}

#[test]
fn what_a_failed_sync_left_in_memory_only_is_written_again_at_the_next_start() {
    let whole = SimDisk::default();
    history(&whole, SMALL);
    let mut limbo = 0;
    for failing in 1..=whole.boundaries() {
        let disk = SimDisk::default();
        disk.fail_at(failing, std::io::ErrorKind::Other);
        let acknowledged = history(&disk, SMALL);
        limbo += usize::from(disk.limbo() > 0);
        // The machine goes on: what was never synced reads as if it were on the disk.
        let Ok(store) = Store::open(disk.port(), options(SMALL)) else {
            panic!("failed at {failing}: the next start finds nothing wrong")
        };
        let seen = block_on(state_of(&store));
        block_on(async {
            commit(&store, vec![opened("late")]).await.unwrap();
        });
        let found = disk.after_power_cut(|_| false);
        let (state, records, _) = fold(&found);
        for id in &acknowledged {
            assert!(records.iter().any(|record| record.position == id.position()), "{failing}");
        }
        for book in seen.books() {
            assert_eq!(state.book(&book.handle), Some(book), "failed at {failing}");
        }
        assert!(state.book(&handle("late")).is_some(), "failed at {failing}");
        block_on(store.close());
    }
    assert!(limbo > 10, "{limbo} failed syncs left something behind");
}
