//! Files and directories: private, and held by one process.

use super::*;

#[test]
fn a_directory_or_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    let root = tempfile::tempdir().unwrap();
    let journal = root.path().join("the journal");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    block_on(async {
        let disk = Arc::new(FileDisk::open(&journal).unwrap());
        let store = Store::open(disk, options(SEGMENT_BYTES)).unwrap();
        commit(&store, vec![opened("scout")]).await.unwrap();
        store.close().await;
    });
    let file = journal.join("0000000000000000.journal");
    for (path, expected) in [(&journal, 0o700), (&file, 0o600)] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, expected);
    }
    for (path, wrong, mended) in [(&journal, 0o750, "700"), (&file, 0o644, "600")] {
        mode(path, wrong);
        let refused = FileDisk::open(&journal).unwrap_err();
        let command = format!("chmod {mended} '{}'", path.display());
        assert!(matches!(&refused, StoreError::Unsafe { fix, .. } if *fix == command), "{refused}");
        let mended = std::process::Command::new("sh").args(["-c", &command]).status();
        assert!(mended.unwrap().success());
        drop(file_disk(&journal));
    }
    let link = root.path().join("link");
    std::os::unix::fs::symlink(&journal, &link).unwrap();
    let refused = FileDisk::open(&link).unwrap_err();
    assert!(matches!(refused, StoreError::Unsafe { .. }), "{refused}");
}

#[test]
fn two_writers_cannot_have_one_journal() {
    let root = tempfile::tempdir().unwrap();
    let journal = root.path().join("journal");
    let first = FileDisk::open(&journal).unwrap();
    let second = FileDisk::open(&journal).unwrap_err();
    assert!(matches!(second, StoreError::InUse { .. }), "{second}");
    FileDisk::look(&journal).expect("looking is free");
    drop(first);
    drop(file_disk(&journal));
}
