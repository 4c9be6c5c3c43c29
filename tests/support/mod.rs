//! What tests are built from.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, thread, time::Duration};

use pettycash::store::{FileDisk, StoreError};

use canary::Searched;

pub(crate) mod bad_lines;
pub(crate) mod bench;
pub(crate) mod canary;
pub(crate) mod desk;
pub(crate) mod dice;
pub(crate) mod house;
pub(crate) mod mcp_house;
pub(crate) mod mcp_raw;
pub(crate) mod planning;
pub(crate) mod scripted;
pub(crate) mod served;
pub(crate) mod sim_disk;
pub(crate) mod terminal;
pub(crate) mod web;

/// A throw-away directory that is ours alone, as a home must be.
pub(crate) fn private_dir() -> Searched {
    let private = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(private).tempdir().expect("a directory").into()
}

/// Gives a file, or what a link leads to, these permissions.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The files under `dir` that hold `wanted`. A socket cannot be read, and holds nothing.
pub(crate) fn files_with(dir: &Path, wanted: &str) -> Vec<String> {
    let mut found = Vec::new();
    // What is gone meanwhile holds nothing either.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, wanted));
            continue;
        }
        // Nobody may ever write into a pipe that is read.
        let bytes = Some(&path).filter(|path| path.is_file()).and_then(|path| fs::read(path).ok());
        let bytes = bytes.unwrap_or_default();
        if String::from_utf8_lossy(&bytes).contains(wanted) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// The variables by which AI agents mark the shells that they run.
pub(crate) const AGENT_MARKS: [&str; 7] = [
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CODEX_SANDBOX",
    "CURSOR_AGENT",
    "GEMINI_CLI",
    "CLINE_ACTIVE",
    "OPENCODE",
];

/// Has a command run as at a terminal of the operator's, whoever runs the tests.
pub(crate) fn as_operator(command: &mut Command) -> &mut Command {
    let marks = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        AGENT_MARKS.contains(&&*name) || name.starts_with("CODEX_")
    });
    for mark in marks {
        command.env_remove(mark);
    }
    command.env_remove("PETTYCASH_OPERATOR_TOKEN")
}

/// Takes a journal's directory, once nobody holds its lock: a process that another test starts
/// holds all our files, and their locks, until it runs.
pub(crate) fn file_disk(journal: &Path) -> FileDisk {
    let opened = (0..500).find_map(|_| match FileDisk::open(journal) {
        Err(StoreError::InUse { .. }) => {
            thread::sleep(Duration::from_millis(10));
            None
        }
        opened => Some(opened.expect("the journal")),
    });
    opened.expect("the lock on the journal")
}
