//! Asks the keyring of the operator's account for a secret: on Linux the kernel's (`keyutils`),
//! which forgets at a restart of the machine, on macOS the login keychain. A desktop's own keyring
//! is asked by its program, as a command.

use keyring_core::{Error, api::CredentialStore};
use zeroize::Zeroizing;

use super::secret::{Secret, Wrong};

/// Under which service the entries are.
const SERVICE: &str = "pettycash";

/// What the keyring of this machine has by that name.
pub(super) fn read(name: &str) -> Result<Secret, Wrong> {
    #[cfg(target_os = "linux")]
    let store = linux_keyutils_keyring_store::Store::new();
    #[cfg(target_os = "macos")]
    let store = apple_native_keyring_store::keychain::Store::new();
    read_of(store.map_err(|_| Wrong::KeyringShut)?.as_ref(), name)
}

/// The same of any keyring. What it says of an error is not told: it may be anything.
fn read_of(store: &CredentialStore, name: &str) -> Result<Secret, Wrong> {
    let entry = store.build(SERVICE, name, None).map_err(|_| Wrong::KeyringShut)?;
    let text = entry.get_secret().map(Zeroizing::new).map_err(|error| match error {
        Error::NoEntry => Wrong::NoEntry,
        _ => Wrong::KeyringShut,
    })?;
    Secret::new(&text)
}

#[cfg(test)]
mod tests {
    use keyring_core::{Entry, Error, api::CredentialStoreApi, mock};

    use super::{SERVICE, Secret, Wrong, read_of};

    fn wrong(read: Result<Secret, Wrong>) -> Option<Wrong> {
        read.err()
    }

    #[test]
    fn a_secret_is_read_by_its_name_and_only_where_it_is_one() {
        let store = mock::Store::new().unwrap();
        let entry = |name: &str| store.build(SERVICE, name, None).unwrap();
        entry("acme").set_secret(b"canary-0123456789").unwrap();
        let found = read_of(store.as_ref(), "acme").unwrap();
        assert!(found.expose() == "canary-0123456789");
        assert_eq!(wrong(read_of(store.as_ref(), "other")), Some(Wrong::NoEntry));
        entry("short").set_secret(b"canary").unwrap();
        assert_eq!(wrong(read_of(store.as_ref(), "short")), Some(Wrong::TooShort));
        entry("lines").set_secret(b"canary-01\ncanary-02").unwrap();
        assert_eq!(wrong(read_of(store.as_ref(), "lines")), Some(Wrong::NotPlain));
    }

    #[test]
    fn a_keyring_that_cannot_be_read_says_so_in_words_of_ours() {
        let store = mock::Store::new().unwrap();
        let entry: Entry = store.build(SERVICE, "acme", None).unwrap();
        entry.set_secret(b"canary-0123456789").unwrap();
        let cred = entry.as_any().downcast_ref::<mock::Cred>().unwrap();
        cred.set_error(Error::NoStorageAccess("canary, is locked".into()));
        assert_eq!(wrong(read_of(store.as_ref(), "acme")), Some(Wrong::KeyringShut));
    }
}
