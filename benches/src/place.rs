//! Where the data goes: a directory on a disk, which ends with the run.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use rustix::fs::{Advice, fadvise, statfs};
use tempfile::TempDir;

/// What the kernel calls a file system that keeps its files in memory.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// A throw-away directory for one part of a run.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// A new one, on a real disk or not at all: in memory a sync costs nothing.
    pub(crate) fn new() -> Result<Self> {
        let above = match env::var_os("PETTYCASH_BENCH_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => program("")?,
        };
        let private = fs::Permissions::from_mode(0o700);
        let dir = tempfile::Builder::new().prefix("b-").permissions(private).tempdir_in(&above);
        let dir = dir.with_context(|| format!("make a directory in {}", above.display()))?;
        let kind: i64 = statfs(dir.path())?.f_type;
        ensure!(!IN_MEMORY.contains(&kind), "{} is in memory", above.display());
        Ok(Self { dir })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A directory in it, made if it is not there, that is ours alone.
    pub(crate) fn inside(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        Ok(path)
    }
}

/// A program that was built with this one.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let own = env::current_exe()?;
    let dir = own.parent().context("find the directory of this program")?;
    Ok(if name.is_empty() { dir.to_owned() } else { dir.join(name) })
}

fn walk(path: &Path, visit: &mut impl FnMut(&Path, &fs::Metadata) -> Result<()>) -> Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.is_dir() {
        for inside in fs::read_dir(path)? {
            walk(&inside?.path(), visit)?;
        }
        return Ok(());
    }
    visit(path, &found)
}

/// The blocks that everything below `path` takes on the disk, in bytes.
pub(crate) fn disk_bytes(path: &Path) -> Result<u64> {
    let mut bytes = 0;
    walk(path, &mut |_, found| {
        bytes += found.blocks() * 512;
        Ok(())
    })?;
    Ok(bytes)
}

/// Has the system forget what it holds of the files below `path`, as after a boot.
pub(crate) fn forget_pages(path: &Path) -> Result<()> {
    walk(path, &mut |path, found| {
        if found.is_file() {
            let file = fs::File::open(path)?;
            // Only pages that are on the disk can be forgotten.
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
        Ok(())
    })
}

/// What a process holds in memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All that is resident: its own, and what is mapped of its program and libraries.
    pub(crate) resident: u64,
    /// Its own: what no other process shares.
    pub(crate) own: u64,
}

/// What a process holds in memory now.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
        anyhow::Ok(kib.with_context(|| format!("no {name}"))?.trim().parse::<u64>()? * 1024)
    };
    Ok(Memory { resident: value("VmRSS:")?, own: value("RssAnon:")? })
}
