//! The head anchor: an older copy is told from the present, and a lost anchor from an old copy.

use super::*;

fn anchored(anchors: &SimDisk) -> Options {
    Options { anchor: Some(anchors.port()), ..options(SEGMENT_BYTES) }
}

/// A journal of two records, an older copy of it with one, and the anchor that names the second.
fn journal_and_older_copy() -> (SimDisk, SimDisk, SimDisk) {
    let (disk, anchors) = (SimDisk::default(), SimDisk::default());
    let older = block_on(async {
        let store = Store::open(disk.port(), anchored(&anchors)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        let older = disk.copy();
        commit(&store, vec![credit("scout", 7)]).await.unwrap();
        store.close().await;
        older
    });
    (disk, older, anchors)
}

#[test]
fn an_older_copy_of_the_journal_seals_the_store() {
    let (disk, older, anchors) = journal_and_older_copy();
    let forked = older.copy();
    block_on(async {
        let store = Store::open(forked.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![credit("scout", 1)]).await.unwrap();
        store.close().await;
    });
    let longer = forked.copy();
    block_on(async {
        let store = Store::open(longer.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![credit("scout", 1)]).await.unwrap();
        store.close().await;
    });
    for (what, journal, says) in [
        ("older", older, "it ends with record 1"),
        ("forked", forked, "another record stands in its place"),
        ("longer fork", longer, "another record stands in its place"),
    ] {
        let (bytes, anchor) = (journal.bytes(&journal.names()[0]), anchors.copy());
        let error = sealed(Store::open(journal.port(), anchored(&anchor)));
        assert!(matches!(error, StoreError::OlderThanAnchor { anchor: 2, .. }), "{what}: {error}");
        assert!(error.to_string().contains(says), "{what}: {error}");
        assert_eq!(journal.bytes(&journal.names()[0]), bytes, "{what}: nothing is touched");
        let name = &anchor.names()[0];
        assert_eq!(anchor.bytes(name), anchors.bytes(name), "{what}: nor the anchor");
        let looked = look(journal.port(), Path::new("/nowhere"), Some(&*anchors.port()));
        assert!(matches!(looked, Err(StoreError::OlderThanAnchor { .. })), "{what}: {looked:?}");
    }
    let store = Store::open(disk.port(), anchored(&anchors)).unwrap();
    assert!(matches!(store.condition().recording, Recording::Sound));
    block_on(store.close());
}

#[test]
fn damage_to_the_very_last_record_is_known_for_damage() {
    let (disk, _, anchors) = journal_and_older_copy();
    let name = &disk.names()[0];
    let (_, records, _) = fold(&disk);
    let position = usize::try_from(records[1].position).unwrap();
    for at in [position, position + 5, position + 20, end_of(&disk, name) - 1] {
        let damaged = disk.copy();
        damaged.tamper(name, |bytes| bytes[at] ^= 0x40);
        let error = sealed(Store::open(damaged.port(), anchored(&anchors.copy())));
        let StoreError::Damaged { file, offset, .. } = &error else { panic!("{error}") };
        assert_eq!((file, *offset), (name, records[1].position), "{error}");
    }
}

#[test]
fn a_journal_without_an_anchor_is_adopted_once() {
    let (disk, older, anchors) = journal_and_older_copy();
    let unreadable = anchors.copy();
    unreadable.tamper(&anchors.names()[0], |bytes| bytes.fill(9));
    for lost in [SimDisk::default(), unreadable] {
        let store = Store::open(disk.copy().port(), anchored(&lost)).unwrap();
        assert!(store.opened().adopted);
        block_on(store.close());
        let store = Store::open(disk.copy().port(), anchored(&lost)).unwrap();
        assert!(!store.opened().adopted, "it is there again");
        block_on(store.close());
        let error = sealed(Store::open(older.copy().port(), anchored(&lost)));
        assert!(matches!(error, StoreError::OlderThanAnchor { .. }), "{error}");
    }
    let store = Store::open(SimDisk::default().port(), anchored(&SimDisk::default())).unwrap();
    assert!(!store.opened().adopted, "a new store has nothing to adopt");
    block_on(store.close());
}

#[test]
fn one_broken_slot_leaves_the_other() {
    let (disk, older, anchors) = journal_and_older_copy();
    let name = &anchors.names()[0];
    for slot in [0, 512] {
        let broken = anchors.copy();
        broken.tamper(name, |bytes| bytes[slot + 60] ^= 1);
        let store = Store::open(disk.copy().port(), anchored(&broken.copy())).unwrap();
        assert!(!store.opened().adopted, "slot at {slot}");
        block_on(store.close());
        let store = Store::open(older.copy().port(), anchored(&broken)).unwrap();
        // The older slot names a record that the older copy has, or the newer one seals it.
        let sealed = matches!(store.condition().recording, Recording::Sealed(_));
        assert!(!store.opened().adopted, "slot at {slot}, sealed: {sealed}");
        block_on(store.close());
    }
}

/// The sequence that the anchor names after a power cut.
fn named(anchors: &SimDisk) -> u64 {
    let found = anchors.after_power_cut(|_| false);
    let bytes = found.bytes(&found.names()[0]);
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let slots = [0, 512].map(|slot| (word(slot + 32), word(slot + 40)));
    slots.into_iter().max().unwrap().1
}

#[test]
fn what_was_lowered_is_anchored_before_the_answer_and_the_rest_within_a_second() {
    let (disk, anchors) = (SimDisk::default(), SimDisk::default());
    block_on(async {
        let store = Store::open(disk.port(), anchored(&anchors)).unwrap();
        assert_eq!(named(&anchors), 0, "the anchor is there before the first record");
        commit(&store, vec![opened("scout")]).await.unwrap();
        assert_eq!(named(&anchors), 0, "no payment waits for it");
        lower(&store, vec![revoked("scout")]).await.unwrap();
        assert_eq!(named(&anchors), 2);
        commit(&store, vec![opened("intern")]).await.unwrap();
        deny(&store, "intern").await.unwrap();
        for _ in 0..300 {
            if named(&anchors) == 4 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(named(&anchors), 4, "the tick brought it up");
        commit(&store, vec![credit("intern", 1)]).await.unwrap();
        store.close().await;
        assert_eq!(named(&anchors), 5, "a clean stop brings it up");
    });
}

#[test]
fn an_agent_that_a_stop_freezes_is_anchored_before_the_answer_too() {
    let (disk, anchors) = (SimDisk::default(), SimDisk::default());
    block_on(async {
        let store = Store::open(disk.port(), anchored(&anchors)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        let reason = "identical-burst".parse().unwrap();
        let frozen = Draft {
            agent: Some(handle("scout")),
            by: By::Engine,
            fact: Fact::Frozen { reason, note: None },
        };
        for purpose in [Purpose::Spend, Purpose::Record] {
            commit(&store, vec![credit("scout", 1)]).await.unwrap();
            let behind = named(&anchors);
            commit_for(&store, purpose, vec![frozen.clone()]).await.unwrap();
            assert!(named(&anchors) >= behind + 2, "{purpose:?}");
        }
        store.close().await;
    });
}

#[test]
fn a_lowering_is_answered_only_once_the_anchor_names_it() {
    // The disk of the anchor fails: the answer comes, for the record is synced, and it is told.
    let (disk, anchors) = (SimDisk::default(), SimDisk::default());
    block_on(async {
        let store = Store::open(disk.port(), anchored(&anchors)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        assert!(store.condition().anchored);
        anchors.fail_at(anchors.boundaries() + 1, std::io::ErrorKind::Other);
        lower(&store, vec![revoked("scout")]).await.unwrap();
        assert!(!store.condition().anchored);
        // The next try writes the same slot, and the other one was never in danger.
        assert_eq!(named(&anchors), 0);
        lower(&store, vec![revoked("scout")]).await.unwrap();
        assert!(store.condition().anchored);
        assert_eq!(named(&anchors), 3);
        store.close().await;
    });
}

#[test]
fn serving_goes_on_where_no_anchor_can_be_written() {
    let (disk, anchors) = (SimDisk::default(), SimDisk::default());
    anchors.fail_at(1, std::io::ErrorKind::PermissionDenied);
    block_on(async {
        let store = Store::open(disk.port(), anchored(&anchors)).unwrap();
        assert!(!store.condition().anchored);
        commit(&store, vec![opened("scout")]).await.unwrap();
        lower(&store, vec![revoked("scout")]).await.unwrap();
        store.close().await;
    });
}
