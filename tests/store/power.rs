//! Power cuts: what was acknowledged survives, and what was torn stays dead.

use super::*;

/// Which of the unsynced pieces get to the disk: none, all, and shapes in between.
const SURVIVORS: [fn(usize) -> bool; 6] =
    [|_| false, |_| true, |n| n % 2 == 0, |n| n % 2 == 1, |n| n == 0, |n| n > 0];

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_every_boundary() {
    let whole = SimDisk::default();
    assert_eq!(history(&whole, SMALL).len(), 11);
    let boundaries = whole.boundaries();
    assert!(boundaries > 30, "{boundaries}");
    assert!(whole.names().len() > 2, "the history rotates");
    for cut in 1..=boundaries {
        let disk = SimDisk::default();
        disk.power_off_at(cut);
        let acknowledged = history(&disk, SMALL);
        for (which, keep) in SURVIVORS.iter().enumerate() {
            let found = disk.after_power_cut(keep);
            let store = Store::open(found.port(), options(SMALL))
                .unwrap_or_else(|error| panic!("cut {cut}, survivors {which}: {error}"));
            let state = block_on(state_of(&store));
            for id in &acknowledged {
                let record = store.record(id.position());
                record.unwrap_or_else(|error| panic!("cut {cut}, survivors {which}: {error}"));
            }
            // It goes on from there, and what follows stands behind what was there.
            let (folded, before, _) = fold(&found);
            assert_eq!(folded, state, "cut {cut}, survivors {which}");
            block_on(async {
                commit(&store, vec![opened("late")]).await.unwrap();
                store.close().await;
            });
            let (_, after, replayed) = fold(&found);
            assert_eq!(after[..before.len()], before[..], "cut {cut}, survivors {which}");
            assert_eq!(after.len(), before.len() + 1);
            assert_eq!(replayed.torn, None);
        }
    }
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
