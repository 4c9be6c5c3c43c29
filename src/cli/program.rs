//! Programs: this one, and those that a shell would find.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The program that is running, or what was since put in its place.
pub(super) fn this() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let replaced = program.to_str().and_then(|path| path.strip_suffix(" (deleted)"));
    match replaced {
        Some(path) if !program.exists() => Ok(PathBuf::from(path)),
        Some(_) | None => Ok(program),
    }
}

/// What a shell would run by that name.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| runs(file))
}

/// Whether it is a file that can be run.
pub(super) fn runs(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|at| at.is_file() && at.permissions().mode() & 0o111 != 0)
}
