//! What tests are built from.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

pub(crate) mod bench;
pub(crate) mod house;
pub(crate) mod mcp_house;
pub(crate) mod mcp_raw;
pub(crate) mod sim_disk;

/// A throw-away directory that is ours alone, as a home must be.
pub(crate) fn private_dir() -> TempDir {
    let private = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(private).tempdir().expect("a directory")
}
