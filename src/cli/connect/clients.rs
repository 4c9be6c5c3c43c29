//! The clients that can be connected, and where each keeps its configuration.

use std::{env, ffi::OsString, path::PathBuf};

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
        Ok(self.config_at(&Place::here()?))
    }

    fn config_at(self, place: &Place) -> PathBuf {
        match self {
            Self::ClaudeCode => place.named("CLAUDE_CONFIG_DIR", "").join(".claude.json"),
            Self::ClaudeDesktop => {
                place.applications().join("Claude").join("claude_desktop_config.json")
            }
            Self::Cursor => place.home.join(".cursor").join("mcp.json"),
            Self::Vscode => place.applications().join("Code").join("User").join("mcp.json"),
            Self::Codex => place.named("CODEX_HOME", ".codex").join("config.toml"),
        }
    }

    /// Whether there is a trace of it on this machine: its files, or its program.
    pub(super) fn is_found(self) -> bool {
        let files = Place::here()
            .is_ok_and(|place| self.traces_at(&place).iter().any(|trace| trace.exists()));
        files || self.program().is_some_and(|name| program::on_path(name).is_some())
    }

    fn traces_at(self, place: &Place) -> Vec<PathBuf> {
        match self {
            Self::ClaudeCode => vec![self.config_at(place), place.home.join(".claude")],
            Self::ClaudeDesktop => vec![place.applications().join("Claude")],
            Self::Cursor => vec![place.home.join(".cursor")],
            Self::Vscode => vec![place.applications().join("Code")],
            Self::Codex => vec![place.named("CODEX_HOME", ".codex")],
        }
    }

    fn program(self) -> Option<&'static str> {
        match self {
            Self::ClaudeCode => Some("claude"),
            Self::ClaudeDesktop => None,
            Self::Cursor => Some("cursor"),
            Self::Vscode => Some("code"),
            Self::Codex => Some("codex"),
        }
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

/// All that says where a client's files are: what they depend on, and nothing else.
struct Place {
    platform: Platform,
    /// The user's own directory.
    home: PathBuf,
    /// What the environment says by a name.
    variable: fn(&str) -> Option<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Platform {
    Linux,
    MacOs,
}

impl Place {
    fn here() -> Result<Self, Failure> {
        let home = etcetera::home_dir().map_err(|_| Failure::Config {
            message: "there is no home directory in which clients keep their configuration"
                .to_owned(),
            hint: "set HOME to it".to_owned(),
        })?;
        let platform = if cfg!(target_os = "macos") { Platform::MacOs } else { Platform::Linux };
        Ok(Self { platform, home, variable: |name| env::var_os(name) })
    }

    /// Where programs with windows keep what is the user's.
    fn applications(&self) -> PathBuf {
        match self.platform {
            Platform::Linux => self.named("XDG_CONFIG_HOME", ".config"),
            Platform::MacOs => self.home.join("Library").join("Application Support"),
        }
    }

    /// The absolute path that the environment names, or else what is below the user's directory.
    fn named(&self, variable: &str, below: &str) -> PathBuf {
        let named = (self.variable)(variable).map(PathBuf::from).filter(|dir| dir.is_absolute());
        named.unwrap_or_else(|| self.home.join(below))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::ValueEnum;

    use super::{Client, Place, Platform};

    fn configs(
        platform: Platform,
        variable: fn(&str) -> Option<std::ffi::OsString>,
    ) -> Vec<String> {
        let home = Path::new(if platform == Platform::MacOs { "/m" } else { "/h" });
        let place = Place { platform, home: home.to_owned(), variable };
        let all = Client::value_variants().iter();
        all.map(|client| client.config_at(&place).display().to_string()).collect()
    }

    #[test]
    fn each_platform_has_its_own_place_for_each_client() {
        let quiet = |_: &str| None;
        let linux = [
            "/h/.claude.json",
            "/h/.config/Claude/claude_desktop_config.json",
            "/h/.cursor/mcp.json",
            "/h/.config/Code/User/mcp.json",
            "/h/.codex/config.toml",
        ];
        assert_eq!(configs(Platform::Linux, quiet), linux);
        let mac = [
            "/m/.claude.json",
            "/m/Library/Application Support/Claude/claude_desktop_config.json",
            "/m/.cursor/mcp.json",
            "/m/Library/Application Support/Code/User/mcp.json",
            "/m/.codex/config.toml",
        ];
        assert_eq!(configs(Platform::MacOs, quiet), mac);
    }

    #[test]
    fn the_environment_names_another_place_where_the_client_asks_it() {
        let named = |name: &str| Some(format!("/x/{name}").into());
        let linux = [
            "/x/CLAUDE_CONFIG_DIR/.claude.json",
            "/x/XDG_CONFIG_HOME/Claude/claude_desktop_config.json",
            "/h/.cursor/mcp.json",
            "/x/XDG_CONFIG_HOME/Code/User/mcp.json",
            "/x/CODEX_HOME/config.toml",
        ];
        assert_eq!(configs(Platform::Linux, named), linux);
        let mac = [
            "/x/CLAUDE_CONFIG_DIR/.claude.json",
            "/m/Library/Application Support/Claude/claude_desktop_config.json",
            "/m/.cursor/mcp.json",
            "/m/Library/Application Support/Code/User/mcp.json",
            "/x/CODEX_HOME/config.toml",
        ];
        assert_eq!(configs(Platform::MacOs, named), mac);
        let relative = |_: &str| Some("here".into());
        assert_eq!(configs(Platform::MacOs, relative), configs(Platform::MacOs, |_| None));
    }

    #[test]
    fn the_traces_of_a_client_lie_where_its_platform_has_them() {
        let home = "/m".into();
        let place = Place { platform: Platform::MacOs, home, variable: |_| None };
        let of = |client: Client| client.traces_at(&place);
        let library = Path::new("/m/Library/Application Support");
        assert_eq!(of(Client::ClaudeDesktop), [library.join("Claude")]);
        assert_eq!(of(Client::Vscode), [library.join("Code")]);
        assert!(of(Client::ClaudeCode).contains(&"/m/.claude".into()));
    }
}
