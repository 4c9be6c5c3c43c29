//! A house of one's own: a home, the operator's commands on it, and clients that start the server.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use super::{
    as_operator,
    canary::{Searched, keyless},
    mcp_raw::Raw,
};

const BINARY: &str = env!("CARGO_BIN_EXE_pettycash");

/// A throw-away home. Whatever serves it is ended with it.
pub(crate) struct House {
    dir: Searched,
}

impl House {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("pc").tempdir().unwrap().into() }
    }

    /// A home with the agent of the README, and a service with and one without a price.
    pub(crate) fn furnished() -> Self {
        let house = Self::new();
        let agent = "agent create scout --cap 5.00/day --per-call 0.25 --funding allowance";
        house.operator(agent);
        house.operator("service add search --payee Acme --price 0.02");
        house.operator("service add report --payee Acme --no-price");
        house
    }

    pub(crate) fn home(&self) -> std::path::PathBuf {
        self.dir.path().join("home")
    }

    /// Where this house keeps its head anchors, and whatever else is not in the home.
    pub(crate) fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    /// The program with these words, in this house.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.args(words.split_whitespace());
        self.furnish(&mut command);
        command
    }

    pub(crate) fn furnish(&self, command: &mut Command) {
        command.env("PETTYCASH_HOME", self.home());
        command.env("XDG_STATE_HOME", self.state());
        as_operator(command).env_remove("PETTYCASH_AGENT").env_remove("PETTYCASH_LOG");
    }

    /// What an operator's command prints; it must end well.
    pub(crate) fn operator(&self, words: &str) -> String {
        let output = self.command(words).stdin(Stdio::null()).output().unwrap();
        let said = keyless(String::from_utf8_lossy(&output.stderr).into_owned());
        assert!(output.status.success(), "{words}: {:?} {said}", output.status);
        keyless(String::from_utf8(output.stdout).unwrap())
    }

    pub(crate) fn operator_json(&self, words: &str) -> Value {
        serde_json::from_str(&self.operator(&format!("{words} --json"))).unwrap()
    }

    /// A client that has started the server for `agent` and shaken hands.
    pub(crate) fn client(&self, agent: &str) -> Raw {
        let mut client = Raw::start(&mut self.command(&format!("mcp --agent {agent}")));
        client.initialize("2025-11-25");
        client
    }

    /// Ends whatever serves the home, and waits for that.
    pub(crate) fn end_serve(&self) {
        end_serve(&self.home());
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.end_serve();
    }
}

/// Ends the `serve` of a home and waits until it is gone, five seconds at most.
fn end_serve(home: &Path) {
    let note = std::fs::read(home.join("serve.json")).unwrap_or_default();
    let note: Value = serde_json::from_slice(&note).unwrap_or_default();
    let pid = note["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let Some(pid) = pid.and_then(Pid::from_raw) else { return };
    let _ = kill_process(pid, Signal::TERM);
    for _ in 0..500 {
        // One that has ended stays in the table until its parent looks, which may be never.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        if test_kill_process(pid).is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
