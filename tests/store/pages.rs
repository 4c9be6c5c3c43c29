//! Looking things up and paging through the record.

use super::*;

#[test]
fn segments_rotate_and_every_record_is_still_found() {
    let disk = SimDisk::default();
    let ids = history(&disk, SMALL);
    assert!(disk.names().len() >= 3, "{:?}", disk.names());
    let store = Store::open(disk.port(), options(SMALL)).unwrap();
    for (id, seq) in ids.iter().zip([1, 2, 3, 4, 6, 7, 12, 13, 14, 15, 16]) {
        assert_eq!(store.record(id.position()).unwrap().seq, seq);
    }
    let end = ids.last().unwrap().position() + 5000;
    for position in [0, 1, 127, 129, end, u64::MAX >> 16, u64::MAX] {
        let nothing = store.record(position).unwrap_err();
        assert!(matches!(nothing, StoreError::NoRecord { .. }), "{position}: {nothing}");
    }
    block_on(store.close());
}

#[test]
fn pages_newest_first_are_the_entries_as_appended() {
    let disk = SimDisk::default();
    history(&disk, SMALL);
    let (state, records, replayed) = fold(&disk);
    let all: Vec<Entry> =
        records.iter().flat_map(|record| &record.lines).map(|line| line.entry.clone()).collect();
    let store = Store::open(disk.port(), options(SMALL)).unwrap();
    for limit in [1, 2, 3, 5, 100] {
        for agent in ["scout", "intern"].map(handle) {
            let link = state.link(&agent).unwrap();
            let start = Cursor { position: link.position, n: link.n };
            let paged = all_pages(start, |from| store.agent_entries(&agent, from, limit).unwrap());
            let own = all.iter().rev().filter(|entry| entry.agent.as_ref() == Some(&agent));
            assert!(own.eq(&paged), "{agent} by {limit}");
        }
        let start = Cursor::all(replayed.head.position.unwrap());
        let paged = all_pages(start, |from| store.all_entries(from, limit).unwrap());
        assert!(all.iter().rev().eq(&paged), "all by {limit}");
    }
    block_on(store.close());
}

fn all_pages(start: Cursor, page: impl Fn(Cursor) -> pettycash::store::Page) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut next = Some(start);
    while let Some(from) = next {
        let page = page(from);
        entries.extend(page.lines.into_iter().map(|(_, line)| line.entry));
        next = page.next;
    }
    entries
}

/// Gives the record at `position` other bytes of the same length, and the checksum of those.
fn rewrite(disk: &SimDisk, position: usize, from: &str, to: &str) {
    const HEADER: usize = 68;
    assert_eq!(from.len(), to.len());
    disk.tamper(&disk.names()[0], |bytes| {
        let length = u32::from_le_bytes(bytes[position..position + 4].try_into().unwrap());
        let end = position + HEADER + usize::try_from(length).unwrap();
        let body = &mut bytes[position + HEADER..end];
        let at = body.windows(from.len()).position(|word| word == from.as_bytes()).unwrap();
        body[at..at + to.len()].copy_from_slice(to.as_bytes());
        let sum = crc32c::crc32c_append(
            crc32c::crc32c(&bytes[position..position + 4]),
            &bytes[position + 8..end],
        );
        bytes[position + 4..position + 8].copy_from_slice(&sum.to_le_bytes());
    });
}

#[test]
fn a_page_reads_no_line_of_a_record_but_those_that_are_asked_for() {
    let disk = SimDisk::default();
    let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
    let id = block_on(commit(&store, vec![opened("scout"), opened("intern"), opened("other")]));
    let position = id.unwrap().position();
    // From here on the line of `intern` cannot be read.
    let at = usize::try_from(position).unwrap();
    rewrite(&disk, at, r#""agent":"intern""#, r#""agent":"INTERN""#);
    let page = |agent: &str| {
        let start = Cursor { position, n: 1 };
        store.agent_entries(&handle(agent), start, 10).map(|page| page.lines.len())
    };
    assert!(matches!(
        page("intern"),
        Err(StoreError::Damaged { .. } | StoreError::NoRecord { .. })
    ));
    for (agent, count) in [("scout", 1), ("other", 1)] {
        assert_eq!(page(agent).unwrap(), count, "{agent}");
    }
    block_on(store.close());
}
