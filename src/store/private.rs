//! Whether a file or directory is ours alone, and the command that makes it so.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use super::StoreError;

/// The permission bits of anyone but the owner.
const OTHERS: u32 = 0o077;

/// Refuses a directory that is a link, is not ours, or lets others in.
pub fn directory(path: &Path) -> Result<(), StoreError> {
    let found = metadata(path)?;
    if !found.is_dir() {
        return Err(wrong(path, "is not a directory", |path| format!("mv {path} {path}.aside")));
    }
    owned(path, &found, "700")
}

/// Refuses a file that is a link or anything but a plain file, is not ours, or is open to others.
pub fn file(path: &Path) -> Result<(), StoreError> {
    let found = metadata(path)?;
    if !found.is_file() {
        return Err(wrong(path, "is not a plain file", |path| format!("mv {path} {path}.aside")));
    }
    owned(path, &found, "600")
}

fn metadata(path: &Path) -> Result<Metadata, StoreError> {
    fs::symlink_metadata(path)
        .map_err(|error: io::Error| StoreError::io("look at", path.display().to_string(), &error))
}

fn owned(path: &Path, found: &Metadata, mode: &str) -> Result<(), StoreError> {
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us {
        let problem = format!("belongs to user {}, not to us, user {us}", found.uid());
        return Err(wrong(path, &problem, |path| format!("sudo chown {us} {path}")));
    }
    if found.mode() & OTHERS != 0 {
        let problem = format!("is open to others (mode {:o})", found.mode() & 0o7777);
        return Err(wrong(path, &problem, |path| format!("chmod {mode} {path}")));
    }
    Ok(())
}

fn wrong(path: &Path, problem: &str, fix: impl Fn(&str) -> String) -> StoreError {
    let quoted = quoted(&path.display().to_string());
    StoreError::Unsafe { path: path.into(), problem: problem.to_owned(), fix: fix(&quoted) }
}

/// The path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,".contains(c);
    if path.chars().all(plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}
