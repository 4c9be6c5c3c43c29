//! What we wrote into a client's configuration, and what was there before: so that it can be
//! undone, and what somebody else wrote is told from it.
//!
//! It is kept before the client's file is written: what is kept of a change that never happened
//! harms nothing, but a change of which nothing is kept could not be undone.
//!
//! It belongs to the user, not to one home, and lies with the state of the platform.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::clients::Client;
use crate::{cli::output::Failure, home};

/// Where the two files of one configuration are.
#[derive(Clone, Debug)]
pub(super) struct Receipts {
    dir: PathBuf,
    name: String,
}

/// What we write.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Receipt {
    config: PathBuf,
    entry: Value,
    /// What we had written before, which it stands in place of. As this is noted first, it is what
    /// is still there if we were ended before the file was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instead_of: Option<Value>,
}

impl Receipts {
    /// Those of a configuration, which need not be there.
    pub(super) fn of(client: Client, config: &Path) -> Result<Self, Failure> {
        let dir = home::client_receipts().ok_or_else(|| Failure::Config {
            message: "there is no place to keep what was there before".to_owned(),
            hint: "set HOME, or XDG_STATE_HOME".to_owned(),
        })?;
        // A client may have several configurations, as CODEX_HOME says.
        let hash = Sha256::digest(config.as_os_str().as_encoded_bytes());
        let hash = hash.iter().take(4).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        Ok(Self { dir, name: format!("{}-{hash}", client.word()) })
    }

    /// Whether this is the entry that we wrote.
    pub(super) fn wrote(&self, entry: &Value) -> bool {
        let text = fs::read(self.receipt()).unwrap_or_default();
        serde_json::from_slice::<Receipt>(&text).is_ok_and(|receipt| {
            receipt.entry == *entry || receipt.instead_of.as_ref() == Some(entry)
        })
    }

    /// The text that was there before; nothing if there was no file.
    pub(super) fn before(&self) -> Option<String> {
        fs::read_to_string(self.backup()).ok()
    }

    /// Keeps the text that is there now.
    pub(super) fn keep(&self, text: Option<&str>) -> Result<(), Failure> {
        let kept = match text {
            Some(text) => self.write(&self.backup(), text.as_bytes()),
            None => gone(&self.backup()),
        };
        kept.map_err(|error| self.failed(&error))
    }

    /// Notes what we are about to write, and what of ours it stands in place of. Once this
    /// answers, a crash does not lose it.
    pub(super) fn note(
        &self,
        config: &Path,
        entry: Value,
        instead_of: Option<Value>,
    ) -> Result<(), Failure> {
        let receipt = Receipt { config: config.to_owned(), entry, instead_of };
        let text = serde_json::to_vec(&receipt).map_err(io::Error::from);
        let noted = text.and_then(|text| self.write(&self.receipt(), &text));
        noted.map_err(|error| self.failed(&error))
    }

    /// Forgets both.
    pub(super) fn forget(&self) -> Result<(), Failure> {
        let forgotten = gone(&self.receipt()).and_then(|()| gone(&self.backup()));
        forgotten.map_err(|error| self.failed(&error))
    }

    /// Where the text that was there before is kept.
    pub(super) fn backup(&self) -> PathBuf {
        self.dir.join(format!("{}.backup", self.name))
    }

    fn receipt(&self) -> PathBuf {
        self.dir.join(format!("{}.json", self.name))
    }

    /// A text of ours alone: it may hold the secrets of others.
    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let new = path.with_extension("new");
        gone(&new)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(&self.dir)?.sync_all()
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let dir = self.dir.display();
        Failure::Config {
            message: format!("could not keep in `{dir}` what was there before: {error}"),
            hint: "see that it can be written, or set XDG_STATE_HOME elsewhere".to_owned(),
        }
    }
}

fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
