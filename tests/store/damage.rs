//! Damage: none is silent, and none is mended by forgetting.

use super::*;

#[test]
fn a_flipped_byte_is_reported_with_file_and_offset_and_never_cut() {
    flip_every_record(SMALL);
    flip_every_record(SEGMENT_BYTES);
}

fn flip_every_record(segment_bytes: u64) {
    let disk = SimDisk::default();
    history(&disk, segment_bytes);
    let (_, records, replayed) = fold(&disk);
    let names = disk.names();
    let bases: Vec<u64> =
        names.iter().map(|name| u64::from_str_radix(&name[..16], 16).unwrap()).collect();
    // The last record's sync is known to nobody but the caller: that takes the head anchor.
    for record in &records[..records.len() - 1] {
        let segment = bases.partition_point(|base| *base <= record.position) - 1;
        let offset = record.position - bases[segment];
        for at in [0, 3, 5, 20, 50, 66, 80, 150] {
            let damaged = disk.copy();
            let place = usize::try_from(offset + at).unwrap();
            damaged.tamper(&names[segment], |bytes| bytes[place] ^= 0x10);
            let before = damaged.bytes(&names[segment]);
            let errors = [
                replay(damaged.port(), None, |_| {}).unwrap_err(),
                replay(damaged.port(), Some(replayed.head.seq), |_| {}).unwrap_err(),
                sealed(Store::open(damaged.port(), options(segment_bytes))),
            ];
            for error in errors {
                let StoreError::Damaged { file, offset: found, .. } = &error else {
                    panic!("record {} byte {at}: {error}", record.seq);
                };
                assert_eq!((file, *found), (&names[segment], offset), "{error}");
            }
            assert_eq!(damaged.bytes(&names[segment]), before, "damage is left as it is");
        }
    }
}

#[test]
fn a_missing_swapped_or_foreign_segment_is_damage() {
    let disk = SimDisk::default();
    history(&disk, SMALL);
    let foreign = SimDisk::default();
    history(&foreign, SMALL);
    let names = disk.names();
    let bytes: Vec<_> = names.iter().map(|name| disk.bytes(name)).collect();
    let cases: [(&str, Vec<u8>); 4] = [
        ("swapped", bytes[1].clone()),
        ("foreign", foreign.bytes(&names[0])),
        ("empty", Vec::new()),
        ("zeroed header", [vec![0; 128], bytes[0][128..].to_vec()].concat()),
    ];
    for (case, instead) in cases {
        let damaged = disk.copy();
        damaged.tamper(&names[0], |bytes| *bytes = instead);
        let replayed = replay(damaged.port(), None, |_| {});
        assert!(matches!(replayed, Err(StoreError::Damaged { .. })), "{case}: {replayed:?}");
        let opened = sealed(Store::open(damaged.port(), options(SMALL)));
        assert!(matches!(opened, StoreError::Damaged { .. }), "{case}: {opened:?}");
    }
    let header = |segment: usize, change: fn(&mut [u8])| {
        let forged = disk.copy();
        forged.tamper(&names[segment], |bytes| {
            change(bytes);
            let sum = crc32c::crc32c(&bytes[..124]);
            bytes[124..128].copy_from_slice(&sum.to_le_bytes());
        });
        forged
    };
    let strange = replay(header(1, |bytes| bytes[60] ^= 1).port(), None, |_| {}).unwrap_err();
    assert!(strange.to_string().contains("does not follow the segment before"), "{strange}");
    let version = header(0, |bytes| bytes[8] = 9);
    let unknown = replay(version.port(), None, |_| {}).unwrap_err();
    assert!(matches!(unknown, StoreError::UnknownFormat { version: 9, .. }), "{unknown}");
}

#[test]
fn an_agents_chain_that_does_not_follow_is_reported() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout"), credit("scout", 5), credit("scout", 6)])
            .await
            .unwrap();
        commit(&store, vec![credit("scout", 7)]).await.unwrap();
        store.close().await;
    });
    let (_, records, _) = fold(&disk);
    let mut last = (0, None, Hash::default());
    for (position, line) in
        records.iter().flat_map(|record| record.lines.iter().map(|line| (record.position, line)))
    {
        let chain = line.entry.chain.unwrap();
        assert_eq!((chain.n, chain.prev, chain.prev_hash), (last.0 + 1, last.1, last.2));
        last = (chain.n, Some(position), line.hash);
    }
    // A forger who mends checksum and record chain is caught by the agent's own.
    let name = &disk.names()[0];
    disk.tamper(name, |bytes| forge(bytes, records[1].position));
    let error = replay(disk.port(), None, |_| {}).unwrap_err();
    assert!(error.to_string().contains("entry 4 of `scout` does not follow"), "{error}");
}

#[test]
fn a_record_that_was_rewritten_with_a_fitting_checksum_breaks_the_chain() {
    let disk = SimDisk::default();
    history(&disk, SEGMENT_BYTES);
    let (_, records, _) = fold(&disk);
    let name = &disk.names()[0];
    disk.tamper(name, |bytes| forge(bytes, records[1].position));
    let refused = sealed(Store::open(disk.port(), options(SEGMENT_BYTES)));
    let StoreError::Damaged { offset, .. } = refused else { panic!("{refused}") };
    assert_eq!(offset, records[2].position, "the next one no longer follows");
}

/// Changes the link in the entry of the record at `position`, with a checksum that fits.
fn forge(bytes: &mut [u8], position: u64) {
    let start = usize::try_from(position).unwrap();
    let length = u32::from_le_bytes(bytes[start..start + 4].try_into().unwrap()) as usize;
    let record = &mut bytes[start..start + 68 + length];
    let at = record.windows(13).position(|text| text == br#""prev_hash":""#).unwrap() + 13;
    record[at] = if record[at] == b'0' { b'1' } else { b'0' };
    let sum = crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..]);
    record[4..8].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn a_replay_beside_the_writer_stops_at_the_head_it_was_given() {
    let disk = SimDisk::default();
    block_on(async {
        let store = Store::open(disk.port(), options(SMALL)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        let head: Head = store.read(|_, head| head).await.unwrap();
        commit(&store, vec![credit("scout", 1)]).await.unwrap();
        let mut seen = 0;
        let replayed = replay(disk.port(), Some(head.seq), |_| seen += 1).unwrap();
        assert_eq!((replayed.head, seen), (head, 1));
        let missing = replay(disk.port(), Some(3), |_| {}).unwrap_err();
        assert!(missing.to_string().contains("record 3"), "{missing}");
        store.close().await;
    });
}

#[test]
fn a_header_broken_with_the_only_record_behind_it_is_no_empty_store() {
    let disk = SimDisk::default();
    history(&disk, SEGMENT_BYTES);
    let name = disk.names()[0].clone();
    // One sector that went bad holds the header and the beginning of the first record.
    disk.tamper(&name, |bytes| {
        bytes.truncate(512);
        bytes[127] ^= 1;
        bytes[128] ^= 1;
    });
    let damaged = |error: &StoreError| matches!(error, StoreError::Damaged { offset: 0, .. });
    let error = replay(disk.port(), None, |_| {}).unwrap_err();
    assert!(damaged(&error), "{error}");
    let error = sealed(Store::open(disk.port(), options(SEGMENT_BYTES)));
    assert!(damaged(&error), "{error}");
}
