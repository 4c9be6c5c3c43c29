//! Keys of APIs that only tests have: nothing that the program writes may have one in it.
//!
//! What holds a house looks through all of its files at its end: the record, the notes, the log.
//! What reads an answer or the output of a command looks through that.

use std::{fs, ops::Deref, os::unix::fs::PermissionsExt, path::Path};

use tempfile::TempDir;

use super::files_with;

/// The key of an API, which nobody but that may see.
pub(crate) const KEY: &str = "canary-0123456789abcdef";
/// Another, that every encoding writes differently.
pub(crate) const ODD_KEY: &str = "sk-canary/7+Q~\"zz";

/// Writes a key to a file that a service names.
pub(crate) fn keep(key: &str, file: &Path) {
    fs::write(file, key).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A text that the program wrote, once it is sure that no key is in it.
pub(crate) fn keyless<T: AsRef<[u8]>>(written: T) -> T {
    let text = String::from_utf8_lossy(written.as_ref());
    for key in [KEY, ODD_KEY] {
        assert!(!text.contains(key), "the key is in what was written: {text}");
    }
    written
}

/// A directory that is thrown away once no file in it has a key, but for those that are a key.
pub(crate) struct Searched(TempDir);

impl From<TempDir> for Searched {
    fn from(dir: TempDir) -> Self {
        Self(dir)
    }
}

impl Deref for Searched {
    type Target = TempDir;

    fn deref(&self) -> &TempDir {
        &self.0
    }
}

impl Drop for Searched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for key in [KEY, ODD_KEY] {
            let mut found = files_with(self.0.path(), key);
            found.retain(|file| fs::read_to_string(file).map_or(true, |text| text.trim() != key));
            assert!(found.is_empty(), "the key is in {found:?}");
        }
    }
}
