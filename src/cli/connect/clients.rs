//! The clients that can be connected, and where each keeps its configuration.

use std::{env, path::PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use crate::cli::{output::Failure, program};

/// A program that speaks MCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Client {
    ClaudeCode,
    ClaudeDesktop,
    Cursor,
    Vscode,
    Codex,
}

/// How a client writes its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// JSON, servers under this key; with comments where the client reads them.
    Json { servers: &'static str, comments: bool },
    /// TOML, servers under `mcp_servers`.
    Toml,
}

impl Client {
    /// Its name on the command line.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::ClaudeDesktop => "claude-desktop",
            Self::Cursor => "cursor",
            Self::Vscode => "vscode",
            Self::Codex => "codex",
        }
    }

    /// Its name as its makers write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::ClaudeDesktop => "Claude Desktop",
            Self::Cursor => "Cursor",
            Self::Vscode => "VS Code",
            Self::Codex => "Codex",
        }
    }

    pub(super) fn format(self) -> Format {
        match self {
            Self::ClaudeCode | Self::ClaudeDesktop => {
                Format::Json { servers: "mcpServers", comments: false }
            }
            Self::Cursor => Format::Json { servers: "mcpServers", comments: true },
            Self::Vscode => Format::Json { servers: "servers", comments: true },
            Self::Codex => Format::Toml,
        }
    }

    /// Whether its entries say that they are of the kind `stdio`.
    pub(super) fn names_the_kind(self) -> bool {
        match self {
            Self::ClaudeCode | Self::Cursor | Self::Vscode => true,
            Self::ClaudeDesktop | Self::Codex => false,
        }
    }

    /// Where it keeps the servers of this user.
    ///
    /// # Errors
    /// If nobody says where the user's home is.
    pub(super) fn config(self) -> Result<PathBuf, Failure> {
        Ok(match self {
            Self::ClaudeCode => match variable("CLAUDE_CONFIG_DIR") {
                Some(dir) => dir.join(".claude.json"),
                None => user_home()?.join(".claude.json"),
            },
            Self::ClaudeDesktop => {
                applications()?.join("Claude").join("claude_desktop_config.json")
            }
            Self::Cursor => user_home()?.join(".cursor").join("mcp.json"),
            Self::Vscode => applications()?.join("Code").join("User").join("mcp.json"),
            Self::Codex => codex_home()?.join("config.toml"),
        })
    }

    /// Whether there is a trace of it on this machine: its files, or its program.
    pub(super) fn is_found(self) -> bool {
        let there = |dir: Result<PathBuf, Failure>| dir.is_ok_and(|dir| dir.exists());
        let (files, name) = match self {
            Self::ClaudeCode => {
                let dir = user_home().map(|home| home.join(".claude"));
                (there(self.config()) || there(dir), Some("claude"))
            }
            Self::ClaudeDesktop => (there(applications().map(|dir| dir.join("Claude"))), None),
            Self::Cursor => (there(user_home().map(|home| home.join(".cursor"))), Some("cursor")),
            Self::Vscode => (there(applications().map(|dir| dir.join("Code"))), Some("code")),
            Self::Codex => (there(codex_home()), Some("codex")),
        };
        files || name.is_some_and(|name| program::on_path(name).is_some())
    }

    /// What it takes for it to see a change.
    pub(super) fn restart(self) -> &'static str {
        match self {
            Self::ClaudeCode => "sessions of Claude Code that are open see it when restarted",
            Self::ClaudeDesktop => "if Claude Desktop is open, quit it wholly and start it again",
            Self::Cursor => "if Cursor is open, look at its MCP settings, or restart it",
            Self::Vscode => "if VS Code is open, start the server with `MCP: List Servers`",
            Self::Codex => "sessions of Codex that are open see it when restarted",
        }
    }
}

/// The user's own directory.
pub(super) fn user_home() -> Result<PathBuf, Failure> {
    etcetera::home_dir().map_err(|_| Failure::Config {
        message: "there is no home directory in which clients keep their configuration".to_owned(),
        hint: "set HOME to it".to_owned(),
    })
}

/// Where programs with windows keep what is the user's.
fn applications() -> Result<PathBuf, Failure> {
    if cfg!(target_os = "macos") {
        return Ok(user_home()?.join("Library").join("Application Support"));
    }
    match variable("XDG_CONFIG_HOME") {
        Some(dir) => Ok(dir),
        None => Ok(user_home()?.join(".config")),
    }
}

fn codex_home() -> Result<PathBuf, Failure> {
    match variable("CODEX_HOME") {
        Some(dir) => Ok(dir),
        None => Ok(user_home()?.join(".codex")),
    }
}

/// An absolute path that the environment names.
fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute())
}
