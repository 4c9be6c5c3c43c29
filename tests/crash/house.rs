//! A throw-away home whose `serve` is killed as a power cut would end it, and what is done to its
//! files in between.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use pettycash::{client::Finder, clock::instant, home::Home};

use crate::support::{as_operator, canary::Searched, private_dir};

/// The longest that opening may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks whether it listens.
const PAUSE: Duration = Duration::from_micros(500);

/// What is done to the desk before the next start.
pub(super) enum Desk {
    AsItIs,
    Missing,
    /// As it was when it went missing, some kills ago.
    Older,
}

pub(super) struct CrashHome {
    dir: Searched,
}

impl CrashHome {
    pub(super) fn new() -> Self {
        let dir = private_dir();
        Home::at(&dir.path().join("home")).unwrap();
        Self { dir }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("crash.log")
    }

    /// What the last `serve` said on its way.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The program in this home, which leaves nothing of itself anywhere else.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pettycash"));
        command.args(words).stdin(Stdio::null());
        command.env("PETTYCASH_HOME", self.path());
        command.env("XDG_STATE_HOME", self.dir.path().join("state"));
        as_operator(&mut command).env_remove("PETTYCASH_AGENT").env_remove("PETTYCASH_LOG");
        command
    }

    /// Starts a `serve`, which has only just begun when this returns.
    pub(super) fn start(&self) -> Serve<'_> {
        let log = fs::File::create(self.log()).unwrap();
        let mut command = self.command(&["serve"]);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Serve { child, home: self, began: instant() }
    }

    /// That the record is what was written and adds up, beside a `serve` or alone.
    pub(super) fn verify(&self) {
        let verified = self.command(&["verify"]).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success(), "{said} {}", self.said());
    }

    /// Leaves the desk so for the next start. One that goes missing is what comes back later.
    pub(super) fn leave(&self, desk: &Desk) {
        let (now, older) = (self.path().join("desk"), self.dir.path().join("desk.older"));
        match desk {
            Desk::AsItIs => {}
            Desk::Missing => fs::rename(now, older).unwrap(),
            Desk::Older => {
                fs::remove_dir_all(&now).unwrap();
                fs::rename(older, now).unwrap();
            }
        }
    }
}

/// A `serve` of our own, which ends with the test.
pub(super) struct Serve<'a> {
    child: Child,
    home: &'a CrashHome,
    began: Instant,
}

impl Serve<'_> {
    /// Waits until it listens: how to reach it, and how long that took from its start.
    pub(super) fn listens(&mut self) -> (Finder, Duration) {
        loop {
            let home = Home::at(&self.home.path()).unwrap();
            let pid = self.child.id();
            if let Some(serving) = home.serving().filter(|serving| serving.pid == pid) {
                let sockets = serving.sockets;
                let finder: Finder =
                    Arc::new(move || std::future::ready(Ok(sockets.clone())).boxed());
                return (finder, self.began.elapsed());
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "serve ended, {ended:?}: {}", self.home.said());
            assert!(self.began.elapsed() < PATIENCE, "no serve: {}", self.home.said());
            thread::sleep(PAUSE);
        }
    }

    /// Kills it, and says whether it was still opening the record.
    pub(super) fn kill(mut self) -> bool {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "the kill must hit a living process: {}", self.home.said());
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it ended by itself: {}", self.home.said());
        let serving = Home::at(&self.home.path()).unwrap().serving();
        serving.is_none_or(|serving| serving.pid != self.child.id())
    }
}

impl Drop for Serve<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
