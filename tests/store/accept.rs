//! What an operator accepts: an older copy, or a cut, and nothing is destroyed or forgotten.

use pettycash::{
    policy::{book::Standing, entry::Incident},
    store::{Accept, Acceptable},
};

use super::*;

fn accepting(what: Acceptable, anchors: &SimDisk) -> Options {
    let note = Some("restored from the backup".parse().unwrap());
    Options { accept: Some(Accept { what, note }), ..anchored(anchors) }
}

fn anchored(anchors: &SimDisk) -> Options {
    Options { anchor: Some(anchors.port()), ..options(700) }
}

/// A journal of several segments with three agents, of whom one is revoked at the end; as it was
/// before that; and the anchor.
fn ledgers() -> (SimDisk, SimDisk, SimDisk) {
    let disk = SimDisk::default();
    let anchors = SimDisk::default();
    let older = block_on(async {
        let store = Store::open(disk.port(), anchored(&anchors)).unwrap();
        for agent in ["scout", "intern", "clerk"] {
            commit(&store, vec![opened(agent), credit(agent, 500)]).await.unwrap();
        }
        commit(&store, vec![credit("scout", 1)]).await.unwrap();
        let older = disk.copy();
        for agent in ["intern", "scout"] {
            lower(&store, vec![revoked(agent)]).await.unwrap();
        }
        commit(&store, vec![credit("clerk", 3)]).await.unwrap();
        store.close().await;
        older
    });
    (disk, older, anchors)
}

fn frozen(state: &State) -> Vec<String> {
    let frozen = state.books().filter(|book| matches!(book.standing, Standing::Frozen { .. }));
    frozen.map(|book| book.handle.to_string()).collect()
}

#[test]
fn an_older_copy_that_is_accepted_freezes_everybody() {
    let (_, older, anchors) = ledgers();
    let before = fold(&older).1;
    let cut = sealed_for(&older, accepting(Acceptable::Cut, &anchors));
    assert!(matches!(cut, StoreError::OlderThanAnchor { .. }), "the other verb: {cut}");
    let store = Store::open(older.port(), accepting(Acceptable::Rollback, &anchors)).unwrap();
    let accepted = store.opened().accepted.clone().unwrap();
    assert_eq!((accepted.frozen, accepted.aside), (3, vec![]));
    block_on(store.close());
    let (state, after, _) = fold(&older);
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(after.len(), before.len() + 1, "the incident and the freezing are one record");
    let Fact::Incident(incident) = &after.last().unwrap().lines[0].entry.fact else { panic!() };
    let note = Some("restored from the backup".parse().unwrap());
    assert_eq!(*incident, Incident::RollbackAccepted { known: 7, reached: 4, note });
    assert_eq!(frozen(&state), ["clerk", "intern", "scout"]);
    let store = Store::open(older.port(), anchored(&anchors)).unwrap();
    assert!(matches!(store.condition().recording, Recording::Sound), "{:?}", store.condition());
    block_on(store.close());
    let again = sealed_for(&older, accepting(Acceptable::Rollback, &anchors));
    assert!(matches!(again, StoreError::NothingToAccept), "{again}");
}

/// Why a store does not open.
fn sealed_for(disk: &SimDisk, options: Options) -> StoreError {
    Store::open(disk.port(), options).err().expect("it is not accepted")
}

#[test]
fn damage_that_is_cut_is_kept_aside() {
    let (disk, _, anchors) = ledgers();
    let (_, records, _) = fold(&disk);
    let names = disk.names();
    assert!(names.len() >= 3, "{names:?}");
    // In the second segment, with another behind it.
    let base = u64::from_str_radix(&names[1][..16], 16).unwrap();
    let record = records.iter().find(|record| record.position > base).unwrap();
    let offset = record.position - base;
    disk.tamper(&names[1], |bytes| bytes[usize::try_from(offset).unwrap() + 70] ^= 1);
    let whole = disk.copy();
    let store = Store::open(disk.port(), accepting(Acceptable::Cut, &anchors)).unwrap();
    let accepted = store.opened().accepted.clone().unwrap();
    block_on(store.close());
    let Incident::DamageCut { file, offset: at, bytes, .. } = &accepted.incident else { panic!() };
    assert_eq!((file, *at), (&names[1], offset));
    let aside: Vec<u8> = accepted.aside.iter().flat_map(|name| disk.bytes(name)).collect();
    assert_eq!(aside.len() as u64, *bytes);
    let rest = &whole.bytes(&names[1])[usize::try_from(offset).unwrap()..];
    let rest = &rest[..=rest.iter().rposition(|byte| *byte != 0).unwrap()];
    assert_eq!(disk.bytes(&accepted.aside[0]), rest, "byte for byte");
    assert_eq!(accepted.aside.len(), names.len() - 1);
    let (state, after, _) = fold(&disk);
    assert_eq!(after.len() as u64, record.seq, "up to the damage, and the one that tells of it");
    assert_eq!(frozen(&state).len(), state.books().count(), "nobody spends until looked at");
    let store = Store::open(disk.port(), anchored(&anchors)).unwrap();
    assert!(matches!(store.condition().recording, Recording::Sound));
    block_on(store.close());
}

/// The bytes of every file.
fn files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    disk.names().into_iter().map(|name| (name.clone(), disk.bytes(&name))).collect()
}

#[test]
fn nothing_is_accepted_beside_segments_that_were_moved_away() {
    let (whole, _, anchors) = ledgers();
    let root = tempfile::tempdir().unwrap();
    let desk = |what: &str| Some(root.path().join(what));
    let with = |what, desk| Options { desk, ..accepting(what, &anchors) };
    for known in ["nothing", "all"] {
        if known == "all" {
            let made = Options { desk: desk(known), ..anchored(&anchors) };
            block_on(Store::open(whole.port(), made).unwrap().close());
        }
        let rest = whole.copy();
        rest.port().remove(&whole.names()[0]).unwrap();
        let last = rest.names().pop().unwrap();
        rest.tamper(&last, |bytes| bytes[128 + 70] ^= 1);
        let before = files(&rest);
        for what in [Acceptable::Cut, Acceptable::Rollback] {
            let refused = sealed_for(&rest, with(what, desk(known)));
            assert!(matches!(refused, StoreError::Beheaded { .. }), "{known} {what:?}: {refused}");
        }
        assert!(files(&rest) == before, "{known}: nothing is touched");
    }
    // Once they are back, with the desk that knows them all the same, what is damaged is cut.
    let back = whole.copy();
    let last = back.names().pop().unwrap();
    back.tamper(&last, |bytes| bytes[128 + 70] ^= 1);
    let store = Store::open(back.port(), with(Acceptable::Cut, desk("all"))).unwrap();
    assert_eq!(store.opened().accepted.as_ref().unwrap().aside.len(), 1);
    block_on(store.close());
}

#[test]
fn a_recovery_that_breaks_off_is_never_taken_for_a_sound_record() {
    let (disk, older, anchors) = ledgers();
    let names = disk.names();
    let damaged = disk.copy();
    damaged.tamper(&names[1], |bytes| bytes[128 + 70] ^= 1);
    for (what, journal) in [(Acceptable::Rollback, older), (Acceptable::Cut, damaged)] {
        let (whole, anchors) = (journal.with_power(), anchors.copy());
        let beside = anchors.powered_by(&whole);
        let store = Store::open(whole.port(), accepting(what, &beside)).unwrap();
        let boundaries = whole.boundaries();
        block_on(store.close());
        assert!(boundaries > 8, "{boundaries}");
        for cut in 1..=boundaries {
            let journal = journal.with_power();
            let anchors = anchors.powered_by(&journal);
            journal.power_off_at(cut);
            let _ = Store::open(journal.port(), accepting(what, &anchors));
            for keep in [|_| false, |_| true, |n| n % 2 == 0] {
                let (found, anchor) =
                    (journal.after_power_cut(keep), anchors.after_power_cut(keep));
                let store = Store::open(found.port(), anchored(&anchor)).unwrap();
                let state = block_on(state_of(&store));
                block_on(store.close());
                if matches!(store.condition().recording, Recording::Sound) {
                    assert_eq!(frozen(&state).len(), state.books().count(), "{what:?} {cut}");
                    continue;
                }
                let again = Store::open(found.port(), accepting(what, &anchor)).unwrap();
                block_on(again.close());
                let store = Store::open(found.port(), anchored(&anchor)).unwrap();
                let condition = store.condition();
                assert!(matches!(condition.recording, Recording::Sound), "{what:?} {cut}");
                let state = block_on(state_of(&store));
                assert_eq!(frozen(&state).len(), state.books().count(), "{what:?} {cut}");
                block_on(store.close());
            }
        }
    }
}

#[test]
fn more_agents_than_one_record_holds_are_all_frozen() {
    let (disk, anchors) = (SimDisk::default(), SimDisk::default());
    let older = block_on(async {
        let options = Options { anchor: Some(anchors.port()), ..options(SEGMENT_BYTES) };
        let store = Store::open(disk.port(), options).unwrap();
        for n in 0..600 {
            commit(&store, vec![opened(&format!("agent-{n}"))]).await.unwrap();
        }
        let older = disk.copy();
        commit(&store, vec![opened("late")]).await.unwrap();
        store.close().await;
        older
    });
    let store = Store::open(older.port(), accepting(Acceptable::Rollback, &anchors)).unwrap();
    assert_eq!(store.opened().accepted.as_ref().unwrap().frozen, 600);
    let state = block_on(state_of(&store));
    assert_eq!(frozen(&state).len(), 600);
    block_on(store.close());
}

#[test]
fn a_desk_that_knows_more_is_made_anew_from_what_is_accepted() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("desk");
    let (_, older) = older_than_its_desk(&path);
    let accept = Some(Accept { what: Acceptable::Rollback, note: None });
    let store = Store::open(older.port(), Options { accept, ..with_desk(&path) }).unwrap();
    block_on(store.close());
    let store = Store::open(older.port(), with_desk(&path)).unwrap();
    assert!(matches!(store.condition().recording, Recording::Sound));
    assert_eq!((store.opened().replayed, store.opened().rebuilt), (0, false));
    let state = block_on(state_of(&store));
    assert_eq!(state, fold(&older).0);
    assert_eq!(frozen(&state), ["scout"]);
    block_on(store.close());
}
