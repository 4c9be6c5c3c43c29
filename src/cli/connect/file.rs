//! A client's configuration file: read as it is, replaced whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Gid, Uid, fchown};

use crate::cli::output::Failure;

/// More than any configuration is, Claude Code's history of projects included.
const MAX_CONFIG: u64 = 64 << 20;
/// For a file that is new: what others write into it later may be secret.
const NEW_MODE: u32 = 0o600;
const MODE_BITS: u32 = 0o7777;
const OWNER_MAY_WRITE: u32 = 0o200;

/// A file as it was when we looked.
#[derive(Clone, Debug)]
pub(super) struct ConfigFile {
    /// As the client knows it.
    pub(super) path: PathBuf,
    /// Where it really lies, behind links.
    target: PathBuf,
    found: Option<Found>,
}

#[derive(Clone, Debug)]
struct Found {
    text: String,
    mode: u32,
    owner: (u32, u32),
}

impl ConfigFile {
    /// Reads the file, which need not be there.
    ///
    /// # Errors
    /// If it is anything but a plain file of UTF-8, or cannot be read.
    pub(super) fn read(path: PathBuf) -> Result<Self, Failure> {
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { target: path.clone(), path, found: None });
            }
            Err(error) => return Err(failed("read", &path, &error)),
            Ok(_) => {}
        }
        let target = fs::canonicalize(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => unusable(&path, "is a link to a file that is not there"),
            _ => failed("read", &path, &error),
        })?;
        let found = look(&path, &target)?;
        Ok(Self { path, target, found: Some(found) })
    }

    /// Its text; nothing if it is not there.
    pub(super) fn text(&self) -> Option<&str> {
        self.found.as_ref().map(|found| &*found.text)
    }

    /// Refuses a file that its owner has closed for writing: a rename would not ask him.
    pub(super) fn writable(&self) -> Result<(), Failure> {
        let closed = self.found.as_ref().is_some_and(|found| found.mode & OWNER_MAY_WRITE == 0);
        if !closed {
            return Ok(());
        }
        let path = self.path.display();
        Err(Failure::Config {
            message: format!("`{path}` is read only, and is left as it is"),
            hint: format!("see who keeps it so, or open it with `chmod u+w {path}`"),
        })
    }

    /// Puts `text` in the place of the file, with the mode and the owner that it has, or nothing:
    /// then the file is gone.
    ///
    /// # Errors
    /// If somebody changed it since it was read, or the disk refuses; then it is as it was.
    pub(super) fn replace(&self, text: Option<&str>) -> Result<(), Failure> {
        let now = Self::read(self.path.clone())?;
        if (now.text(), &now.target) != (self.text(), &self.target) {
            return Err(Failure::Config {
                message: format!("`{}` changed meanwhile: nothing was done", self.path.display()),
                hint: "run it again, best while the client is not running".to_owned(),
            });
        }
        let done = match text {
            Some(text) => self.put(text),
            None => fs::remove_file(&self.target),
        };
        done.map_err(|error| failed("write", &self.path, &error))
    }

    fn put(&self, text: &str) -> io::Result<()> {
        let dir = self.target.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let turn = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let new = dir.join(format!(".pettycash-{turn:016x}"));
        let put = self.write(&new, text).and_then(|()| fs::rename(&new, &self.target));
        if put.is_err() {
            // What cannot be taken away harms nobody.
            let _ = fs::remove_file(&new);
        }
        put?;
        File::open(dir)?.sync_all()
    }

    fn write(&self, new: &Path, text: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(NEW_MODE).open(new)?;
        file.write_all(text.as_bytes())?;
        if let Some(Found { mode, owner, .. }) = &self.found {
            let ours = file.metadata()?;
            if (ours.uid(), ours.gid()) != *owner {
                fchown(&file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
            }
            file.set_permissions(Permissions::from_mode(*mode))?;
        }
        file.sync_all()
    }
}

fn look(path: &Path, target: &Path) -> Result<Found, Failure> {
    // Whatever else stands in its place might never end.
    if !fs::metadata(target).map_err(|error| failed("read", path, &error))?.is_file() {
        return Err(unusable(path, "is not a plain file"));
    }
    let read = || {
        let file = File::open(target)?;
        let known = file.metadata()?;
        let mut bytes = Vec::new();
        file.take(MAX_CONFIG + 1).read_to_end(&mut bytes)?;
        Ok((known, bytes))
    };
    let (known, bytes) = read().map_err(|error| failed("read", path, &error))?;
    if bytes.len() as u64 > MAX_CONFIG {
        return Err(unusable(path, "is longer than 64 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        unusable(path, &format!("is not UTF-8 on line {line}"))
    })?;
    Ok(Found { text, mode: known.mode() & MODE_BITS, owner: (known.uid(), known.gid()) })
}

fn unusable(path: &Path, what: &str) -> Failure {
    let path = path.display();
    Failure::Config {
        message: format!("`{path}` {what}, and is left as it is"),
        hint: "mend it, or print what to put into it by hand with --print".to_owned(),
    }
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Config {
        message: format!("could not {doing} `{}`: {error}", path.display()),
        hint: "see whether the file and its directory are yours to write".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::ConfigFile;

    #[test]
    fn a_file_that_somebody_changed_since_it_was_read_is_left_to_him() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mcp.json");
        let absent = ConfigFile::read(path.clone()).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(absent.replace(Some("ours")).unwrap_err().to_string().contains("meanwhile"));
        let read = ConfigFile::read(path.clone()).unwrap();
        fs::write(&path, "theirs again").unwrap();
        for text in [Some("ours"), None] {
            assert!(read.replace(text).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), "theirs again");
        }
        ConfigFile::read(path.clone()).unwrap().replace(Some("ours")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "ours");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
