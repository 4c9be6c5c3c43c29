//! Journal records: whatever stands in the segments, reading them breaks nothing, and what verifies
//! is what was written: all of it, or all but a tail that is told.
//!
//! An input is a list of lines. `{…}` is a record of that body, its entries' chains put right, and
//! `=…` one of those bytes as they are; `/` begins a segment. `^AT BYTE` changes a byte of the
//! last segment, `<AT` cuts it there, `+…` puts bytes behind its last record, and `*` opens a store
//! on the result.
#![no_main]

mod journal;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use pettycash::{
    clock::Clock,
    policy::{entry::Entry, state::State},
    store::{Options, Record, Replayed, Store, StoreError, replay},
};

use journal::{Journal, MemoryDisk};

/// What was done to the files after they were written.
#[derive(Default)]
struct Tampered {
    changed: bool,
    cut: bool,
}

fn write(input: &[u8]) -> (Journal, Tampered, bool) {
    let (mut journal, mut tampered, mut opens) = (Journal::begin(), Tampered::default(), false);
    for line in input.split(|byte| *byte == b'\n') {
        let Some((kind, rest)) = line.split_first() else { continue };
        let text = std::str::from_utf8(rest).unwrap_or_default();
        match kind {
            b'{' => journal.add_chained(line),
            b'=' => journal.add(rest),
            b'/' => journal.begin_segment(),
            b'*' => opens = true,
            b'+' => {
                journal.last().extend_from_slice(rest);
                tampered.changed |= !rest.is_empty();
            }
            b'^' => {
                let Some((at, byte)) = text.split_once(' ') else { continue };
                let (Ok(at), Ok(byte)) = (at.parse::<usize>(), byte.parse::<u8>()) else {
                    continue;
                };
                if let Some(old) = journal.last().get_mut(at) {
                    tampered.changed |= *old != byte;
                    *old = byte;
                }
            }
            b'<' => {
                let Ok(at) = text.parse::<usize>() else { continue };
                tampered.cut |= at < journal.last().len();
                journal.last().truncate(at);
            }
            _ => {}
        }
    }
    (journal, tampered, opens)
}

/// Replays the disk: how it ended, and the fold of what was read.
fn read(disk: &MemoryDisk) -> (Result<Replayed, StoreError>, State, Vec<Record>) {
    let (mut state, mut records) = (State::default(), Vec::new());
    let replayed = replay(Arc::new(disk.clone()), None, |record| {
        record.fold(&mut state);
        records.push(record.clone());
    });
    (replayed, state, records)
}

/// What is parsed is encoded, and parsed again, as the same.
fn encodes(entry: &Entry) {
    let text = serde_json::to_string(entry).expect("an entry is JSON");
    let same = serde_json::from_str::<Entry>(&text).expect("what is encoded is read");
    assert_eq!(same, *entry, "{text}");
    assert_eq!(serde_json::to_string(&same).expect("an entry is JSON"), text);
}

/// Opens a store, which may cut a torn tail and nothing else.
fn open(disk: &MemoryDisk, before: &Replayed) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut options = Options::new(Clock::System, "nowhere".into());
    options.desk = None;
    let store = Store::open(Arc::new(disk.clone()), options).expect("what verifies is opened");
    assert_eq!(store.opened().torn, before.torn);
    assert_eq!(store.opened().replayed, before.head.seq);
    runtime.block_on(store.close());
    let (after, _, records) = read(disk);
    let after = after.expect("what was opened verifies");
    assert_eq!(after.torn, None);
    let kept = usize::try_from(before.head.seq).expect("a small journal");
    assert!(kept == 0 || records[kept - 1].hash == before.head.hash);
    // That a tail was cut has an entry of its own.
    let said = records.len() - kept;
    assert_eq!(said, usize::from(before.torn.is_some()), "{said} records were added");
}

fuzz_target!(|input: &[u8]| {
    let (journal, tampered, opens) = write(input);
    let (disk, written) = journal.on_disk();
    let (replayed, state, records) = read(&disk);
    records.iter().flat_map(|record| &record.lines).for_each(|line| encodes(&line.entry));
    for (nth, record) in records.iter().enumerate() {
        assert_eq!(Some(&record.hash), written.get(nth), "a record that was never written");
    }
    let Ok(replayed) = replayed else { return };
    assert_eq!(replayed.head.seq, records.len() as u64);
    let lost = records.len() < written.len();
    let said = tampered.cut || (tampered.changed && replayed.torn.is_some());
    assert!(!lost || said, "records are gone, and nobody says so");
    let mut again = State::default();
    records.iter().for_each(|record| record.fold(&mut again));
    assert!(again.books().eq(state.books()), "the fold is not the same twice");
    if opens {
        open(&disk, &replayed);
    }
});
