//! Asks a program for a secret.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::timeout,
};
use zeroize::Zeroizing;

use super::secret::{MAX_SECRET, Secret, Wrong};

/// Room for a secret as it is read: for a byte and a line break more than fit, so that what is too
/// long is seen to be.
pub(super) fn room() -> (Zeroizing<Vec<u8>>, u64) {
    const ROOM: usize = MAX_SECRET + 3;
    // As large as it gets: a vector that grows would leave copies behind.
    (Zeroizing::new(Vec::with_capacity(ROOM + 1)), ROOM as u64)
}

/// What a program prints, if it does so in time and ends well. What it complains is not read.
pub(super) async fn run(words: &[String], patience: Duration) -> Result<Secret, Wrong> {
    let (program, arguments) = words.split_first().ok_or(Wrong::NotRun)?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|_| Wrong::NotRun)?;
    let stdout = child.stdout.take().ok_or(Wrong::NotRun)?;
    let said = timeout(patience, listen(stdout, &mut child)).await;
    if !matches!(said, Ok(Ok(_))) {
        end(&mut child).await;
    }
    said.unwrap_or(Err(Wrong::TooSlow))
}

async fn listen(stdout: impl AsyncRead + Unpin, child: &mut Child) -> Result<Secret, Wrong> {
    let (mut text, most) = room();
    stdout.take(most).read_to_end(&mut text).await.map_err(|_| Wrong::Failed)?;
    if text.len() as u64 == most {
        return Err(Wrong::TooLong);
    }
    let status = child.wait().await.map_err(|_| Wrong::Failed)?;
    if status.success() { Secret::new(&text) } else { Err(Wrong::Failed) }
}

/// Ends a program, and what it has started.
async fn end(child: &mut Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = id {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill().await;
}
