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
