//! `connect` and `disconnect`, on a machine of their own: no test touches a real configuration.

mod agents;
mod broken;
mod clients;
mod crashing;
mod foreign;
mod secrets;
mod status;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use jsonc_parser::{ParseOptions, cst::CstRootNode};
use serde_json::Value;

use crate::support::{canary::Searched, private_dir};

const BINARY: &str = env!("CARGO_BIN_EXE_pettycash");
/// Every client, and where its configuration is below the user's directory.
const CLIENTS: [(&str, &str); 5] = [
    ("claude-code", ".claude.json"),
    ("claude-desktop", ".config/Claude/claude_desktop_config.json"),
    ("cursor", ".cursor/mcp.json"),
    ("vscode", ".config/Code/User/mcp.json"),
    ("codex", ".codex/config.toml"),
];

/// A user's directory, a home beside it, and programs on the PATH: none of them the real ones.
struct Machine {
    dir: Searched,
    environment: Vec<(&'static str, String)>,
}

impl Machine {
    /// One without agents.
    fn bare() -> Self {
        let dir = private_dir();
        for name in ["user", "bin"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir, environment: Vec::new() }
    }

    /// One with the agent that `init` makes.
    fn new() -> Self {
        let machine = Self::bare();
        machine.ok("init --yes");
        machine
    }

    /// With a variable set, or taken away where the value is empty.
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(name)
    }

    fn user(&self) -> PathBuf {
        self.path("user")
    }

    fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// The configuration of a client.
    fn config(&self, client: &str) -> PathBuf {
        self.user().join(CLIENTS.iter().find(|(name, _)| *name == client).unwrap().1)
    }

    /// Writes a configuration as somebody else would have.
    fn write(&self, client: &str, text: &str) -> PathBuf {
        let path = self.config(client);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, client: &str) -> String {
        fs::read_to_string(self.config(client)).unwrap()
    }

    fn run(&self, line: &str) -> Output {
        self.furnish(&mut Command::new(BINARY), line).output().unwrap()
    }

    /// Has a command take a line's words, on this machine and no other.
    fn furnish<'a>(&self, command: &'a mut Command, line: &str) -> &'a mut Command {
        command.args(line.split_whitespace()).stdin(Stdio::null()).env_clear();
        command.env("HOME", self.user()).env("PATH", self.path("bin"));
        command.env("PETTYCASH_HOME", self.home()).env("XDG_STATE_HOME", self.path("state"));
        command.env("PETTYCASH_IDLE_EXIT", "2s");
        for (name, value) in &self.environment {
            match &**value {
                "" => command.env_remove(name),
                value => command.env(name, value),
            };
        }
        command
    }

    /// What a line prints when it works.
    fn ok(&self, line: &str) -> String {
        let Output { status, stdout, stderr } = self.run(line);
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{line}: {stderr}");
        assert_eq!(stderr, "", "{line}");
        String::from_utf8(stdout).unwrap()
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} --json"))).unwrap()
    }

    /// What a line says on stderr when it does not, and that it ends with `code`.
    fn fails(&self, line: &str, code: i32) -> String {
        let Output { status, stderr, .. } = self.run(line);
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{line}: {stderr}");
        stderr
    }

    /// Our entry in a configuration, as its client would read it.
    fn entry(&self, client: &str) -> Value {
        self.servers(client)["pettycash"].clone()
    }

    /// Every server of a configuration, as its client would read it.
    fn servers(&self, client: &str) -> Value {
        let text = self.read(client);
        match client {
            "codex" => toml_servers(&text),
            "vscode" => json_of(&text)["servers"].clone(),
            _ => json_of(&text)["mcpServers"].clone(),
        }
    }

    /// One client's line of `connect --status`.
    fn status(&self, client: &str) -> Value {
        self.json(&format!("connect {client} --status"))["clients"][0].clone()
    }
}

/// What a text of JSON says, without what stands in it for people.
fn json_of(text: &str) -> Value {
    let options = ParseOptions::default();
    let text = text.trim_start_matches('\u{feff}');
    CstRootNode::parse(text, &options).unwrap().to_serde_value().unwrap()
}

/// The servers of a text of TOML, each with the texts and lists of texts that it has.
fn toml_servers(text: &str) -> Value {
    let document: toml_edit::DocumentMut = text.parse().unwrap();
    let servers = document["mcp_servers"].as_table_like().unwrap();
    servers.iter().map(|(name, server)| (name.to_owned(), toml_value(server))).collect()
}

fn toml_value(item: &toml_edit::Item) -> Value {
    if let Some(text) = item.as_str() {
        return text.into();
    }
    if let Some(all) = item.as_array() {
        return all.iter().map(|text| Value::from(text.as_str().unwrap())).collect();
    }
    let table = item.as_table_like().unwrap();
    table.iter().map(|(name, item)| (name.to_owned(), toml_value(item))).collect()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}
